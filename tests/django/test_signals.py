"""What a receiver is given, and that it is called once the transaction it belongs to has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import connection, connections, models, transaction
from django.dispatch import Signal

from django_mpesa import mpesa, signals
from django_mpesa.models import OutboxEntry, Transaction
from django_mpesa.protection import LibraryRecords
from mpesa_integrations.simulator import Simulator
from tests.contract.test_leases import LASTS, leases_last
from tests.support.awaitables import Disguise, each_disguise
from tests.support.waiting import until

__all__ = ["leases_last"]
pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
Heard = list[tuple[str, Any]]


class _RolledBack(Exception):  # noqa: N818 - what happens, not what is wrong
    pass


@contextmanager
def _connected(signal: Signal, *receivers: Any) -> Iterator[None]:
    for receiver in receivers:
        signal.connect(receiver)
    try:
        yield
    finally:
        for receiver in receivers:
            signal.disconnect(receiver)


def _reconciled() -> int:
    """How many events another worker dispatches."""

    def work() -> int:
        try:
            return mpesa.reconcile().dispatched
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(30)


def _names(heard: Heard) -> list[str]:
    return [name.removeprefix("payment_") for name, _ in heard]


def test_each_receiver_is_given_the_record_as_those_before_it_have_left_it(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    given: list[Any] = []

    def first(sender: Any, transaction: Any, **kwargs: Any) -> None:
        given.append((sender, kwargs["signal"], kwargs["event_id"], transaction.metadata))
        transaction.metadata["first"] = "wrote"
        transaction.save()

    def broken(**kwargs: Any) -> None:
        raise RuntimeError("a receiver that is broken")

    def last(sender: Any, transaction: Any, **kwargs: Any) -> None:
        given.append((sender, kwargs["signal"], kwargs["event_id"], dict(transaction.metadata)))

    async def asynchronous(sender: Any, transaction: Any, **kwargs: Any) -> None:
        given.append((sender, kwargs["signal"], kwargs["event_id"], dict(transaction.metadata)))

    with _connected(signals.payment_completed, first, broken, asynchronous, last):
        assert mpesa.c2b(**PAYMENT).state == "completed"
    assert len(given) == 4 - 1
    assert {values[:3] for values in given} == {
        (Transaction, signals.payment_completed, given[0][2])
    }
    assert [metadata for *_, metadata in given[1:]] == [{"first": "wrote"}] * 2
    assert "broken in Signal.send_robust() (a receiver that is broken)" in caplog.text
    assert OutboxEntry.objects.count() == 0


@each_disguise
def test_a_receiver_that_is_a_coroutine_is_called_also_where_it_is_the_only_one(
    simulator: Simulator, disguise: Disguise
) -> None:
    given: list[Any] = []

    async def asynchronous(sender: Any, **kwargs: Any) -> None:
        given.append(kwargs)

    receiver = disguise(asynchronous)
    with (
        _connected(signals.payment_completed, receiver),
        _connected(signals.callback_rejected, receiver),
    ):
        paid = mpesa.c2b(**PAYMENT)
        mpesa["default"].receive(b"no JSON")
    assert [kwargs.get("verdict") for kwargs in given] == [None, "unreadable"]
    assert given[0]["transaction"] == paid


def test_a_record_that_cannot_be_read_again_keeps_no_receiver_from_being_called(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    states: list[str] = []

    def first(transaction: Any, **kwargs: Any) -> None:
        states.append("first")
        monkeypatch.setattr(LibraryRecords, "get", None)

    def second(transaction: Any, **kwargs: Any) -> None:
        states.append(transaction.state)
        monkeypatch.undo()

    with _connected(signals.payment_completed, first, second):
        mpesa.c2b(**PAYMENT)
    assert states == ["first", "completed"]
    assert "signal.record_not_read" in caplog.text


def test_a_manager_of_the_shops_that_leaves_payments_out_keeps_none_from_anybody(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nothing(models.Manager[Transaction]):
        def get_queryset(self) -> Any:
            return super().get_queryset().none()

    nothing = Nothing()
    nothing.model = Transaction
    simulator.scenarios.queue("cut_after", operation="c2b")
    lost = mpesa.c2b(**PAYMENT)
    notes: list[Any] = []

    def first(transaction: Any, **kwargs: Any) -> None:
        Transaction.objects.filter(pk=transaction.pk).update(metadata={"note": "first"})

    def second(transaction: Any, **kwargs: Any) -> None:
        notes.append(transaction.metadata)

    with _connected(signals.payment_completed, first, second), monkeypatch.context() as patch:
        patch.setattr(Transaction._meta, "base_manager", nothing)
        assert mpesa.reconcile(now=True).asked == 1
    assert notes == [{"note": "first"}]
    lost.refresh_from_db()
    assert lost.state == "completed"


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite refuses the call")
@pytest.mark.parametrize("ends_by", ["commit", "rollback", "rollback of a savepoint"])
def test_inside_atomic_no_event_is_dispatched_before_it_ends(
    simulator: Simulator, heard: Heard, ends_by: str
) -> None:
    def pay() -> None:
        mpesa.c2b(**PAYMENT)
        first = min(OutboxEntry.objects.values_list("due_at", flat=True))
        until(lambda: min(OutboxEntry.objects.values_list("due_at", flat=True)) > first + LASTS)
        # Another worker looks while the caller's transaction is open.
        assert _reconciled() == 0
        assert heard == []
        if ends_by != "commit":
            raise _RolledBack

    def dispatched_by_a_worker() -> bool:
        return bool(_reconciled()) and not OutboxEntry.objects.exists()

    if ends_by == "commit":
        with transaction.atomic():
            pay()
        assert _reconciled() == 0
    elif ends_by == "rollback":
        with suppress(_RolledBack), transaction.atomic():
            pay()
        assert heard == []
        until(dispatched_by_a_worker)
    else:
        with transaction.atomic():
            with suppress(_RolledBack), transaction.atomic():
                pay()
            until(dispatched_by_a_worker)
            assert connection.in_atomic_block
    assert sorted(_names(heard)) == ["completed", "initiated"]
    assert OutboxEntry.objects.count() == 0
    assert Transaction.objects.get().state == "completed"
    until(lambda: "mpesa-leases" not in {thread.name for thread in threading.enumerate()})


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite refuses the call")
def test_what_waited_for_the_commit_is_dispatched_with_the_record_as_it_then_is(
    simulator: Simulator, heard: Heard
) -> None:
    with transaction.atomic():
        record = mpesa.c2b(**PAYMENT)
        Transaction.objects.filter(pk=record.pk).update(metadata={"order": 7})
    assert {record.metadata["order"] for _, record in heard} == {7}
