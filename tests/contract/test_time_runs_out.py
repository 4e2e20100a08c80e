"""A worker that is slow ends before its time does, and hands the rest to others at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from flask_mpesa.memory_store import MemoryStore
from mpesa_integrations.core.payments import schedule
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.reconcile import LEASE, Reconciled
from mpesa_integrations.core.payments.records import Change
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import ASYNC_URL

from .backends import Backend, DjangoBackend, SqlAlchemyBackend
from .conftest import Heard
from .test_payments import PAYMENT, callback

SOON = timedelta(seconds=20)
"""More than a busy machine takes for what a test does, and little beside a lease."""


class Clock:
    """The time as the payments see it, which a test moves on."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + self.ahead

    def once(self, takes: timedelta) -> Callable[[], None]:
        """Something that takes long when it is called first."""
        waits = [takes]

        def call() -> None:
            self.ahead += waits.pop() if waits else timedelta(0)

        return call


@pytest.fixture(params=["passes", "is set back"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """One by which time passes; or that is set back by as much, and only the other one shows it."""
    clock = Clock()
    if request.param == "is set back":
        monotonic = schedule.monotonic
        monkeypatch.setattr(
            schedule, "monotonic", lambda: monotonic() + clock.ahead.total_seconds()
        )
        return clock
    for name, module in list(sys.modules.items()):
        if name.startswith("mpesa_integrations.core.payments.") and hasattr(module, "utc_now"):
            monkeypatch.setattr(module, "utc_now", clock.now)
    return clock


def _after(call: Callable[[], Any], method: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **named: Any) -> Any:
        found = method(*args, **named)
        call()
        return found

    return called


@pytest.fixture
def unknown(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> list[Any]:
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b", times=3)
    for _ in range(3):
        payments.c2b(**PAYMENT)
    backend.make_due()
    return backend.records()


class Slow(Heard):
    """Does something else before it tells of an event."""

    first: Callable[[], None] | None = None

    def notify(self, *args: Any) -> None:
        if self.first is not None and not self.silent:
            self.first()
        super().notify(*args)


@pytest.fixture
def heard() -> Slow:
    return Slow()


@pytest.mark.parametrize(("takes", "asked"), [(LEASE - SOON, 3), (LEASE + SOON, 1)])
def test_no_query_starts_whose_answer_may_come_after_the_lease(
    unknown: list[Any], payments: Payments[Any, Any], backend: Backend, clock: Clock,
    monkeypatch: pytest.MonkeyPatch, takes: timedelta, asked: int,
) -> None:  # fmt: skip
    slow = _after(clock.once(takes), payments._checks.query_status)
    monkeypatch.setattr(payments._checks, "query_status", slow)
    assert payments.reconciler(workers=1).run() == Reconciled(asked=asked)
    assert [record.state for record in backend.records()].count("completed") == asked
    assert payments.reconcile() == Reconciled(asked=3 - asked), "at once, not when the lease ends"


def test_a_lease_lasts_until_the_last_answer_must_be_there_and_no_longer(
    unknown: list[Any], payments: Payments[Any, Any], backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    timeout = timedelta(seconds=sum(payments.client.config.timeout))
    ask, seen = payments._checks.query_status, list[datetime]()

    def note(record: Any) -> Any:
        seen.append(payments.store.aware(record.next_check_at))
        return ask(record)

    monkeypatch.setattr(payments._checks, "query_status", note)
    before = datetime.now(timezone.utc)
    payments.reconcile(workers=1)
    after = datetime.now(timezone.utc)
    assert len(seen) == 3
    assert before + LEASE + timeout <= seen[0] + timedelta(milliseconds=1)
    assert seen[0] <= after + LEASE + timeout


@pytest.fixture
def pending(payments: Payments[Any, Any], mpesa_simulator: Simulator) -> list[Any]:
    """Payments whose callbacks are stored, and applied by nobody yet."""
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b", times=3)
    records = [payments.c2b(**PAYMENT) for _ in range(3)]
    mpesa_simulator.callbacks.drain()
    for number, record in enumerate(records):
        payments.receive(callback(record, input_TransactionID=f"4XDF{number}"), apply=False)
    return records


@pytest.mark.parametrize(
    ("takes", "decided"), [(DISPATCH_GRACE - SOON, 3), (DISPATCH_GRACE + SOON, 1)]
)
def test_no_callback_is_begun_that_may_end_after_others_are_handed_it(
    pending: list[Any], payments: Payments[Any, Any], backend: Backend, clock: Clock,
    monkeypatch: pytest.MonkeyPatch, takes: timedelta, decided: int,
) -> None:  # fmt: skip
    slow = _after(clock.once(takes), payments.store.set_verdict)
    monkeypatch.setattr(payments.store, "set_verdict", slow)
    assert payments.apply_callbacks() == decided
    assert backend.verdicts().count("applied") == decided
    assert payments.apply_callbacks() == 3 - decided, "at once"


def test_however_long_it_takes_to_be_handed_callbacks_one_is_decided(
    pending: list[Any], payments: Payments[Any, Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = _after(clock.once(2 * DISPATCH_GRACE), payments.store.claim_callbacks)
    monkeypatch.setattr(payments.store, "claim_callbacks", slow)
    assert payments.apply_callbacks() == 1


def test_a_callback_that_failed_is_not_handed_on_with_those_that_nobody_came_to(
    pending: list[Any], payments: Payments[Any, Any], backend: Backend, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    takes = clock.once(DISPATCH_GRACE + SOON)

    def broken(*args: Any) -> Any:
        takes()
        raise RuntimeError("the row cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(payments.store, "change", broken)
        assert payments.apply_callbacks() == 1
    assert [entry.attempts for entry in backend.callbacks()] == [1, 1, 1]
    assert payments.apply_callbacks() == 2
    assert backend.verdicts() == ["received", "applied", "applied"]


@pytest.fixture
def silent(payments: Payments[Any, Any], backend: Backend, heard: Slow) -> None:
    """Three payments of whose two events each nobody was told in time."""
    heard.silent = True
    for _ in range(3):
        payments.c2b(**PAYMENT)
    heard.silent = False
    backend.make_due()


@pytest.mark.parametrize(
    ("takes", "dispatched"), [(DISPATCH_GRACE / 2 - SOON, 6), (DISPATCH_GRACE / 2 + SOON, 1)]
)
def test_no_event_is_dispatched_that_others_may_be_handed_soon(
    silent: None, payments: Payments[Any, Any], backend: Backend, heard: Slow, clock: Clock,
    takes: timedelta, dispatched: int,
) -> None:  # fmt: skip
    heard.first = clock.once(takes)
    assert payments.reconcile() == Reconciled(dispatched=dispatched)
    assert backend.outbox() == 6 - dispatched
    assert payments.reconcile() == Reconciled(dispatched=6 - dispatched), "at once"
    assert len(heard.ids) == len(set(heard.ids)) == 6


def test_an_event_that_failed_is_not_handed_on_with_those_that_nobody_came_to(
    silent: None, payments: Payments[Any, Any], backend: Backend, heard: Slow, clock: Clock
) -> None:
    takes = clock.once(DISPATCH_GRACE / 2 + SOON)

    def fail() -> None:
        heard.first = None
        takes()
        raise RuntimeError("a receiver's own")

    heard.first = fail
    assert payments.reconcile() == Reconciled(dispatched=1, failed=1)
    assert payments.reconcile() == Reconciled(dispatched=5)
    assert backend.outbox() == 1


@pytest.mark.parametrize(
    ("attempts", "shortest", "longest"), [(0, 45, 75), (1, 90, 150), (8, 45 * 60, 75 * 60)]
)
def test_what_fails_again_waits_longer_and_at_the_most_an_hour_or_so(
    silent: None, pending: list[Any], payments: Payments[Any, Any], backend: Backend, heard: Slow,
    monkeypatch: pytest.MonkeyPatch, attempts: int, shortest: int, longest: int,
) -> None:  # fmt: skip
    """The first time, an event waits until its lease ends, since its receivers may be at work."""

    def fail(*args: Any) -> None:
        raise RuntimeError("a receiver's own, or a row's")

    heard.first = fail
    monkeypatch.setattr(payments.store, "change", fail)
    before = datetime.now(timezone.utc)
    backend.set_callbacks(attempts=attempts, received_at=before - 2 * DISPATCH_GRACE)
    for entry in backend.outbox_rows():
        backend.set_outbox_entry(entry.id, attempts=attempts)
    assert payments.reconcile() == Reconciled(dispatched=6, callbacks=3, failed=9)
    after = datetime.now(timezone.utc)
    times = [entry.next_attempt_at for entry in backend.callbacks()]
    if attempts:
        times += [entry.due_at for entry in backend.outbox_rows()]
    for time in times:
        assert before + timedelta(seconds=shortest) <= payments.store.aware(time)
        assert payments.store.aware(time) <= after + timedelta(seconds=longest)


@pytest.fixture(params=["django", "sqlalchemy", "memory"])
def store(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        return MemoryStore("default")
    request.getfixturevalue("transactional_db")
    if request.param == "django":
        return DjangoBackend().store()
    found: SqlAlchemyBackend = request.getfixturevalue("_sqlalchemy_backend")
    found.empty()
    return found.store()


def test_what_is_released_is_due_at_once_and_what_has_changed_meanwhile_is_not(store: Any) -> None:
    now = datetime.now(timezone.utc)
    columns: dict[str, Any] = {**PAYMENT, "operation": "c2b", "state": State.UNKNOWN}
    columns |= {"amount": Decimal(1), "next_check_at": now - timedelta(minutes=1)}
    for reference in ("RELEASED", "ASKED", "COMPLETED", "KEPT"):
        store.create({**columns, "third_party_reference": reference}, ())
    until = now + LEASE
    mine = {record.third_party_reference: record for record in store.claim_due(now, until, 9)}
    assert len(mine) == 4
    # A callback, or a person who asked, came first.
    later = {"next_check_at": now + timedelta(minutes=1)}
    store.change(mine["ASKED"], State.UNKNOWN, Change(values=later))
    over = {"state": State.COMPLETED, "next_check_at": None}
    store.change(mine["COMPLETED"], State.UNKNOWN, Change(values=over))
    kept = mine.pop("KEPT")
    store.release(list(mine.values()), until)
    due = store.claim_due(datetime.now(timezone.utc), until, 9)
    assert [record.third_party_reference for record in due] == ["RELEASED"]
    assert store.get(mine["COMPLETED"]).next_check_at is None
    assert store.aware(store.get(kept).next_check_at) == until
