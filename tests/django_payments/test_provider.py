"""A shop on django-payments takes M-Pesa by its settings alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone, translation
from payments import PaymentError, PaymentStatus, signals
from payments.core import PROVIDER_CACHE

from django_mpesa import get_transaction_model, mpesa
from django_mpesa.contrib.django_payments.booking import book
from django_mpesa.contrib.django_payments.provider import MpesaProvider
from mpesa_integrations.simulator import Simulator
from tests.support import rows

from .shop.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]
POOR, RICH = "84 000 0001", "84 123 4567"


@pytest.fixture
def payment() -> Any:
    return Payment.objects.create(variant="mpesa", total=Decimal("150.00"), currency="MZN")


@pytest.fixture
def statuses() -> Any:
    """What the shop was told by django-payments' signal."""
    heard: list[str] = []

    def hear(instance: Any, **kwargs: Any) -> None:
        heard.append(instance.status)

    signals.status_changed.connect(hear)
    yield heard
    signals.status_changed.disconnect(hear)


def _get(url: str) -> Any:
    return Client().get(url)


def _attempt(payment: Any) -> Any:
    """The attempt that stands, which there is."""
    return mpesa.standing(payment)


def _pay(payment: Any, phone: str = RICH) -> Any:
    return Client().post(f"/pay/{payment.pk}/", {"msisdn": phone})


def _paid(payment: Any) -> Any:
    assert _pay(payment).url == f"/thanks/{payment.pk}/"
    payment.refresh_from_db()
    return payment


def test_a_customer_pays(payment: Any, statuses: list[str], simulator: Simulator) -> None:
    page = _get(f"/pay/{payment.pk}/").content.decode()
    assert 'type="tel"' in page
    _paid(payment)
    assert (payment.status, payment.captured_amount) == (PaymentStatus.CONFIRMED, 150)
    (entry,) = simulator.ledger.transactions()
    assert payment.transaction_id == entry.transaction_id
    assert statuses == [PaymentStatus.INPUT, PaymentStatus.CONFIRMED]
    # A reload, and a form that is sent again: the same page, and nobody is asked.
    assert _get(f"/pay/{payment.pk}/").url == f"/thanks/{payment.pk}/"
    assert _pay(payment).url == f"/thanks/{payment.pk}/"
    assert len(simulator.ledger.transactions()) == 1


@pytest.mark.parametrize(
    "status", [PaymentStatus.CONFIRMED, PaymentStatus.PREAUTH, PaymentStatus.REFUNDED]
)
def test_what_was_paid_in_another_way_asks_no_phone(
    payment: Any, status: str, simulator: Simulator
) -> None:
    payment.change_status(status)
    assert _get(f"/pay/{payment.pk}/").url == f"/thanks/{payment.pk}/"
    assert _pay(payment).url == f"/thanks/{payment.pk}/"
    assert simulator.ledger.transactions() == []


def test_who_did_not_pay_is_told_why_and_tries_again_with_another_phone(payment: Any) -> None:
    page = _pay(payment, POOR).content.decode()
    assert "not enough money" in page
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.INPUT
    assert "not enough money" in payment.message
    assert "not enough money" in _get(f"/pay/{payment.pk}/").content.decode()
    assert _paid(payment).status == PaymentStatus.CONFIRMED


@pytest.mark.parametrize("phone", ["", "my phone", "86 123 4567"])
def test_a_wrong_number_asks_nobody(payment: Any, phone: str, simulator: Simulator) -> None:
    assert 'class="errorlist"' in _pay(payment, phone).content.decode()
    assert simulator.ledger.transactions() == []


def test_the_page_waits_until_the_outcome_is_known(payment: Any, simulator: Simulator) -> None:
    simulator.scenarios.queue("cut_after", operation="c2b")  # the answer never comes
    url = _pay(payment).url
    assert url == f"/payments/process/{payment.token}/"
    with translation.override("pt"):
        waiting = _get(url).content.decode()
    assert 'http-equiv="refresh"' in waiting
    assert "150,00" in waiting
    assert "25884•••4567" in waiting
    assert _get(f"/pay/{payment.pk}/").url == url
    with pytest.raises(PaymentError, match="cannot be cancelled"):
        payment.cancel()
    payment.refresh_from_db()
    (attempt,) = mpesa.attempts(payment)
    mpesa.check(attempt)
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CONFIRMED
    assert _get(url).url == f"/thanks/{payment.pk}/"


def test_of_a_payment_that_failed_the_page_goes_back_to_the_shop(payment: Any) -> None:
    url = f"/payments/process/{payment.token}/"
    assert _get(url).url == f"/pay/{payment.pk}/"
    _pay(payment, POOR)
    assert _get(url).url == f"/pay/{payment.pk}/"


