"""A receiver at work keeps its event from other workers, however long; over every store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.reconcile import Reconciled
from tests.support.waiting import until

from .backends import Backend
from .conftest import Heard, MakePayments
from .test_payments import PAYMENT

LASTS = timedelta(seconds=0.9)


Last = Callable[[timedelta], None]


@pytest.fixture(autouse=True)
def leases_last(monkeypatch: pytest.MonkeyPatch) -> Last:
    """Sets how long leases last: not long."""
    payments = "mpesa_integrations.core.payments"
    modules = (
        f"{payments}.outbox", f"{payments}.callback_intake", f"{payments}.reconcile",
        "django_mpesa.store.outbox", "mpesa_integrations.sqlalchemy.outbox_rows",
    )  # fmt: skip

    def last(lease: timedelta) -> None:
        for module in modules:
            monkeypatch.setattr(f"{module}.DISPATCH_GRACE", lease)

    last(LASTS)
    return last


@pytest.fixture
def reconcile_until_dispatched(
    payments: Payments[Any, Any], leases_last: Last
) -> Callable[[], int]:
    """Reconciles until events are dispatched; how many.

    A machine so busy that half of the lease is over leaves all of them to others: it is given
    longer ones.
    """

    def reconcile() -> int:
        dispatched: list[int] = []

        def some() -> bool:
            leases_last(LASTS * min(1 + len(dispatched), 8))
            dispatched.append(payments.reconcile().dispatched)
            return bool(dispatched[-1])

        until(some, seconds=60)
        return dispatched[-1]

    return reconcile


@pytest.fixture
def other(backend: Backend) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Runs a call as another worker: in a thread and on a connection of its own."""

    def work(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            backend.done()

    with ThreadPoolExecutor(1) as pool:
        yield lambda call: pool.submit(work, call).result(30)


def aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _due_at(backend: Backend, entry_id: str) -> datetime:
    (found,) = [row for row in backend.outbox_rows() if row.id == entry_id]
    return aware(found.due_at)


class Slow(Heard):
    """Calls something while it dispatches an event."""

    at_work: Callable[[str], None] | None = None

    def notify(self, entry: Any, record: Any, dispatched: Callable[[], None]) -> None:
        if self.at_work is not None and not self.silent:
            self.at_work(entry.id)
        super().notify(entry, record, dispatched)


@pytest.fixture
def heard() -> Slow:
    return Slow()


def test_a_receiver_of_a_call_that_takes_long_is_called_once(
    payments: Payments[Any, Any], make_payments: MakePayments, backend: Backend, heard: Slow,
    other: Any,
) -> None:  # fmt: skip
    worker = make_payments()

    def work(entry_id: str) -> None:
        first = _due_at(backend, entry_id)
        until(lambda: _due_at(backend, entry_id) > first + LASTS)
        assert other(worker.reconcile) == Reconciled()

    heard.at_work = work
    assert payments.c2b(**PAYMENT).state == "completed"
    assert heard.names == ["initiated", "completed"]
    assert backend.outbox() == 0


def test_a_receiver_of_a_worker_that_takes_long_is_called_once_and_the_rest_goes_to_others(
    payments: Payments[Any, Any], make_payments: MakePayments, backend: Backend, heard: Slow,
    other: Any, reconcile_until_dispatched: Callable[[], int],
) -> None:  # fmt: skip
    worker = make_payments()
    heard.silent = True
    for _ in range(2):
        payments.c2b(**PAYMENT)
    heard.silent = False
    backend.make_due()

    def work(entry_id: str) -> None:
        heard.at_work = None

        def others_are_dispatched() -> bool:
            other(worker.reconcile)
            return backend.outbox() == 1

        # The rest of this worker's batch is dispatched by another, once its lease has run out.
        until(others_are_dispatched)

    heard.at_work = work
    assert reconcile_until_dispatched() == 1
    assert len(heard.ids) == len(set(heard.ids)) == 4
    assert backend.outbox() == 0


def test_a_worker_gives_back_only_what_no_other_was_handed_since(
    payments: Payments[Any, Any], backend: Backend, heard: Slow
) -> None:
    heard.silent = True
    payments.c2b(**PAYMENT)
    now = datetime.now(timezone.utc) + timedelta(minutes=5)
    first, second = now + timedelta(minutes=1), now + timedelta(minutes=9)
    store = backend.store()
    ids = [due.id for due in store.claim_outbox(now, first, 10)]
    assert len(ids) == 2
    assert {due.id for due in store.claim_outbox(first, second, 10)} == set(ids)
    store.release_outbox(ids, first)
    assert store.claim_outbox(first, second, 10) == [], "they are the second worker's"
    store.release_outbox(ids[:1], second)
    (again,) = store.claim_outbox(first, second, 10)
    assert (again.id, again.attempts) == (ids[0], 2), "as what was not tried does not count"


def test_both_events_of_a_reversal_are_kept_while_the_first_is_dispatched(
    payments: Payments[Any, Any], make_payments: MakePayments, backend: Backend, heard: Slow,
    other: Any,
) -> None:  # fmt: skip
    worker = make_payments()
    paid = payments.c2b(**PAYMENT)

    def work(entry_id: str) -> None:
        rows = {row.id: aware(row.due_at) for row in backend.outbox_rows()}
        if len(rows) == 2:  # the reversal's own, and the payment's
            heard.at_work = None
            until(lambda: all(_due_at(backend, key) > due + LASTS for key, due in rows.items()))
            assert other(worker.reconcile) == Reconciled()

    heard.at_work = work
    payments.reverse(transaction_id=paid.transaction_id)
    assert heard.at_work is None
    of_reversal = ["reversal_initiated", "reversal_completed"]
    assert heard.names == ["initiated", "completed", *of_reversal, "reversed"]


def test_what_a_process_that_died_held_is_dispatched_by_another(
    payments: Payments[Any, Any], heard: Slow, reconcile_until_dispatched: Callable[[], int]
) -> None:
    class Died(BaseException):
        pass

    def work(entry_id: str) -> None:
        heard.at_work = None
        raise Died

    heard.at_work = work
    with pytest.raises(Died):
        payments.c2b(**PAYMENT)
    reconcile_until_dispatched()
    assert heard.names == ["initiated"]
    until(lambda: "mpesa-leases" not in {thread.name for thread in threading.enumerate()})
