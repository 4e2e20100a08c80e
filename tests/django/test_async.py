"""Payments from asynchronous code: in which thread and on which connection they are recorded."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections
from django.test import TestCase

from django_mpesa import CalledInEventLoop, mpesa
from django_mpesa.models import Transaction
from django_mpesa.test import mpesa_gateway

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


class AsyncShopTests(TestCase):
    """As a shop has them: inside Django's TestCase, whose transaction is rolled back."""

    def test_a_step_of_the_store_is_in_the_thread_and_the_transaction_of_the_test(self) -> None:
        def where() -> tuple[int, int, bool]:
            return threading.get_ident(), id(connection.connection), connection.in_atomic_block

        async def step() -> tuple[int, int, bool]:
            return await mpesa["default"].store.in_thread(where)

        with mpesa_gateway():
            assert async_to_sync(step)() == where()

    async def test_a_payment_is_awaited(self) -> None:
        with mpesa_gateway() as gateway:
            paid = await mpesa.ac2b(**PAYMENT)
            assert paid.is_paid
            assert (await Transaction.objects.aget()).pk == paid.pk
            assert len(gateway.ledger.transactions()) == 1
            assert (await mpesa.areverse(paid)).state == "completed"
            gateway.outcome("insufficient_balance")
            assert (await mpesa.ac2b(**PAYMENT, order="A")).may_retry
            standing = await mpesa.astanding("A")
            assert standing is not None
            assert standing.state == "failed"


CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("c2b", PAYMENT, "ac2b"),
    ("paid", {"order": "A"}, "apaid"),
    ("query_customer_name", {"msisdn": "84 123 4567"}, "aquery_customer_name"),
    ("wait", {"payment": None}, "await_outcome"),
]


@pytest.mark.parametrize(("call", "arguments", "twin"), CALLS)
def test_a_blocking_call_in_an_event_loop_is_told_what_to_await(
    transactional_db: None, call: str, arguments: dict[str, Any], twin: str
) -> None:
    async def view() -> None:
        with pytest.raises(CalledInEventLoop, match=rf"Nothing was sent.*await mpesa\.{twin}\("):
            getattr(mpesa, call)(**arguments)

    with mpesa_gateway() as gateway:
        asyncio.run(view())
        assert gateway.ledger.transactions() == []
    assert Transaction.objects.count() == 0


def test_who_allows_django_what_is_unsafe_there_is_allowed_it_here(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    async def notebook() -> str:
        try:
            return str(mpesa.c2b(**PAYMENT).state)
        finally:
            connections.close_all()  # Django has others in an event loop

    with mpesa_gateway():
        assert asyncio.run(notebook()) == "completed"
