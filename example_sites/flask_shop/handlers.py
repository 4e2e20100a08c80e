"""What is done once: what was paid goes to the kitchen, and what was given back whole does not.

Each handler has one transaction with its entry in the outbox. One that fails is tried again, and
what was given back is taken from the kitchen after it came there, never before.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from flask import Flask

from flask_mpesa.signals import callback_rejected, payment_completed, payment_reversed
from mpesa_integrations import State

from .models import Order, Payment, PaymentCallback, db, mpesa

logger = logging.getLogger(__name__)


@mpesa.handler(payment_completed)
def prepare(payment: Payment) -> None:
    order = _order(payment)
    # It may have been given back meanwhile, where this was tried again.
    if order is not None and payment.state != State.REVERSED:
        order.in_kitchen_since = datetime.now(timezone.utc)
        logger.info("%s is paid, and is in the kitchen", order.reference)


@mpesa.handler(payment_reversed)
def take_back(payment: Payment) -> None:
    order = _order(payment)
    if order is not None and payment.state == State.REVERSED:
        order.in_kitchen_since = None
        logger.info("%s was given back, and is not made", order.reference)


def _order(payment: Payment) -> Order | None:
    return db.session.get(Order, int(payment.order_key or 0))


@callback_rejected.connect
def tell_of_callback(app: Flask, callback: PaymentCallback, verdict: str, **kwargs: Any) -> None:
    logger.warning("callback %s was not believed: %s", callback.id, verdict)
