"""Books what became of M-Pesa's payments and reversals in pretix's, each once.

These handlers are the only ones that confirm or fail a payment: whether it was the customer's
request, a callback or a worker that brought the news, and however often.
"""

from __future__ import annotations

import json
from typing import Any

from django_scopes import scope, scopes_disabled
from pretix.base.models import OrderPayment, OrderRefund, Quota

from django_mpesa import mpesa
from django_mpesa.signals import (
    payment_cancelled,
    payment_completed,
    payment_conflict,
    payment_failed,
    payment_stuck,
    reversal_cancelled,
    reversal_completed,
    reversal_failed,
)

from .records import PAID, details_of

NEEDS_A_PERSON = "pretix_mpesa_integrations.needs_a_person"
"""The log entry of an order whose payment M-Pesa gives no clear news of."""
_UNDER_WAY = (OrderRefund.REFUND_STATE_CREATED, OrderRefund.REFUND_STATE_TRANSIT)


@mpesa.handler(payment_completed, name="pretix.confirm")
def confirm(record: Any) -> None:
    """Confirm the payment: the money is with the organiser."""
    payment = _payment_of(record)
    if payment is None:
        return
    with scope(organizer=payment.order.event.organizer):
        payment = OrderPayment.objects.select_for_update(of=("self",)).get(pk=payment.pk)
        if payment.state in PAID:
            return
        payment.info_data = {**payment.info_data, **details_of(record)}
        try:
            payment.confirm()
        except Quota.QuotaExceededException as error:
            # The payment is confirmed, and the order stays unpaid: pretix shows both to the
            # organiser, who lets it be paid after all, or gives the money back.
            payment.order.log_action("pretix.event.order.quotaexceeded", {"message": str(error)})


@mpesa.handler(payment_failed, name="pretix.fail")
@mpesa.handler(payment_cancelled, name="pretix.fail")
def fail(record: Any) -> None:
    """Fail the payment: no money was taken, and the customer may pay again."""
    payment = _payment_of(record)
    if payment is None:
        return
    with scope(organizer=payment.order.event.organizer):
        payment.fail(
            info={**payment.info_data, **details_of(record)},
            log_data={"code": record.response_code, "error": record.response_description},
        )


@mpesa.handler(payment_conflict, name="pretix.note")
@mpesa.handler(payment_stuck, name="pretix.note")
def note(record: Any) -> None:
    """Tell the organiser, in the order's history, that a person must look."""
    payment = _payment_of(record.original or record)
    if payment is None:
        return
    with scope(organizer=payment.order.event.organizer):
        payment.order.log_action(
            NEEDS_A_PERSON,
            {"local_id": payment.local_id, "third_party_reference": record.third_party_reference},
        )


@mpesa.handler(reversal_completed, name="pretix.refund")
def refund_done(record: Any) -> None:
    """Mark the refund as done: the customer has the money again."""
    payment = _payment_of(record.original)
    if payment is None:
        return
    with scope(organizer=payment.order.event.organizer):
        refund = _refund_of(record)
        if refund is None:  # given back on M-Pesa's side
            details = json.dumps(details_of(record))
            payment.create_external_refund(amount=record.amount, info=details)
        elif refund.state != OrderRefund.REFUND_STATE_DONE:
            refund.info_data = details_of(record)
            refund.done()


@mpesa.handler(reversal_failed, name="pretix.refund_failed")
@mpesa.handler(reversal_cancelled, name="pretix.refund_failed")
def refund_failed(record: Any) -> None:
    """Mark the refund as failed: the money is still with the organiser."""
    payment = _payment_of(record.original)
    if payment is None:
        return
    with scope(organizer=payment.order.event.organizer):
        refund = _refund_of(record)
        if refund is not None:
            refund.info_data = details_of(record)
            mark_as_failed(refund, record.response_description)


def mark_as_failed(refund: OrderRefund, why: str) -> None:
    """Mark a refund that is under way as failed, and say so in the order's history; once.

    Of one that a person has marked as done meanwhile, the history alone says it.
    """
    if refund.state in _UNDER_WAY:
        refund.state = OrderRefund.REFUND_STATE_FAILED
        refund.save(update_fields=["state", "info"])
    elif refund.state != OrderRefund.REFUND_STATE_DONE:
        return
    refund.order.log_action(
        "pretix.event.order.refund.failed",
        {"local_id": refund.local_id, "provider": refund.provider, "error": why},
    )


def _payment_of(record: Any) -> OrderPayment | None:
    """The payment of pretix that a record is of; None where it is of something else."""
    with scopes_disabled():
        paid_for = None if record is None else record.paid_for
    return paid_for if isinstance(paid_for, OrderPayment) else None


def _refund_of(record: Any) -> OrderRefund | None:
    """The refund that a reversal was made for, while nobody else changes it."""
    kind = record.content_type
    if kind is None or kind.model_class() is not OrderRefund:
        return None
    found = OrderRefund.objects.select_for_update(of=("self",)).filter(pk=record.object_id)
    return found.first()
