"""Asking for money, and what a customer is told who did not pay."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask_babel import lazy_gettext as _

from flask_mpesa import Mpesa
from flask_mpesa.records import Records
from mpesa_integrations import IdempotencyConflict

from .models import Order, Payment, PaymentCallback, PaymentOutboxEntry, Status, db

mpesa = Mpesa(records=Records(lambda: db.engine, Payment, PaymentCallback, PaymentOutboxEntry))

_RAN_OUT = _(
    "It did not go through; perhaps the PIN was not typed in time. Have your phone at hand and try "
    "again."
)
_OUR_ACCOUNT = _(
    "We cannot take M-Pesa payments at the moment; that is our fault, not yours. Try again later, "
    "or pay at the counter."
)
_REASONS = {
    "INS-2": _OUR_ACCOUNT,
    "INS-4": _OUR_ACCOUNT,
    "INS-26": _OUR_ACCOUNT,
    "INS-2006": _(
        "There is not enough money in this M-Pesa account. Put some in, or pay from another number."
    ),
    "INS-6": _("M-Pesa could not complete it; perhaps the PIN was not right. Try once more."),
    "INS-9": _RAN_OUT,
    "INS-16": _("M-Pesa is very busy at the moment. Give it a minute, then try again."),
    "INS-995": _(
        "Something is wrong with this M-Pesa account. Dial *150# or ask at a Vodacom shop, or pay "
        "from another number."
    ),
    "INS-996": _(
        "This M-Pesa account is not active. Have it activated at a Vodacom shop, or pay from "
        "another number."
    ),
    "INS-2051": _("M-Pesa does not know this phone number. Check it and try again."),
}
_UNREACHED = _("M-Pesa could not be reached. Give it a minute, then try again.")
_OTHER = _("M-Pesa did not accept the payment. Try again, or pay from another number.")


def pay(order: Order, *, attempt: int, msisdn: str) -> None:
    """Ask the customer's phone for an order's money: once per attempt, however often it is called.

    Two calls at the same moment have the same idempotency key, and only one of them sends.

    Args:
        order: what to pay.
        attempt: 1 for the first; only the next one after those that failed is made.
        msisdn: the phone that pays.
    """
    if not order.may_be_paid or attempt != order.attempts + 1:
        return
    # The same attempt with another phone number: the first one stands.
    with suppress(IdempotencyConflict):
        mpesa.c2b(
            msisdn=msisdn,
            amount=order.total,
            reference=order.reference,
            idempotency_key=f"order-{order.id}-{attempt}",
            order_id=order.id,
            attempt=attempt,
        )


def reason_of(order: Order) -> Any:
    """Why an order's payment was refused, in words that say what to do; None if it was not."""
    payment = order.payment
    if payment is None or order.status != Status.REFUSED:
        return None
    if payment.response_code:
        return _REASONS.get(payment.response_code, _OTHER)
    # No answer had a code: either it was learnt by asking later, or nothing was ever sent.
    return _RAN_OUT if payment.conversation_id else _UNREACHED
