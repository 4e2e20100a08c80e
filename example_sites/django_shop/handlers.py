"""What is done once: what was paid is packed, and what was given back whole is not sent.

Each handler has one transaction with its entry in the outbox. One that fails is tried again, and
what was given back is taken back after it was packed, never before.
"""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import receiver
from django.utils import timezone

from django_mpesa import State, mpesa
from django_mpesa.models import AbstractTransaction, CallbackLog
from django_mpesa.signals import callback_rejected, payment_completed, payment_reversed

from .models import Order

logger = logging.getLogger(__name__)


@mpesa.handler(payment_completed)
def pack(payment: AbstractTransaction) -> None:
    order = payment.paid_for
    # It may have been given back meanwhile, where this was tried again.
    if isinstance(order, Order) and payment.state != State.REVERSED:
        order.packed_at = timezone.now()
        order.save(update_fields=["packed_at"])
        logger.info("%s is paid, and is being packed", order)


@mpesa.handler(payment_reversed)
def take_back(payment: AbstractTransaction) -> None:
    order = payment.paid_for
    if isinstance(order, Order) and payment.state == State.REVERSED:
        order.packed_at = None
        order.save(update_fields=["packed_at"])
        logger.info("%s was given back, and is not sent", order)


@receiver(callback_rejected)
def tell_of_callback(sender: Any, callback: CallbackLog, verdict: str, **kwargs: Any) -> None:
    logger.warning("callback %s was not believed: %s", callback.pk, verdict)
