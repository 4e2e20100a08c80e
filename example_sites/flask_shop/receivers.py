"""What becomes of an order when there is news of its payment. Nothing else moves an order."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from flask import Flask

from flask_mpesa import signals

from .models import Payment, PaymentCallback, Status, move_order

logger = logging.getLogger(__name__)

_STATUS_AFTER = {
    signals.payment_initiated: Status.WAITING,
    signals.payment_pending: Status.WAITING,
    signals.payment_unknown: Status.CHECKING,
    signals.payment_completed: Status.PAID,
    signals.payment_failed: Status.REFUSED,
    signals.payment_cancelled: Status.CANCELLED,
}


def connect_receivers(app: Flask) -> None:
    """Have an app's orders follow its payments."""
    for signal, status in _STATUS_AFTER.items():
        # Nobody else holds the partial, so the signal must.
        signal.connect(partial(follow_payment, status), sender=app, weak=False)
    signals.callback_rejected.connect(tell_of_callback, sender=app)


def follow_payment(status: Status, app: Flask, transaction: Payment, **kwargs: Any) -> None:
    if move_order(transaction, status):
        reference, order = transaction.third_party_reference, transaction.reference
        logger.info(
            "payment %s is %s, so %s is %s", reference, transaction.state, order, status.value
        )


def tell_of_callback(app: Flask, callback: PaymentCallback, verdict: str, **kwargs: Any) -> None:
    logger.warning("callback %s was not believed: %s", callback.id, verdict)
