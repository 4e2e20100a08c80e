"""`client.c2b()` against the same call by hand on one pooled `requests.Session`.

The token is ready in both, and the connection open. Ours also checks the arguments, makes a
reference and reads the answer. ratio = ours / by hand.
"""

from __future__ import annotations

from collections.abc import Iterator

import requests

from mpesa_integrations import MpesaClient

from .by_hand import headers, parameters, url
from .gateway import gateway
from .measure import Result, compare

TARGET = 1.0


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare a call each."""
    with gateway() as config, MpesaClient(config) as client, requests.Session() as session:
        address, own_headers = url(config), headers(config)

        def ours() -> None:
            client.c2b(msisdn="258841234567", amount="150.00", reference="INVOICE 7")

        def by_hand() -> None:
            session.post(
                address,
                json=parameters(config),
                headers=own_headers,
                verify=config.verify,
                timeout=config.timeout,
            ).json()

        rounds = 2 if smoke else 2000
        yield compare("c2b_vs_requests_session", ours, by_hand, rounds=rounds, target=TARGET)
