"""The helpers for a shop's own tests: used as a shop would, with no socket."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import TestCase, override_settings
from django.urls import include, path

from django_mpesa import ConfigurationError, mpesa
from django_mpesa.models import CallbackLog, Transaction
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

    def test_results_that_come_twice_or_never(self) -> None:
        with mpesa_gateway(asynchronous=True) as gateway:
            for scenario, times, state in (
                ("callback_twice", 2, "completed"),
                ("callback_never", 0, "pending"),
            ):
                gateway.outcome(scenario)
                reference = mpesa.c2b(**PAYMENT).third_party_reference
                assert gateway.deliver() == 1
                assert CallbackLog.objects.filter(third_party_reference=reference).count() == times
                assert Transaction.objects.get(third_party_reference=reference).state == state


def _checkout(request: HttpRequest) -> HttpResponse:
    return HttpResponse(mpesa.c2b(**PAYMENT, idempotency_key="order-7").state)


urlpatterns = [path("checkout/", _checkout), path("mpesa/", include("django_mpesa.urls"))]


@override_settings(ROOT_URLCONF=__name__)
class ShopTestsWithAtomicRequests(TestCase):
    """As a shop has them whose views are each in a transaction: nothing is left to the next."""

    def setUp(self) -> None:
        kept = connection.settings_dict["ATOMIC_REQUESTS"]
        connection.settings_dict["ATOMIC_REQUESTS"] = True
        self.addCleanup(connection.settings_dict.update, ATOMIC_REQUESTS=kept)
        self.sold: list[str] = []
        payment_completed.connect(self._sell)
        self.addCleanup(payment_completed.disconnect, self._sell)
        assert not Transaction.objects.exists()  # of the test before

    def _sell(self, sender: Any, transaction: Transaction, **values: Any) -> None:
        self.sold.append(transaction.reference)

    def test_a_sale(self) -> None:
        with mpesa_gateway():
            for _ in range(2):  # the page is loaded again
                assert self.client.post("/checkout/").content == b"completed"
        assert Transaction.objects.get().state == "completed"
        assert self.sold == ["ORDER 7"]

    def test_a_sale_whose_signal_is_captured(self) -> None:
        with mpesa_gateway(), self.captureOnCommitCallbacks(execute=True):
            assert self.client.post("/checkout/").content == b"completed"
        assert self.sold == ["ORDER 7"]

    def test_a_result_by_callback(self) -> None:
        with mpesa_gateway(asynchronous=True) as gateway:
            assert self.client.post("/checkout/").content == b"pending"
            assert gateway.deliver() == 1
        assert Transaction.objects.get().state == "completed"
        assert self.sold == ["ORDER 7"]

    @override_settings(
        SECURE_SSL_REDIRECT=True, MIDDLEWARE=["django.middleware.security.SecurityMiddleware"]
    )
    def test_a_result_by_callback_where_all_is_redirected_to_https(self) -> None:
        with mpesa_gateway(asynchronous=True) as gateway:
            mpesa.c2b(**PAYMENT)
            assert gateway.deliver() == 1
        assert Transaction.objects.get().state == "completed"

    def test_a_payment_of_a_record_that_is_not_committed(self) -> None:
        with transaction.atomic(), mpesa_gateway():
            paid = mpesa.c2b(**PAYMENT)
            back = mpesa.reverse(transaction_id=paid.transaction_id)
        assert back.original == paid


@pytest.mark.django_db
def test_another_account() -> None:
    with mpesa_gateway(account="payouts"):
        record = mpesa["payouts"].b2c(**PAYMENT)
    assert (record.account, record.state) == ("payouts", "completed")


def test_a_wrong_setting_is_said_before_the_first_payment(settings: Any) -> None:
    settings.MPESA = {"default": {"STUCK_AFTER": "soon"}}
    with pytest.raises(ConfigurationError, match="stuck_after"), mpesa_gateway():
        pass
