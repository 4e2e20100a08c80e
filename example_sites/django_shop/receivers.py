"""What becomes of an order when there is news of its payment. Nothing else moves an order."""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal, receiver

from django_mpesa import signals
from django_mpesa.models import AbstractTransaction, CallbackLog

from .models import Order, Status

logger = logging.getLogger(__name__)

_STATUS_AFTER: dict[Signal, Any] = {
    signals.payment_initiated: Status.WAITING,
    signals.payment_pending: Status.WAITING,
    signals.payment_unknown: Status.CHECKING,
    signals.payment_completed: Status.PAID,
    signals.payment_failed: Status.REFUSED,
    signals.payment_cancelled: Status.CANCELLED,
}


@receiver(list(_STATUS_AFTER))
def follow_payment(
    sender: type[AbstractTransaction],
    signal: Signal,
    transaction: AbstractTransaction,
    **kwargs: Any,
) -> None:
    order = transaction.paid_for
    status: Status = _STATUS_AFTER[signal]
    if isinstance(order, Order) and order.follow(transaction, status):
        reference = transaction.third_party_reference
        logger.info("payment %s is %s, so %s is %s", reference, transaction.state, order, status)


@receiver(signals.callback_rejected)
def tell_of_callback(sender: Any, callback: CallbackLog, verdict: str, **kwargs: Any) -> None:
    logger.warning("callback %s was not believed: %s", callback.pk, verdict)
