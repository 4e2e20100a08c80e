"""`client.c2b()` against a client that encrypts and connects anew for each call.

As scripts do that call `requests.post` and read the key's file each time. ratio = ours / theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

import requests

from mpesa_integrations import MpesaClient

from .by_hand import headers, parameters, url
from .gateway import gateway
from .measure import Result, compare

TARGET = 0.2


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare a call each."""
    with gateway() as config, MpesaClient(config) as client:

        def ours() -> None:
            client.c2b(msisdn="258841234567", amount="150.00", reference="INVOICE 7")

        def theirs() -> None:
            requests.post(
                url(config),
                json=parameters(config),
                headers=headers(config),
                verify=config.verify,
                timeout=config.timeout,
            ).json()

        rounds = 2 if smoke else 300
        yield compare("c2b_vs_reconnecting_client", ours, theirs, rounds=rounds, target=TARGET)
