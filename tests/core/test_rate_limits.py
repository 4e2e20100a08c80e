"""How many calls may begin: payments and questions together, by a clock of the test's own."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mpesa_integrations import ValidationError, commands
from mpesa_integrations.core.payments.rate_limits import RateLimit, RateLimits, limit_of
from mpesa_integrations.core.payments.reconcile import Reconciled


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _send(limit: RateLimit, wanted: int, sent: int | None = None) -> int:
    """As a sender does that finds so many payments to be sent, or as many as it may."""
    reserved = limit.reserve(wanted)
    begun = reserved if sent is None else min(sent, reserved)
    for _ in range(begun):
        limit.begin()
    limit.release(reserved - begun)
    return begun


def test_payments_and_questions_share_what_may_begin(clock: Clock) -> None:
    limit = RateLimit(5, clock)
    assert _send(limit, 50, 3) == 3
    assert [limit.ask() for _ in range(3)] == [0.0, 0.0, 1.0]
    assert _send(limit, 50) == 0
    assert limit.pause() == 1.0
    clock.now += 1.0
    assert limit.pause() == 0.0
    assert _send(limit, 50) == 5


def test_there_may_be_no_limit(clock: Clock) -> None:
    limit = RateLimit(None, clock)
    assert _send(limit, 50) == 50
    assert [limit.ask() for _ in range(100)] == [0.0] * 100
    assert limit.pause() == 0.0
    assert limit.is_idle


def test_what_a_sender_has_reserved_no_question_takes(clock: Clock) -> None:
    limit = RateLimit(2, clock)
    assert limit.reserve(1) == 1
    assert limit.ask() == 0.0
    clock.now += 60  # the database was slow: what is reserved begins now, and not a minute ago
    assert limit.ask() == 0.0
    assert limit.ask() > 0
    limit.begin()
    assert limit.ask() == 1.0
    clock.now += 0.99
    assert limit.ask() > 0
    clock.now += 0.01
    assert limit.ask() == 0.0


def test_what_was_not_needed_is_given_back(clock: Clock) -> None:
    limit = RateLimit(2, clock)
    assert limit.reserve(2) == 2
    assert limit.ask() > 0
    limit.release(2)
    assert limit.ask() == 0.0


def test_payments_go_first_and_of_ten_calls_one_is_a_question(clock: Clock) -> None:
    limit = RateLimit(2, clock)
    begun = []
    for _ in range(50):
        begun += ["question"] * (not limit.ask())
        begun += ["payment"] * _send(limit, 50)
        clock.now += 1.0
    assert len(begun) == 100
    assert begun.count("question") == 10


@pytest.mark.parametrize("satisfied", [0, 1])
def test_a_question_goes_on_once_no_payment_waits(clock: Clock, satisfied: int) -> None:
    limit = RateLimit(2, clock)
    assert limit.ask() == 0.0
    assert _send(limit, 50) == 1
    clock.now += 1.0
    assert limit.ask() > 0
    assert _send(limit, satisfied * 50, 0) == 0  # there was nothing, or nothing may be taken
    assert limit.ask() == 0.0


def test_a_rate_below_one_is_kept(clock: Clock) -> None:
    limit = RateLimit(0.1, clock)
    assert limit.ask() == 0.0
    assert limit.pause() == pytest.approx(10.0)
    assert _send(limit, 1) == 0
    clock.now += limit.pause()
    assert _send(limit, 1) == 1


@pytest.mark.parametrize("rate", [0.3, 1, 2.5, 7, 40])
def test_no_stretch_of_time_has_more_than_the_rate_and_a_burst(clock: Clock, rate: float) -> None:
    limit = RateLimit(rate, clock)
    chance = random.Random(7)
    times: list[float] = []
    for _ in range(2000):
        if chance.random() < 0.5:
            times += [clock.now] * (not limit.ask())
        else:
            times += [clock.now] * _send(limit, chance.randint(0, 9), chance.randint(0, 9))
        clock.now += chance.choice([0, 0, 0, 0.01, 0.3 / rate, limit.pause()])
    assert len(times) > 300
    for first, began in enumerate(times):
        for more, ended in enumerate(times[first:], start=1):
            assert more <= rate * (ended - began) + limit._most + 1e-6


def test_threads_take_no_more_than_may_begin(clock: Clock) -> None:
    limit = RateLimit(100, clock)
    ready = threading.Barrier(8)

    def take(number: int) -> int:
        ready.wait()
        if number % 2:
            return sum(not limit.ask() for _ in range(60))
        return sum(_send(limit, 3) for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 100


def test_an_account_has_one_limit_until_it_makes_no_difference() -> None:
    limits = RateLimits(0.001)
    gone, here = limits["gone"], limits["here"]
    assert limits["gone"] is gone
    assert gone is not here
    gone.ask()
    limits.keep(["here"])
    assert (limits["gone"], limits["here"]) == (gone, here)
    gone._begun.clear()  # as when the time is over
    limits.keep([])
    assert limits._limits == {}


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "fast"])
def test_a_rate_that_makes_no_sense_is_refused(wrong: Any) -> None:
    for make in (RateLimit, RateLimits, limit_of):
        with pytest.raises(ValidationError) as caught:
            make(wrong)
        assert list(caught.value.errors) == ["rate"]


def test_a_limit_of_ones_own_or_a_shared_one() -> None:
    shared = RateLimit(3)
    assert limit_of(shared) is shared
    assert limit_of(3).reserve(5) == 3


def test_runs_of_reconcile_have_one_limit_for_each_account(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, list[RateLimit]] = {"cafe": [], "shop": []}

    def note(payments: str, *, rate: RateLimit, **how: Any) -> tuple[Reconciled, str]:
        if len(found[payments]) == 2:
            raise KeyboardInterrupt
        found[payments].append(rate)
        return Reconciled(), ""

    monkeypatch.setattr(commands, "_to_be_reconciled", lambda *_: (list(found), 0))
    monkeypatch.setattr(commands, "_reconcile_one", note)
    accounts: Any = {"cafe": "cafe", "shop": "shop"}
    how: dict[str, Any] = {"batch": 1, "workers": 1, "rate": 0.001, "echo": print}
    # In a thread, so that the signals stay the test's.
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        pool.submit(commands.reconcile, accounts, every=0.01, **how).result(30)
    (cafe, cafe_again), (shop, shop_again) = found.values()
    assert (cafe_again, shop_again) == (cafe, shop)
    assert cafe is not shop
