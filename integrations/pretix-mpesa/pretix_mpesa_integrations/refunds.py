"""Gives money back for refunds of pretix, each once.

A refund's row is committed before M-Pesa is asked: what a request of pretix undoes afterwards,
M-Pesa would not. What became of it is booked by `booking`.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.utils.timezone import now
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django_scopes import scopes_disabled
from pretix.base.models import OrderRefund
from pretix.base.payment import PaymentException

from django_mpesa import MpesaError, RecordsUnavailable, ValidationError, mpesa

from .booking import mark_as_failed
from .records import IDENTIFIER, paid, refund_key, reversal_of

logger = logging.getLogger(__name__)

ASKED_FOR = "mpesa_reversal_of"
"""What a refund has in its information if M-Pesa is to be asked: pretix's API notes others, too."""
_LEFT_BEHIND = timedelta(minutes=5)
"""So old is a refund that M-Pesa was not asked for, because its process ended before."""


def give_back(refund: OrderRefund) -> None:
    """Ask M-Pesa to give the money of a committed refund back.

    Raises:
        PaymentException: no money goes back, and why.
    """
    record = paid(refund.payment)
    if record is None:
        raise PaymentException(_("M-Pesa has no money of this payment that could go back."))
    try:
        back = mpesa[record.account].reverse(
            record, refund.amount, idempotency_key=refund_key(refund), paid_for=refund
        )
    except RecordsUnavailable as error:
        # It may be on record all the same, for a worker to send: with another refund, it would go
        # back twice. This one stays in transit, and `resume` asks again by the same key.
        logger.error("The refund %s could not be recorded: %s", refund.full_id, error)
        return
    except MpesaError as error:  # nothing was sent
        raise PaymentException(words_of(error)) from error
    if back.may_retry:
        why = back.response_description or _("M-Pesa refused to give the money back.")
        raise PaymentException(f"{why} ({back.response_code})")
    refund.refresh_from_db()


def give_back_now_that_it_is_committed(key: int) -> None:
    """The same, where nobody waits for the outcome: what goes wrong is in the order's history.

    Args:
        key: the refund's primary key.
    """
    with scopes_disabled():
        refund = OrderRefund.objects.get(pk=key)
        try:
            give_back(refund)
        except PaymentException as error:
            mark_as_failed(refund, str(error))


def resume() -> None:
    """Ask M-Pesa for the refunds that a process left behind."""
    with scopes_disabled():
        in_transit = OrderRefund.objects.filter(
            provider=IDENTIFIER,
            state=OrderRefund.REFUND_STATE_TRANSIT,
            created__lt=now() - _LEFT_BEHIND,
            info__contains=f'"{ASKED_FOR}"',
        )
        left = [refund.pk for refund in in_transit if reversal_of(refund) is None]
    for key in left:
        try:
            give_back_now_that_it_is_committed(key)
        except Exception:  # one that fails keeps no other from its turn
            logger.exception("The refund %s could not be asked for", key)


def words_of(error: MpesaError) -> str:
    """What to tell the person whose request was refused."""
    if not isinstance(error, ValidationError):
        return str(error)
    problems: dict[str, Any] = dict(error.errors_in(get_language()))
    return " ".join(text for texts in problems.values() for text in texts)
