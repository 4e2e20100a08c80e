"""How long is waited between two tries: it doubles, it ends, and not all wait alike."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from mpesa_integrations.core.payments.schedule import backoff

SPREAD = 0.25


@pytest.mark.parametrize(
    ("attempts", "minutes"),
    [(0, 0.5), (1, 1), (2, 2), (3, 4), (5, 16), (6, 32), (7, 60), (8, 60), (20, 60), (21, 60),
     (100_000, 60)],
)  # fmt: skip
def test_the_wait_doubles_up_to_an_hour_and_is_spread_by_a_quarter(
    attempts: int, minutes: float
) -> None:
    random.seed(7)
    waits = [backoff(attempts) / timedelta(minutes=minutes) for _ in range(1_000)]
    assert 1 - SPREAD <= min(waits) < 1 - 0.98 * SPREAD
    assert 1 + 0.98 * SPREAD < max(waits) <= 1 + SPREAD
    assert 0.97 < sum(waits) / len(waits) < 1.03, "as often sooner as later"
