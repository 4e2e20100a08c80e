"""Payments a second from 1 to 32 threads that share a client; the gateway takes 50 ms for each.

Against threads that have a `requests.Session` each. The times are of one payment, on the average
of all threads. ratio = ours / by hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import requests

from mpesa_integrations import MpesaClient

from .by_hand import headers, parameters, url
from .gateway import gateway
from .measure import Result, compare

TARGET = 1.1
_DELAY = 0.05
_CALLS = 10


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare rounds in which each thread makes 10 payments."""
    with gateway(delay=_DELAY) as config, MpesaClient(config) as client:
        address, own_headers = url(config), headers(config)

        def ours(_: requests.Session) -> None:
            for _number in range(_CALLS):
                client.c2b(msisdn="258841234567", amount="150.00", reference="INVOICE 7")

        def by_hand(session: requests.Session) -> None:
            for _number in range(_CALLS):
                session.post(
                    address,
                    json=parameters(config),
                    headers=own_headers,
                    verify=config.verify,
                    timeout=config.timeout,
                ).json()

        for number in (1, 2) if smoke else (1, 2, 4, 8, 16, 32):
            yield _with_threads(number, ours, by_hand, rounds=1 if smoke else 8)


def _with_threads(
    number: int,
    ours: Callable[[requests.Session], None],
    by_hand: Callable[[requests.Session], None],
    *,
    rounds: int,
) -> Result:
    sessions = [requests.Session() for _ in range(number)]
    with ThreadPoolExecutor(number) as pool:
        result = compare(
            f"threads.{number}",
            lambda: list(pool.map(ours, sessions)),
            lambda: list(pool.map(by_hand, sessions)),
            rounds=rounds,
            calls=number * _CALLS,
            target=TARGET,
        )
    for session in sessions:
        session.close()
    figures = {"threads": number, "payments_per_second": round(1000 / result.a_ms, 1)}
    return dataclasses.replace(result, more=figures)
