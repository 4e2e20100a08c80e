"""Idempotency: whether a repeated call is the one on record, by its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import IdempotencyConflict
from ..protocol.schemas import parse_amount
from .ownership import differing_argument
from .records import R, Record, exact_match

_COMPARED = ("operation", "original_id", "amount", "msisdn", "receiver_shortcode", "reference")


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
        if values.get(name) is None and name != "original_id":
            continue
        kept, given = getattr(record, name), values.get(name)
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
