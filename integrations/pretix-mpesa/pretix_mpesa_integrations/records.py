"""M-Pesa's records of pretix's payments and refunds."""

from __future__ import annotations

from typing import Any

from pretix.base.models import Order, OrderPayment, OrderRefund

from django_mpesa import State
from django_mpesa.models import Transaction
from django_mpesa.order_keys import key_of_object
from django_mpesa.protection import LibraryRecords
from mpesa_integrations.core.payments.orders import attempt_that_stands, paid_attempt

IDENTIFIER = "vodacom_mpesa"
"""The payment method, as pretix keeps it with each payment and refund."""
PAID = (OrderPayment.PAYMENT_STATE_CONFIRMED, OrderPayment.PAYMENT_STATE_REFUNDED)
"""The states of a payment that pretix has as paid."""


def attempts_of(payment: OrderPayment) -> list[Any]:
    """What M-Pesa was asked for a payment, the oldest first; of any account."""
    found = Transaction.objects.filter(order_key=key_of_object(payment), operation="c2b")
    return list(found.order_by("created_at", "pk"))


def standing(payment: OrderPayment) -> Any | None:
    """The record that says where a payment stands; None where M-Pesa was never asked."""
    return attempt_that_stands(attempts_of(payment))


def paid(payment: OrderPayment) -> Any | None:
    """The record of the money that the organiser has of a payment."""
    return paid_attempt(attempts_of(payment))


def may_yet_be_paid(order: Order, besides: OrderPayment | None = None) -> list[Any]:
    """The records of an order's payments that pretix has not as paid, and M-Pesa perhaps has.

    They are open, or contradicted until a person has decided: whoever pays again may pay twice.

    Args:
        order: pretix's.
        besides: a payment whose record is left out.
    """
    unpaid = order.payments.filter(provider=IDENTIFIER).exclude(state__in=PAID)
    payments = [payment for payment in unpaid if payment != besides]
    found = [record for record in map(standing, payments) if record is not None]
    return [record for record in found if not (record.may_retry or record.state == State.REVERSED)]


def reversal_of(refund: OrderRefund) -> Any | None:
    """The record of a refund's reversal; None where M-Pesa was never asked."""
    key = refund_key(refund)
    return Transaction.objects.filter(idempotency_key=key).first()


def refund_key(refund: OrderRefund) -> str:
    """By what a refund is given back once, whoever asks for it again."""
    return f"pretix-refund-{refund.pk}"


def forget_phone_number(payment: OrderPayment) -> None:
    """Take the phone number out of the records of a payment that are decided."""
    decided = [record.pk for record in attempts_of(payment) if not record.is_open]
    records: LibraryRecords[Any] = LibraryRecords(Transaction)
    records.filter(pk__in=decided).update(msisdn="")


def details_of(record: Any) -> dict[str, str]:
    """What pretix keeps of a record in a payment's own information; no whole phone number."""
    return {
        "account": record.account,
        "transaction_id": record.transaction_id,
        "conversation_id": record.conversation_id,
        "third_party_reference": record.third_party_reference,
        "msisdn": record.masked_msisdn,
        "response_code": record.response_code,
    }
