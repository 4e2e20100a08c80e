"""What is planned of a fire run by its seed: its payments, and when its database server is away."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import NamedTuple

from .shops import SHOPS

_CUSTOMERS = 800
_PAYOUTS = 0.1
_QUEUED = 1 / 3
_PAYMENTS_PER_ORDER = 5
_MOST_ORDERS = 5_000  # a customer takes longer than a payment
_PAYMENTS_PER_OUTAGE, _FEWEST, _MOST = 100, 2, 10
_SHORT = (0.5, 5.0)  # seconds; a payment waits for three, then says that nothing was sent
_LONG, _LONG_FROM = 20.0, 300  # more than an answer waits; in runs of so many payments


def work(payments: int) -> dict[str, list[str]]:
    """What each shop is paid for, by its name: a line for each payment, or for each order.

    Args:
        payments: how many the shops that sell no orders make.
    """
    makers = [shop.name for shop in SHOPS.values() if not shop.sells_orders]
    sellers = [shop.name for shop in SHOPS.values() if shop.sells_orders]
    orders = min(max(payments // _PAYMENTS_PER_ORDER, 1), _MOST_ORDERS)
    return {
        **{
            name: [str(number) for number in range(first, payments, len(makers))]
            for first, name in enumerate(makers)
        },
        **{name: [f"Q{number}" for number in range(orders)] for name in sellers},
    }


def payment(seed: int, number: int) -> tuple[str, dict[str, str | Decimal]]:
    """The operation and the arguments of a run's payment; some are sent by a worker."""
    rng = random.Random(f"{seed}/payment/{number}")
    operation = "b2c" if rng.random() < _PAYOUTS else "c2b"
    arguments: dict[str, str | Decimal] = {
        "msisdn": f"25884{1_000_000 + rng.randrange(_CUSTOMERS)}",
        "amount": Decimal(rng.randrange(100, 50_000)) / 100,
        "reference": f"ORDER {number}",
        "idempotency_key": f"fire-{number}",
        "send": "worker" if rng.random() < _QUEUED else "now",
    }
    return operation, arguments


class Outage(NamedTuple):
    """The database server is stopped, and started again.

    Attributes:
        after: so many payments.
        crash: as in a crash; else in good order, but that it hangs up on everybody.
        seconds: for how long it is away.
    """

    after: int
    crash: bool
    seconds: float


IN_GIVING_BACK = Outage(after=1, crash=True, seconds=2.0)
"""While payments are given back, once one was."""


def outages(seed: int, payments: int) -> list[Outage]:
    """Some throughout the run, every second one a crash; in all but small runs one is long."""
    rng = random.Random(f"{seed}/outages")
    count = min(max(payments // _PAYMENTS_PER_OUTAGE, _FEWEST), _MOST)
    long = rng.randrange(count) if payments >= _LONG_FROM else None
    return [
        Outage(
            after=int(payments * (k + rng.random()) / (count + 1)),
            crash=bool(k % 2),
            seconds=_LONG if k == long else rng.uniform(*_SHORT),
        )
        for k in range(count)
    ]
