"""Books what became of M-Pesa's payments in those of django-payments, each once.

The handlers are the only ones that write there: whether it was the customer's request, a callback
or a worker that brought the news, and however often.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import get_language
from payments import PaymentStatus, get_payment_model

from django_mpesa import State, mpesa
from django_mpesa.models import AbstractTransaction
from django_mpesa.signals import (
    payment_cancelled,
    payment_completed,
    payment_failed,
    payment_reversed,
)

_NOT_PAID = (PaymentStatus.WAITING, PaymentStatus.INPUT)


@mpesa.handler(payment_completed, name="django_payments.book")
@mpesa.handler(payment_reversed, name="django_payments.book")
def book(paid: AbstractTransaction) -> None:
    """Book how much of the customer's money the shop has now."""
    with transaction.atomic():
        payment = _locked(paid)
        if payment is None:
            return
        payment.captured_amount = paid.amount - paid.reversed_amount
        payment.transaction_id = paid.transaction_id
        payment.save(update_fields=["captured_amount", "transaction_id", "modified"])
        all_went_back = paid.state == State.REVERSED
        status = PaymentStatus.REFUNDED if all_went_back else PaymentStatus.CONFIRMED
        if payment.status != status:
            payment.change_status(status)


@mpesa.handler(payment_failed, name="django_payments.note")
@mpesa.handler(payment_cancelled, name="django_payments.note")
def note(failed: AbstractTransaction) -> None:
    """Note why the customer did not pay. The payment stays open: they may try again."""
    with transaction.atomic():
        payment = _locked(failed)
        if payment is not None and payment.status in _NOT_PAID:
            payment.message = failed.customer_message(get_language())
            payment.save(update_fields=["message", "modified"])


def _locked(record: AbstractTransaction) -> Any:
    """The payment of django-payments that a record is of, while nobody else changes it; or None."""
    model = get_payment_model()
    paid_for = record.paid_for
    if not isinstance(paid_for, model):
        return None
    return model._base_manager.select_for_update().filter(pk=paid_for.pk).first()
