"""Idempotency keys: what may be one, and whether a repeated call is the one on record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ..errors import IdempotencyConflict, nothing_sent
from ..messages import Message
from ..protocol.schemas import parse_amount
from .ownership import differing_argument
from .records import R, Record, exact_match

IdempotencyKey = str | int | UUID
"""What names a payment: text, or an order's primary key."""
_LENGTH = 100
_COMPARED = ("operation", "original_id", "amount", "msisdn", "receiver_shortcode", "reference")


def check_key(key: IdempotencyKey | None) -> str | None:
    """An idempotency key as text; None without one.

    Raises:
        ValidationError: it is empty, longer than 100 characters, or cannot be a key.
    """
    if isinstance(key, (int, UUID)) and not isinstance(key, bool):
        key = "" if isinstance(key, int) and abs(key) >= 10**_LENGTH else str(key)
    if key is None or (isinstance(key, str) and 0 < len(key) <= _LENGTH and key.isprintable()):
        return key
    problem = Message("must have 1 to %(length)s characters on one line", length=_LENGTH)
    if not isinstance(key, str):
        problem = Message("must be text or a whole number, not %(type)s", type=type(key).__name__)
    raise nothing_sent({"idempotency_key": [problem]})


def check_repeated(
    record: R, values: Mapping[str, Any], shops: Mapping[str, Mapping[str, Any]]
) -> R:
    """Give the record that has an idempotency key, unless the key was used for something else.

    Args:
        record: the one that has the key.
        values: what was to be written of the library's columns.
        shops: what was to be written of the shop's, by argument.

    Raises:
        IdempotencyConflict: it was; nothing was sent.
    """
    if exact_match(record, "idempotency_key", values["idempotency_key"]) is None:
        raise IdempotencyConflict(
            "Nothing was sent. The database takes the idempotency key for one used before, which "
            "differs in capitals, accents or spaces; use a key that differs otherwise",
            third_party_reference=record.third_party_reference,
        )
    for name in _COMPARED:
        if values.get(name) is None:
            continue
        kept, given = getattr(record, name), values[name]
        if name == "amount":
            kept, given = parse_amount(kept), parse_amount(given)
        if kept != given:
            raise _used_before(record, name)
    argument = differing_argument(record, shops)
    if argument is not None:
        raise _used_before(record, argument)
    return record


def _used_before(record: Record, argument: str) -> IdempotencyConflict:
    return IdempotencyConflict(
        f"Nothing was sent. The idempotency key was used before, with another {argument}; "
        "use a key of its own for each payment",
        third_party_reference=record.third_party_reference,
    )
