"""The helpers for a shop's own tests: used as a shop would, with no socket."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.test import TestCase

from django_mpesa import mpesa
from django_mpesa.models import Transaction
from django_mpesa.signals import payment_completed
from django_mpesa.test import mpesa_gateway

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("a test went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


class ShopTests(TestCase):
    """As a shop has them: inside Django's TestCase, whose transaction is rolled back."""

    def test_a_sale(self) -> None:
        sold = []

        def sell(sender: Any, transaction: Transaction, **values: Any) -> None:
            sold.append(transaction.reference)

        payment_completed.connect(sell)
        try:
            with mpesa_gateway() as gateway:
                paid = mpesa.c2b(**PAYMENT)
                assert gateway.ledger.balance("258841234567") == 100_000 - 150
        finally:
            payment_completed.disconnect(sell)
        assert (paid.state, sold) == ("completed", ["ORDER 7"])

    def test_chosen_outcomes(self) -> None:
        with mpesa_gateway() as gateway:
            for scenario, state in (
                ("insufficient_balance", "failed"),
                ("cancelled", "cancelled"),
                ("pin_timeout", "unknown"),
                ("cut_after", "unknown"),
            ):
                gateway.outcome(scenario)
                assert mpesa.c2b(**PAYMENT).state == state
            assert mpesa.check(Transaction.objects.order_by("pk").last()).state == "completed"
            with pytest.raises(ValueError, match="insufficient_balance"):
                gateway.outcome("nonsense")

    def test_results_by_callback(self) -> None:
        with mpesa_gateway(asynchronous=True) as gateway:
            first = mpesa.c2b(**PAYMENT)
            assert first.state == "pending"
            assert gateway.deliver() == 1
            gateway.outcome("insufficient_balance")
            mpesa.c2b(**PAYMENT)
            assert gateway.deliver() == 1
            mpesa.c2b(**PAYMENT)
            assert gateway.deliver("INS-5") == 1
            assert gateway.deliver() == 0
        states = list(Transaction.objects.order_by("pk").values_list("state", flat=True))
        assert states == ["completed", "failed", "cancelled"]


@pytest.mark.django_db
def test_another_account() -> None:
    with mpesa_gateway(account="payouts"):
        record = mpesa["payouts"].b2c(**PAYMENT)
    assert (record.account, record.state) == ("payouts", "completed")
