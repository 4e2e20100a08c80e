"""Somebody else's transaction has locked a payment: nobody waits for it without a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from django.db import connection, connections, transaction
from sqlalchemy import text

from django_mpesa import isolation
from mpesa_integrations.core.errors import RecordsUnavailable
from mpesa_integrations.core.payments import persistence
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.persistence import persist
from mpesa_integrations.core.payments.schedule import utc_now
from mpesa_integrations.sqlalchemy import sessions

from .backends import Backend
from .test_payments import PAYMENT, callback, pending

__all__ = ["pending"]
_STANDSTILL = 20
"""Seconds after which the lock goes, should somebody wait for it all the same."""


@pytest.fixture(autouse=True)
def _soon(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("the others have bounds of their own")
    monkeypatch.setattr(isolation, "LOCK_TIMEOUT", 1)
    monkeypatch.setattr(sessions, "_LOCK_TIMEOUT", text("SET LOCAL lock_timeout = '1s'"))
    monkeypatch.setattr(persistence, "clock", count(step=60).__next__)  # once is enough


@contextmanager
def _payments_locked(backend: Backend) -> Iterator[Callable[[], bool]]:
    """Lock all payments as a shop's `select_for_update()` does; gives whether they still are."""
    locked, done = threading.Event(), threading.Event()
    model: Any = type(backend.records()[0])
    table = model._meta.db_table if hasattr(model, "_meta") else model.__tablename__

    def lock() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT 1 FROM {table} FOR UPDATE")
            locked.set()
            done.wait(_STANDSTILL)
            locked.clear()
        connections.close_all()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        assert locked.wait(_STANDSTILL)
        yield locked.is_set
    finally:
        done.set()
        thread.join()


def test_a_callback_is_stored_and_answered_and_decided_later(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    with _payments_locked(backend) as still_locked:
        assert payments.receive(callback(pending))[0] == 200
        assert still_locked()
        assert backend.verdicts() == ["received"]
    backend.make_due()
    payments.reconcile()
    assert backend.verdicts() == ["applied"]
    assert backend.records()[0].state == "completed"


def test_one_that_is_of_another_conversation_is_answered_too(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    other = callback(pending, input_OriginalConversationID="AG_another")
    with _payments_locked(backend) as still_locked:
        assert payments.receive(other)[0] == 200
        assert still_locked()
        assert len(backend.callbacks()) == 1
    backend.make_due()
    payments.reconcile()
    assert backend.verdicts() == ["mismatched"]


def test_no_step_of_a_worker_waits_for_ever(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    store = payments.store
    (record,) = backend.records()
    due = store.aware(record.next_check_at)
    steps: list[Callable[[], object]] = [
        lambda: store.make_due(utc_now()),
        lambda: store.release([record], due),
        lambda: store.note_conflict(record, "two things", ()),
    ]
    with _payments_locked(backend) as still_locked:
        for step in steps:
            with pytest.raises(RecordsUnavailable):
                persist(store, step)
            assert still_locked()


def test_a_reversal_is_not_sent(payments: Payments[Any, Any], backend: Backend) -> None:
    paid = payments.c2b(**PAYMENT)
    with _payments_locked(backend) as still_locked:
        with pytest.raises(RecordsUnavailable, match=r"^Nothing was sent\. "):
            payments.reverse(paid)
        assert still_locked()
    assert payments.reverse(paid).state == "completed"