def test_refunds_in_part_and_whole(payment: Any, statuses: list[str]) -> None:
    _paid(payment)
    payment.refund(Decimal("50.00"))
    payment.refresh_from_db()
    assert (payment.status, payment.captured_amount) == (PaymentStatus.CONFIRMED, 100)
    with pytest.raises(ValueError, match="greater"):
        payment.refund(Decimal("100.01"))
    payment.refund()
    payment.refresh_from_db()
    assert (payment.status, payment.captured_amount) == (PaymentStatus.REFUNDED, 0)
    assert statuses == [PaymentStatus.INPUT, PaymentStatus.CONFIRMED, PaymentStatus.REFUNDED]
    assert _attempt(payment).state == "reversed"
    assert _get(f"/pay/{payment.pk}/").url == f"/thanks/{payment.pk}/"


def test_a_refund_whose_outcome_is_open_is_booked_once_it_is_known(
    payment: Any, simulator: Simulator
) -> None:
    _paid(payment)
    simulator.scenarios.queue("cut_after", operation="reversal")
    payment.refund(Decimal("50.00"))
    payment.refresh_from_db()
    assert payment.captured_amount == 150
    with pytest.raises(PaymentError, match="more would go back"):
        payment.refund(Decimal("100.01"))
    paid = _attempt(payment)
    assert paid.reversal_pending == 50
    mpesa.check(paid.reversals.get())
    payment.refresh_from_db()
    assert (payment.status, payment.captured_amount) == (PaymentStatus.CONFIRMED, 100)


def test_a_refund_that_the_gateway_refuses_leaves_all_as_it_was(
    payment: Any, simulator: Simulator
) -> None:
    _paid(payment)
    simulator.scenarios.queue("insufficient_balance", operation="reversal")
    with pytest.raises(PaymentError) as refused:
        payment.refund()
    assert refused.value.code == "INS-2006"
    payment.refresh_from_db()
    assert (payment.status, payment.captured_amount) == (PaymentStatus.CONFIRMED, 150)


def test_nothing_goes_back_of_what_was_not_paid(payment: Any) -> None:
    payment.status = PaymentStatus.CONFIRMED  # by hand, or by another provider before
    payment.captured_amount = payment.total
    with pytest.raises(PaymentError, match="nothing goes back"):
        payment.refund()


def test_a_payment_is_booked_however_often_its_handler_runs(
    payment: Any, statuses: list[str]
) -> None:
    _paid(payment)
    record = _attempt(payment)
    for _ in range(2):
        book(record)
    assert statuses == [PaymentStatus.INPUT, PaymentStatus.CONFIRMED]


def test_payments_of_other_orders_are_left_alone(payment: Any) -> None:
    mpesa.c2b(order="ANOTHER", msisdn=RICH, amount=5)
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.WAITING
    payment.cancel()
    assert payment.status == PaymentStatus.CANCELLED


def test_who_sends_the_form_of_a_cancelled_payment_is_not_asked_for_money(
    payment: Any, simulator: Simulator
) -> None:
    payment.cancel()
    with pytest.raises(PaymentError, match="was cancelled"):
        payment.get_form({"msisdn": RICH})
    assert simulator.ledger.transactions() == []


def test_what_is_queued_still_is_taken_back_where_it_is_cancelled(
    payment: Any, simulator: Simulator, settings: Any
) -> None:
    settings.MPESA["default"]["SEND"] = "worker"
    settings.MPESA = dict(settings.MPESA)
    PROVIDER_CACHE.clear()
    assert _pay(payment).url == f"/payments/process/{payment.token}/"
    assert _attempt(payment).state == "queued"
    payment.refresh_from_db()
    payment.cancel()
    assert payment.status == PaymentStatus.CANCELLED
    assert _attempt(payment).state == "cancelled"
    sender = mpesa.queue_sender()
    assert not sender.run_once()
    sender.finish(0)


def test_the_page_waits_no_longer_than_a_worker_may_send_where_there_is_none(
    payment: Any, settings: Any
) -> None:
    settings.MPESA["default"] |= {"SEND": "worker", "SEND_WITHIN": 60}
    settings.MPESA = dict(settings.MPESA)
    PROVIDER_CACHE.clear()
    url = _pay(payment).url
    assert "We are about to ask" in _get(url).content.decode()
    rows.change(get_transaction_model()._default_manager.all(), send_before=timezone.now())
    assert _get(url).url == f"/pay/{payment.pk}/"
    assert "could not ask M-Pesa" in _get(f"/pay/{payment.pk}/").content.decode()


def test_what_mpesa_cannot_take_is_an_error_before_anybody_is_asked(
    payment: Any, simulator: Simulator
) -> None:
    payment.currency = "USD"
    with pytest.raises(PaymentError, match="the payment is in USD"):
        payment.get_form()
    payment.currency, payment.total = "MZN", Decimal(0)
    with pytest.raises(PaymentError, match="amount"):
        payment.get_form({"msisdn": RICH})
    payment.status = PaymentStatus.PREAUTH
    for wrong in (payment.capture, payment.release):
        with pytest.raises(PaymentError, match="takes money at once"):
            wrong()
    assert simulator.ledger.transactions() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [({"capture": False}, "at once"), ({"account": "shop"}, "no M-Pesa account 'shop'; MPESA has")],
)
def test_a_wrong_variant_is_found_when_it_is_made(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        MpesaProvider(**options)
