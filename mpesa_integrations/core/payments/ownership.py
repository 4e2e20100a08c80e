"""Which columns of a payment's record only the library writes, and which are the shop's own.

How a write is noticed is the framework's; whose a column is, and which error it gives, is here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

from ..errors import ProtectedRecord, ValidationError, nothing_sent
from ..messages import Message

OWNED = frozenset(
    {
        "account",
        "amount",
        "checks",
        "claimed_order_key",
        "claimed_transaction_id",
        "conflict",
        "conversation_id",
        "created_at",
        "currency",
        "conflict_decided_at",
        "idempotency_key",
        "msisdn",
        "next_check_at",
        "operation",
        "order_key",
        "original",
        "original_id",
        "receiver_shortcode",
        "reference",
        "response_code",
        "response_description",
        "reversal_pending",
        "reversed_amount",
        "send_before",
        "state",
        "stuck_at",
        "third_party_reference",
        "transaction_id",
        "updated_at",
    }
)
"""The columns that the library alone writes: what was asked for, and what became of it. All others
are the shop's; a test holds that each column of the library's own is either here or meant for it.
"""
METADATA = "metadata"
"""The one of the shop's columns that is not compared, since a retry's differ: times, addresses."""
_INSTEAD = (
    "c2b(), b2c(), b2b() and reverse() make a payment; check(), reconcile() and resolve() move it; "
    "link() writes what is the shop's: metadata, paid_for and columns of its own"
)


def refuse_writing(names: Iterable[str]) -> ProtectedRecord:
    """The error for a write of the library's columns."""
    named = tuple(sorted(set(names)))
    are = "is a column" if len(named) == 1 else "are columns"
    return ProtectedRecord(
        f"Nothing was written: {', '.join(named)} {are} that the library alone writes. {_INSTEAD}",
        columns=named,
    )


def refuse_making() -> ProtectedRecord:
    """The error for a record that the shop's code would make by itself."""
    return ProtectedRecord(
        f"Nothing was written: the library alone makes a payment's record. {_INSTEAD}"
    )


def refuse_deleting() -> ProtectedRecord:
    """The error for a record that would be deleted."""
    return ProtectedRecord(
        "Nothing was deleted: a payment's record is history, and is kept; reverse() gives back "
        "what was paid"
    )


def refuse_names(given: Iterable[str], shops: Collection[str]) -> None:
    """Refuse arguments that name no column of the shop's.

    Args:
        given: the names of the further arguments of a call.
        shops: the names that the record's model has for the shop.

    Raises:
        ValidationError: naming each that is the library's, or nobody's.
    """
    problems: dict[str, list[str]] = {}
    for name in given:
        if name in OWNED:
            problems[name] = [Message("is written by the library alone")]
        elif name not in shops:
            problems[name] = [Message("is no argument of this call, and no column of your own")]
    if problems:
        raise nothing_sent(problems)


def refuse_other_account(account: str, alias: str) -> None:
    """Refuse a record of another account: its gateway, shortcode and key are others.

    Args:
        account: whose the record is.
        alias: whose it must be.

    Raises:
        ValidationError: they differ; names both.
    """
    if account != alias:
        problem = Message(
            "the payment is of the account “%(account)s”, not of “%(alias)s”: "
            'use mpesa["%(account)s"]',
            account=account,
            alias=alias,
        )
        raise nothing_sent({"record": [problem]})


def refuse_unsaved(name: str) -> ValidationError:
    """The error for an object that has no key yet by which it could be kept."""
    return nothing_sent({name: [Message("must be an object that was saved")]})


def differing_argument(record: Any, columns: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Find the argument by which a payment is for something else than the one on record.

    Args:
        record: what is on record.
        columns: what the arguments would write, as `Store.shop_columns` gives it.

    Returns:
        Its name; None where all that was given is on record so. Metadata is not compared.
    """
    for argument, written in columns.items():
        if argument == METADATA:
            continue
        if not all(_same(getattr(record, name), value) for name, value in written.items()):
            return argument
    return None


def merged(known: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata on record with the given keys put over it."""
    return {**known, **given} if isinstance(known, Mapping) else dict(given)


def check_metadata(columns: Mapping[str, Any]) -> None:
    """Refuse metadata that could not be merged.

    Raises:
        ValidationError: it is no mapping.
    """
    if METADATA in columns and not isinstance(columns[METADATA], Mapping):
        raise nothing_sent({METADATA: [Message("must be a dict")]})


def _same(kept: Any, given: Any) -> bool:
    """Whether a column's value is the one given, which the database may give as another type."""
    if kept == given:
        return True
    is_exact = isinstance(kept, (Decimal, datetime))
    kept, given = _comparable(kept), _comparable(given)
    if isinstance(kept, Decimal) and isinstance(given, str):
        try:
            given = Decimal(given)
        except ArithmeticError:
            return False
    return bool(kept == given) or (is_exact and _rounded(given, kept))


def _rounded(given: Any, kept: Any) -> bool:
    """Whether a column kept what it was given as its decimals, or its whole seconds, allow."""
    if isinstance(kept, datetime) and isinstance(given, datetime):
        return kept.microsecond == 0 and abs(kept - given) < timedelta(seconds=1)
    if not (isinstance(kept, Decimal) and isinstance(given, Decimal)):
        return False
    if not (kept.is_finite() and given.is_finite()):
        return False
    last_digit = Decimal(1).scaleb(int(kept.as_tuple().exponent))
    return 2 * abs(kept - given) <= last_digit


def _comparable(value: Any) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, datetime):
        known = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return known.astimezone(timezone.utc)
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(value, sort_keys=True, default=str)
    if isinstance(value, (int, float)):
        return Decimal(str(value)) if not isinstance(value, bool) else value
    return value if value is None or isinstance(value, (Decimal, bool)) else str(value)
