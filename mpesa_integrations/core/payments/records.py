"""What is kept of payments, callbacks and events: records, their changes, and the words for them.

Values and a protocol only, which everything else in this package uses. Where they are kept is in
`store`, what becomes of them in `recorder`, `callback_intake` and `outbox`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from .lifecycle import State

R = TypeVar("R", bound="Record")
C = TypeVar("C")


class Event(str, Enum):
    """What happened to a payment; each is dispatched as the signal of this name."""

    INITIATED = "payment_initiated"
    PENDING = "payment_pending"
    COMPLETED = "payment_completed"
    FAILED = "payment_failed"
    CANCELLED = "payment_cancelled"
    UNKNOWN = "payment_unknown"
    REVERSED = "payment_reversed"
    CONFLICT = "payment_conflict"
    STUCK = "payment_stuck"

    def __str__(self) -> str:
        return self.value


EVENT_OF_STATE = {
    State.INITIATED: Event.INITIATED,
    State.PENDING: Event.PENDING,
    State.COMPLETED: Event.COMPLETED,
    State.FAILED: Event.FAILED,
    State.CANCELLED: Event.CANCELLED,
    State.UNKNOWN: Event.UNKNOWN,
    State.PARTLY_REVERSED: Event.REVERSED,
    State.REVERSED: Event.REVERSED,
}
CALLBACK_REJECTED = "callback_rejected"
"""The name of the signal of a callback that is not believed."""


class Verdict(str, Enum):
    """What became of a callback that arrived."""

    RECEIVED = "received"
    """Stored, and not looked at yet."""
    APPLIED = "applied"
    REPEATED = "repeated"
    """It said what was known."""
    EARLY = "early"
    """It came before the answer that names its conversation; looked at again after that."""
    UNCONFIRMED = "unconfirmed"
    """It says nothing that counts, or what the gateway, when asked, did not confirm."""
    CONFLICT = "conflict"
    """It contradicts a final state; kept for a person."""
    UNMATCHED = "unmatched"
    """No payment has its third-party reference."""
    MISMATCHED = "mismatched"
    """The payment with its third-party reference has another conversation ID."""
    UNREADABLE = "unreadable"
    FAILED = "failed"
    """It could not be applied, however often that was tried; kept for a person."""

    def __str__(self) -> str:
        return self.value


REJECTED = frozenset({Verdict.UNMATCHED, Verdict.MISMATCHED, Verdict.UNREADABLE, Verdict.FAILED})
"""The verdicts of a callback that is not believed or has no effect: a signal is sent of each."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An event that is to be dispatched; a row in the outbox until it was.

    Attributes:
        event: what happened.
        id: 32 characters, by which a receiver recognises an event that it had before.
    """

    event: Event
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, kw_only=True)
class DueOutboxEntry(Generic[R]):
    """An outbox entry that was not dispatched in time, as it is handed to a worker.

    Attributes:
        id: as `OutboxEntry.id`.
        event: the event's name, as it stands in the row.
        attempts: how often it was handed out, this time included.
        record: the payment; None where it is gone.
    """

    id: str
    event: str
    attempts: int
    record: R | None


@dataclass(frozen=True, kw_only=True)
class DueCallback(Generic[C]):
    """A stored callback that nobody has decided, as it is handed to a worker.

    Attributes:
        entry: the store's own object.
        body: the bytes that came.
        attempts: how often it was handed out, this time included.
    """

    entry: C
    body: bytes
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What one transition writes, all of it in one database transaction.

    Attributes:
        values: columns of the record.
        outbox: the events of the record that are to be dispatched.
        reverses: whether the record is a reversal that now completes: its amount is added to what
            was given back of the original.
        original_outbox: the events of the original that are then to be dispatched.
        callback: the columns of the callback that is the reason for it, to be stored with it.
    """

    values: Mapping[str, Any]
    outbox: Sequence[OutboxEntry] = ()
    reverses: bool = False
    original_outbox: Sequence[OutboxEntry] = ()
    callback: Mapping[str, Any] | None = None


class TransactionClaimed(Exception):  # noqa: N818 - a finding, which never leaves core
    """A change was refused: its transaction of the gateway is another payment's already.

    Attributes:
        reference: the third-party reference of the payment that has it.
    """

    def __init__(self, reference: str) -> None:
        super().__init__(f"the transaction is that of {reference}")
        self.reference = reference


class Record(Protocol):
    """What is read of a recorded payment; stores give objects of their own that have it."""

    @property
    def pk(self) -> Any: ...  # noqa: D102

    @property
    def account(self) -> str: ...  # noqa: D102

    @property
    def operation(self) -> str: ...  # noqa: D102

    @property
    def state(self) -> str: ...  # noqa: D102

    @property
    def amount(self) -> Decimal: ...  # noqa: D102

    @property
    def reversed_amount(self) -> Decimal: ...  # noqa: D102

    @property
    def original_id(self) -> Any: ...  # noqa: D102

    @property
    def third_party_reference(self) -> str: ...  # noqa: D102

    @property
    def conversation_id(self) -> str: ...  # noqa: D102

    @property
    def transaction_id(self) -> str: ...  # noqa: D102

    @property
    def claimed_transaction_id(self) -> str | None: ...  # noqa: D102

    @property
    def response_code(self) -> str: ...  # noqa: D102

    @property
    def conflict(self) -> str: ...  # noqa: D102

    @property
    def checks(self) -> int: ...  # noqa: D102

    @property
    def created_at(self) -> datetime: ...  # noqa: D102

    @property
    def stuck_at(self) -> datetime | None: ...  # noqa: D102


def exact_match(record: R | None, column: str, value: str) -> R | None:
    """The record that was found, unless a database found it that takes `abc` for `ABC`."""
    return record if record is not None and getattr(record, column) == value else None
