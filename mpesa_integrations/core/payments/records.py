"""What is kept of payments, callbacks and events: records, their changes, and what came of them.

Values and a protocol only, which everything else in this package uses. Which events there are is in
`events`, where all is kept in `store`, what becomes of it in `recorder`, `callback_intake` and
`outbox`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from .events import Event, event_of
from .lifecycle import State

R = TypeVar("R", bound="Record")
C = TypeVar("C")

NOT_SENT_IN_TIME = "Not sent in time"
WITHDRAWN = "Withdrawn before it was sent"


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


MAY_BE_APPLIED_AGAIN = frozenset(
    {
        Verdict.RECEIVED,
        Verdict.EARLY,
        Verdict.UNCONFIRMED,
        Verdict.UNMATCHED,
        Verdict.MISMATCHED,
        Verdict.FAILED,
    }
)
"""The verdicts of a callback that changed nothing, and may by now: its payment may be on record."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An event that is to be dispatched; a row in the outbox until it was.

    Attributes:
        event: what happened.
        id: 32 characters, by which a receiver recognises an event that it had before.
        handler: the name of the durable handler that is to be run; "" where signals are sent.
    """

    event: Event
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    handler: str = ""


def in_sequence(
    outbox: Sequence[OutboxEntry], greatest: Callable[[], int | None]
) -> list[tuple[OutboxEntry, int]]:
    """Entries that are to be written, each with its event's place among the payment's.

    Args:
        outbox: the entries of one change.
        greatest: gives the greatest place among the payment's entries that are left, or None; asked
            only where a handler is to be run.
    """
    if not any(entry.handler for entry in outbox):
        return [(entry, 0) for entry in outbox]
    before = greatest() or 0
    places: dict[Event, int] = {}
    return [(entry, places.setdefault(entry.event, before + len(places) + 1)) for entry in outbox]


@dataclass(frozen=True, kw_only=True)
class DueOutboxEntry(Generic[R]):
    """An outbox entry that was not dispatched in time, as it is handed to a worker.

    Attributes:
        id: as `OutboxEntry.id`.
        event: the event's name, as it stands in the row.
        attempts: how often it was handed out, this time included.
        record: the payment; None where it is gone, or where a handler's cannot be read.
        handler: as `OutboxEntry.handler`.
    """

    id: str
    event: str
    attempts: int
    record: R | None
    handler: str = ""


@dataclass(frozen=True, kw_only=True)
class UnfinishedHandler:
    """A durable handler that is still to be run for an event of a payment.

    Attributes:
        event_id: the outbox entry's, with which the handler is called, too.
        reference: the payment's third-party reference.
        event: the event's value, as it stands in the row.
        handler: the handler's name.
        sequence: the event's place among those of the payment that are left.
        attempts: how often it was tried.
        problem: which error there was last and where, with none of its words.
        next_try_at: when it is tried next, unless a person is waited for.
        given_up_at: since when it waits for a person.
        is_registered: whether this process has a handler of that name.
    """

    event_id: str
    reference: str
    event: str
    handler: str
    sequence: int
    attempts: int
    problem: str
    next_try_at: datetime
    given_up_at: datetime | None
    is_registered: bool = False


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


@dataclass(frozen=True, kw_only=True)
class StoredCallback(Generic[C]):
    """A callback as it is on record, for a person to look into.

    Attributes:
        key: its primary key.
        entry: the store's own object.
        body: the bytes that came.
        verdict: what became of it.
        third_party_reference: the one that it names; "" where it could not be read.
        received_at: when it came.
    """

    key: Any
    entry: C = field(repr=False)
    body: bytes = field(repr=False)
    verdict: Verdict
    third_party_reference: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What one transition writes, all of it in one database transaction.

    Attributes:
        values: columns of the record.
        outbox: the events of the record that are to be dispatched.
        reverses: whether the record is a reversal that now completes: its amount is added to what
            was given back of the original.
        settles: whether it is a reversal whose outcome is known by this: of the original, that
            much less is being given back.
        original_outbox: an entry for each event that this may be for the original; which one it is
            says `outbox_of`.
        callback: the columns of the callback that is the reason for it, to be stored with it.
        as_claimed: whether the record's next check, too, must be when the caller's copy says: in
            the same state, another worker may have claimed it since.
    """

    values: Mapping[str, Any]
    outbox: Sequence[OutboxEntry] = ()
    reverses: bool = False
    settles: bool = False
    original_outbox: Sequence[OutboxEntry] = ()
    callback: Mapping[str, Any] | None = None
    as_claimed: bool = False

    def outbox_of(self, original: Record) -> Sequence[OutboxEntry]:
        """The events of the original that are to be dispatched, once its amount was added to.

        Args:
            original: as it then is.
        """
        event = event_of(original.operation, State(original.state))
        return [entry for entry in self.original_outbox if entry.event is event]


class TransactionClaimed(Exception):  # noqa: N818 - a finding, which never leaves core
    """A change was refused: its transaction of the gateway is another payment's already.

    Attributes:
        reference: the third-party reference of the payment that has it.
    """

    def __init__(self, reference: str) -> None:
        super().__init__(f"the transaction is that of {reference}")
        self.reference = reference


class OrderClaimed(Exception):  # noqa: N818 - a finding, which never leaves core
    """A payment or a change was refused: another payment of its order is open or paid.

    Attributes:
        reference: the third-party reference of that payment; None where it is not any more, by the
            time that it is looked for.
    """

    def __init__(self, reference: str | None) -> None:
        super().__init__(f"the order is claimed by {reference}")
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
    def currency(self) -> str: ...  # noqa: D102

    @property
    def msisdn(self) -> str: ...  # noqa: D102

    @property
    def receiver_shortcode(self) -> str: ...  # noqa: D102

    @property
    def reference(self) -> str: ...  # noqa: D102

    @property
    def reversed_amount(self) -> Decimal: ...  # noqa: D102

    @property
    def reversal_pending(self) -> Decimal: ...  # noqa: D102

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
    def order_key(self) -> str: ...  # noqa: D102

    @property
    def claimed_order_key(self) -> str | None: ...  # noqa: D102

    @property
    def response_code(self) -> str: ...  # noqa: D102

    @property
    def response_description(self) -> str: ...  # noqa: D102

    @property
    def conflict(self) -> str: ...  # noqa: D102

    @property
    def conflict_decided_at(self) -> datetime | None: ...  # noqa: D102

    @property
    def next_check_at(self) -> datetime | None: ...  # noqa: D102

    @property
    def checks(self) -> int: ...  # noqa: D102

    @property
    def created_at(self) -> datetime: ...  # noqa: D102

    @property
    def send_before(self) -> datetime | None: ...  # noqa: D102

    @property
    def stuck_at(self) -> datetime | None: ...  # noqa: D102


def exact_match(record: R | None, column: str, value: str) -> R | None:
    """The record that was found, unless a database found it that takes `abc` for `ABC`."""
    return record if record is not None and getattr(record, column) == value else None
