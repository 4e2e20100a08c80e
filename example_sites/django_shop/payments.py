"""How the shop asks for money, and what it tells a customer who did not pay."""

from __future__ import annotations

from contextlib import suppress

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_mpesa import mpesa
from mpesa_integrations import IdempotencyConflict

from .models import Order

_RAN_OUT = _(
    "It did not go through, perhaps because the PIN was not typed in time. Keep your phone at hand "
    "and try again."
)
_OUR_ACCOUNT = _(
    "We cannot take M-Pesa payments just now. That is not your fault: please try again later."
)
_REASONS: dict[str, Promise] = {
    "INS-2": _OUR_ACCOUNT,
    "INS-4": _OUR_ACCOUNT,
    "INS-26": _OUR_ACCOUNT,
    "INS-2006": _(
        "There was not enough money in your M-Pesa account. Put some in, or pay from another "
        "number."
    ),
    "INS-6": _(
        "M-Pesa could not complete it, often because the PIN was not right. Have your PIN ready "
        "and try again."
    ),
    "INS-9": _RAN_OUT,
    "INS-16": _("M-Pesa is very busy just now. Wait a minute and try again."),
    "INS-995": _(
        "There is a problem with your M-Pesa account. Dial *150# or visit a Vodacom shop, or pay "
        "from another number."
    ),
    "INS-996": _(
        "This M-Pesa account is not active. Activate it at a Vodacom shop, or pay from another "
        "number."
    ),
    "INS-2051": _("M-Pesa does not know this phone number. Check it and try again."),
}
_UNREACHED = _("M-Pesa could not be reached. Wait a minute and try again.")
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
            idempotency_key=f"order-{order.pk}-{attempt}",
            paid_for=order,
        )


def reason_of(order: Order) -> Promise | None:
    """Why an order's payment was refused, in words that say what to do."""
    if order.payment is None or not order.is_refused:
        return None
    if order.payment.response_code:
        return _REASONS.get(order.payment.response_code, _OTHER)
    # No answer had a code: either it was learnt by asking later, or nothing was ever sent.
    return _RAN_OUT if order.payment.conversation_id else _UNREACHED
