"""Waiting for an outcome in Django: in a transaction, in a TestCase, and what is held meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections, transaction

from django_mpesa import CalledInTransaction, mpesa
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import accepted_payment, callback_body
from tests.support.waiting import meanwhile, until

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


@pytest.fixture
def between(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """After each look: whether the connection of the thread that looked is held."""
    found: list[bool] = []
    store = mpesa.store
    disconnect = store.disconnect

    def noting() -> None:
        disconnect()
        found.append(connection.connection is not None)

    monkeypatch.setattr(store, "disconnect", noting)
    return found


@contextmanager
def _decided_after(looks: list[bool], payment: Any) -> Iterator[None]:
    """Have its callback received in another thread, once it has been looked at twice."""

    def receive() -> None:
        until(lambda: len(looks) >= 2)
        mpesa.receive(json.dumps(callback_body(payment)).encode())

    with meanwhile(receive, at_end=connections.close_all):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("awaited", [False, True])
def test_between_two_looks_no_connection_is_held(
    simulator: Simulator, between: list[bool], awaited: bool
) -> None:
    payment = accepted_payment(mpesa, simulator, **PAYMENT)
    between.clear()
    with _decided_after(between, payment):
        found = (async_to_sync(mpesa.await_outcome) if awaited else mpesa.wait)(payment)
    assert found.is_paid
    # SQLite has no server whose connections could run out.
    assert set(between) == {connection.vendor == "sqlite"}


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_what_others_commit_is_seen(
    simulator: Simulator, between: list[bool]
) -> None:
    payment = accepted_payment(mpesa, simulator, **PAYMENT)
    between.clear()
    if connection.vendor == "sqlite":
        with transaction.atomic(), pytest.raises(CalledInTransaction):
            mpesa.wait(payment)
        return
    with _decided_after(between, payment), transaction.atomic():
        type(payment).objects.get()  # a snapshot, on MariaDB
        assert mpesa.wait(payment).is_paid
    assert set(between) == {True}, "the caller's own connection is left alone"


@pytest.mark.django_db
@pytest.mark.parametrize("awaited", [False, True])
def test_in_a_test_case_the_payment_is_found(simulator: Simulator, awaited: bool) -> None:
    payment = accepted_payment(mpesa, simulator, **PAYMENT)
    wait = async_to_sync(mpesa.await_outcome) if awaited else mpesa.wait
    assert wait(payment, timeout=0.2).is_open
    mpesa.receive(json.dumps(callback_body(payment)).encode())
    assert wait(payment, timeout=0.2).is_paid
