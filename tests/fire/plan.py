"""The payments of a fire run, by its seed."""

from __future__ import annotations

import random
from decimal import Decimal

_CUSTOMERS = 800
_PAYOUTS = 0.1


def payment(seed: int, number: int) -> tuple[str, dict[str, str | Decimal]]:
    """The operation and the arguments of a run's payment."""
    rng = random.Random(f"{seed}/payment/{number}")
    operation = "b2c" if rng.random() < _PAYOUTS else "c2b"
    arguments: dict[str, str | Decimal] = {
        "msisdn": f"25884{1_000_000 + rng.randrange(_CUSTOMERS)}",
        "amount": Decimal(rng.randrange(100, 50_000)) / 100,
        "reference": f"ORDER {number}",
        "idempotency_key": f"fire-{number}",
    }
    return operation, arguments
