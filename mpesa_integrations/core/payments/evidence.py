"""By what the gateway is asked for a payment, and which of its answers are about that very payment.

A status query's answer carries no amount: one that could be about somebody else's request proves
nothing. What a piece of evidence does to a payment is in `lifecycle`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ..protocol.codes import ResponseCode
from ..protocol.references import made_about
from ..protocol.schemas import GATEWAY_ID
from .records import Record

ID_LENGTH = 64
"""Characters of a record's columns for the gateway's IDs."""


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """What to ask the gateway for.

    Attributes:
        reference: a conversation ID, a third-party reference or a transaction ID.
        proves: whether what is said of it can only be said of this payment.
    """

    reference: str
    proves: bool


def status_query_for(record: Record, created_at: datetime) -> StatusQuery:
    """By what a payment is best asked for.

    The conversation is this very request's. So is a reference that this library made, since nobody
    else can have it, unless the gateway called it a duplicate. A transaction ID that an answer of
    the payment's own named is its own, but a reversal's IDs may be the original's. A reference that
    the caller gave may be another request's, too.

    Args:
        record: the payment.
        created_at: when it was recorded, aware.
    """
    if is_duplicate(record):
        return StatusQuery(record.third_party_reference, proves=False)
    by_reference = StatusQuery(record.third_party_reference, proves=True)
    is_made = made_about(record.third_party_reference, created_at)
    if is_made and record.operation == "reversal":
        return by_reference
    if _can_be_asked_by(record.conversation_id):
        return StatusQuery(record.conversation_id, proves=True)
    if is_made:
        return by_reference
    if record.operation != "reversal" and _can_be_asked_by(record.transaction_id):
        return StatusQuery(record.transaction_id, proves=True)
    return StatusQuery(record.third_party_reference, proves=False)


def is_duplicate(record: Record) -> bool:
    """Whether the gateway said that another request has the payment's third-party reference.

    It has not where the code is kept without a conflict: then it was sent twice, and the other
    request may be its own.
    """
    return record.response_code == ResponseCode.DUPLICATE_TRANSACTION and bool(record.conflict)


def kept_id(said: str | None) -> str:
    """An ID of the gateway's as a record keeps it: whole, or not at all."""
    fits = said is not None and len(said) <= ID_LENGTH and said.isascii() and said.isprintable()
    return said if said and fits else ""


def _can_be_asked_by(reference: str) -> bool:
    return re.fullmatch(GATEWAY_ID, reference) is not None
