"""One limit for all calls of an account, over every store: payments and questions about them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mpesa_integrations.core.payments import reconcile
from mpesa_integrations.core.payments.rate_limits import RateLimit
from mpesa_integrations.core.payments.reconcile import Reconciled
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter
from tests.support.waiting import until

from .backends import Backend
from .conftest import Heard

AnyPayments = Any
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "ORDER 7"}


class Clock(threading.Event):
    """A clock, and the event by which a worker is stopped: who waits for that moves time on.

    Attributes:
        before: called before each wait.
        waited: for how long.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.began = self.now
        self.waited: list[float] = []
        self.before: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.before()
        self.waited.append(timeout)
        self.now += timeout
        return self.is_set()

    def left(self, within: timedelta) -> Callable[[], float]:
        """As `schedule.time_left`, by this clock."""
        end = self.now + within.total_seconds()
        return lambda: end - self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(reconcile, "time_left", made.left)
    return made


def _unknown(payments: AnyPayments, backend: Backend, simulator: Simulator, count: int) -> None:
    for _ in range(count):
        simulator.scenarios.queue("cut_after", operation="c2b")
        assert payments.c2b(**PAYMENT).state == "unknown"
    backend.make_due()
    simulator.calls.clear()


def _calls(simulator: Simulator) -> list[str]:
    calls = simulator.calls.select(CallFilter(kind="call"), limit=10_000)
    return [call.operation for call in calls]


def test_sending_and_asking_share_the_limit_and_payments_go_first(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator, clock: Clock
) -> None:
    _unknown(payments, backend, mpesa_simulator, 4)
    for _ in range(5):
        payments.c2b(**PAYMENT, send="worker")
    limit = RateLimit(2, clock)
    sender = payments.queue_sender(10, rate=limit)
    at: list[tuple[float, int]] = []

    def send() -> None:
        sender.run_once()
        until(lambda: not sender.run_once() and not sender.in_flight)
        at.append((clock.now - clock.began, len(_calls(mpesa_simulator))))

    clock.before = send
    send()
    done = payments.reconciler(rate=limit, stop=clock).run_batch()
    send()
    sender.finish(0)
    assert done == Reconciled(asked=4)
    assert {record.state for record in backend.records()} == {"completed"}
    assert Counter(_calls(mpesa_simulator)) == {"c2b": 5, "query_transaction_status": 4}
    assert all(count <= 2 * seconds + 2 for seconds, count in at)
    assert [count for seconds, count in at if seconds == 1.0][-1] == 4, "one of ten is a question"


def test_what_cannot_be_asked_within_the_lease_is_left_to_others(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _unknown(payments, backend, mpesa_simulator, 5)
    monkeypatch.setattr(reconcile, "LEASE", timedelta(seconds=250))
    limit = RateLimit(0.01, clock)
    answered: set[int] = set()
    clock.before = lambda: answered.add(
        [record.state for record in backend.records()].count("completed")
    )
    done = payments.reconciler(rate=limit, stop=clock).run()
    assert done == Reconciled(asked=3)
    assert answered == {1, 2, 3}, "no answer waits for another question's turn"
    assert clock.now - clock.began == 250
    assert len(_calls(mpesa_simulator)) == 3
    assert payments.reconcile() == Reconciled(asked=2), "at once, and not when the lease ends"


def test_a_worker_comes_back_to_what_else_is_due_before_all_turns_have_come(
    payments: AnyPayments, backend: Backend, heard: Heard, mpesa_simulator: Simulator, clock: Clock
) -> None:
    _unknown(payments, backend, mpesa_simulator, 5)
    reconciler = payments.reconciler(rate=RateLimit(0.05, clock), stop=clock)
    assert reconciler.run_batch() == Reconciled(asked=3)
    assert clock.now - clock.began == 60
    heard.silent = True
    payments.c2b(**PAYMENT)
    heard.silent = False
    backend.make_due()
    assert reconciler.run_batch() == Reconciled(asked=2, dispatched=2)


def test_told_to_stop_nobody_waits_for_a_turn(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    _unknown(payments, backend, mpesa_simulator, 2)
    limit, stop, waits = RateLimit(0.001), threading.Event(), threading.Event()
    assert limit.ask() == 0.0
    done: list[Reconciled] = []
    wait = stop.wait

    def run() -> None:
        try:
            done.append(payments.reconciler(rate=limit, stop=stop).run())
        finally:
            backend.done()

    def note(timeout: float) -> bool:
        waits.set()
        return wait(timeout)

    stop.wait = note  # type: ignore[method-assign, assignment]
    thread = threading.Thread(target=run)
    thread.start()
    assert waits.wait(30)
    stop.set()
    thread.join(30)
    assert done == [Reconciled()]
    assert _calls(mpesa_simulator) == []
    assert payments.reconcile() == Reconciled(asked=2)


def test_no_connection_is_held_while_a_turn_is_waited_for(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _unknown(payments, backend, mpesa_simulator, 2)
    limit = RateLimit(0.1, clock)
    limit.ask()
    held: list[str] = []
    monkeypatch.setattr(payments.store, "disconnect", lambda: held.append("given back"))
    clock.before = lambda: held.append("waits")
    payments.reconciler(rate=limit, stop=clock).run_batch()
    assert held[:3] == ["waits", "given back", "waits"]
    assert clock.waited[:2] == [pytest.approx(0.2), pytest.approx(9.8)]
