"""What it means that a database refused to write a payment or a change: who has the key already.

For stores to ask, once their database has raised; which error that is, each store knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import CalledInTransaction, DuplicateTransaction
from .records import Change, OrderClaimed, TransactionClaimed
from .store import Store


def find_existing(store: Store[Any, Any], values: Mapping[str, Any]) -> Any | None:
    """What keeps a payment from being written down, once a database has refused it as not unique.

    Args:
        store: the account's.
        values: what was to be written.

    Returns:
        The record that has the idempotency key; None if nothing of the account's is in the way.

    Raises:
        DuplicateTransaction: the third-party reference is taken.
    """
    key = values.get("idempotency_key")
    found = store.find_by_key(key) if key else None
    if found is not None:
        return found
    reference = values["third_party_reference"]
    if store.find(reference) is None:
        return None
    raise DuplicateTransaction(
        f"Nothing was sent. The third-party reference {reference} is on record already; "
        "leave it out to have one made",
        third_party_reference=reference,
    ) from None  # the database's own error shows what was to be written


def refuse_second(store: Store[Any, Any], values: Mapping[str, Any], error: Exception) -> None:
    """Say that a payment is a second one of its order, once a database has refused it.

    Args:
        store: the account's.
        values: what was to be written.
        error: the database's, which nothing else explains.

    Raises:
        OrderClaimed: it claims an order.
    """
    claim = values.get("claimed_order_key")
    if claim:
        raise OrderClaimed(_claimant(store, claim, values["operation"])) from error


def _claimant(store: Store[Any, Any], order_key: str, operation: str) -> str | None:
    """The third-party reference of the payment that claims an order."""
    for attempt in store.attempts(order_key, operation):
        if attempt.claimed_order_key is not None:
            reference: str = attempt.third_party_reference
            return reference
    return None


def refuse_missing_row(error: Exception) -> None:
    """Say what to do where a database refused a payment for a foreign key of the shop's.

    Args:
        error: the database's, by whichever library.

    Raises:
        CalledInTransaction: the row that it names is not there, for others than the caller.
    """
    cause: Any = getattr(error, "orig", None) or error.__cause__ or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if code == "23503" or cause.args[:1] == (1452,) or "FOREIGN KEY constraint" in str(cause):
        raise CalledInTransaction(
            "Nothing was sent. A row that the payment is to refer to is not in the database or not "
            "committed yet: commit it before you call, or leave it out and link() it afterwards"
        ) from None  # the database's own error may show what was to be written


def refuse_claimed(store: Store[Any, Any], operation: str, change: Change) -> None:
    """Say whose a transaction or an order is, once a database has refused a change as not unique.

    Args:
        store: the account's.
        operation: of the payment that was to be changed.
        change: what was to be written.

    Raises:
        TransactionClaimed: another payment has the transaction.
        OrderClaimed: another payment has the order.
    """
    claim = change.values.get("claimed_transaction_id")
    holder = store.find_paid(claim) if claim else None
    if holder is not None:
        # The database's own error shows what was to be written.
        raise TransactionClaimed(holder.third_party_reference) from None
    order_key = change.values.get("claimed_order_key")
    claimant = _claimant(store, order_key, operation) if order_key else None
    if claimant is not None:
        raise OrderClaimed(claimant) from None
