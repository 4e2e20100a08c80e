"""What a payment's record is, what a store of records must do, and what a shop is told of.

Protocols and words only: `payments` uses them, the frameworks' adapters fulfil them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ..errors import CalledInTransaction, DuplicateTransaction, nothing_sent
from ..messages import Message
from .lifecycle import State

if TYPE_CHECKING:
    from .tables import Table

R = TypeVar("R", bound="Record")
C = TypeVar("C")


class Event(str, Enum):
    """What a shop is told of; the names of the signals."""

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
"""The signal of a callback that is not believed."""


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
"""The verdicts that a shop is told of, as a callback that is not believed or has no effect."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An event that the shop is to be told of; a row until it was.

    Attributes:
        event: what happened.
        id: 32 characters, by which a receiver recognises a notice that it had before.
    """

    event: Event
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, kw_only=True)
class DueOutboxEntry(Generic[R]):
    """A notice that was not told in time, as it is handed to a worker.

    Attributes:
        id: as `Notice.id`.
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
        notices: what is to be told of it.
        reverses: whether the record is a reversal that now completes: its amount is added to what
            was given back of the original.
        of_original: what is then to be told of the original.
        callback: the columns of the callback that brought it, to be stored as the payment's.
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


def after_reversal(original: Record, amount: Decimal) -> dict[str, Any] | None:
    """The columns of a payment once an amount of it was given back; None where that cannot be."""
    total = original.reversed_amount + amount
    if State(original.state) not in (State.COMPLETED, State.PARTLY_REVERSED):
        return None
    if total > original.amount:
        return None
    state = State.REVERSED if total == original.amount else State.PARTLY_REVERSED
    return {"state": state, "reversed_amount": total}


def refuse_too_much(original: Record, under_way: Iterable[Decimal]) -> None:
    """Refuse a reversal with which more could go back than was paid.

    Args:
        original: the payment, which no other reversal of it changes meanwhile.
        under_way: the amounts of its reversals whose outcome is open, the new one among them.

    Raises:
        ValidationError: together, they are more than is left.
    """
    if original.reversed_amount + sum(under_way) > original.amount:
        problem = Message(
            "with the reversals under way, more would go back than was paid: "
            "wait for what becomes of them"
        )
        raise nothing_sent({"amount": [problem]})


R_contra = TypeVar("R_contra", bound=Record, contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)
_T = TypeVar("_T")


class Store(Protocol[R, C]):
    """Where one account's payments, callbacks and notices are kept.

    Each method is one database transaction, committed when it returns.
    """

    def isolated(self, call: Callable[[], _T], *, writes: bool = True) -> _T:
        """Run a call so that what it records is committed, whatever the caller's transaction does.

        It sees what others have committed. Calls may be nested.

        Args:
            call: some of this store's work; nothing that waits for anything else.
            writes: False for a call that only reads, which is refused nowhere.

        Raises:
            CalledInTransaction: that cannot be done here; nothing was called.
            RecordLocked: a row stayed locked, perhaps by the caller's own transaction.
            RecordsUnavailable: the database hung up, is away or is locked. What the call had done
                until then is committed, and its last statement may be.
        """

    remedy: str
    """What to do where a table lacks something: a sentence without its full stop."""

    def tables(self) -> Sequence[Table]:
        """What the database has of the records' tables now."""

    def disconnect(self) -> None:
        """Hold no connection while something else is waited for, as far as that can be.

        It raises nothing, and leaves alone what the caller may still need of its connection.
        """

    def aware(self, time: datetime) -> datetime:
        """A record's time with its zone, where the records have times without one."""

    def with_values(self, record: R, values: Mapping[str, Any]) -> R:
        """The record as it would be with these columns; nothing is written."""

    def create(self, values: Mapping[str, Any], outbox: Sequence[OutboxEntry]) -> tuple[R, bool]:
        """Write a payment down, and what is to be told of it.

        With an `original_id` it is a reversal, which `refuse_too_much` is asked for while no other
        of the same payment can be written.

        Returns:
            The record, and True; or the one that has the idempotency key already, and False.

        Raises:
            DuplicateTransaction: the third-party reference is taken.
            ValidationError: as `refuse_too_much`.
        """

    def shop_columns(self, given: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        """What a call's further arguments write, by argument: the values by the record's names.

        Raises:
            ValidationError: one names a column of the library's, or none, or cannot be written.
        """

    def link(self, record: R, columns: Mapping[str, Any]) -> R | None:
        """Write columns of the shop's by one UPDATE; None where the record is not found.

        Of metadata, the given keys are put over those on record, which nobody changes meanwhile.
        Where the store's connection is the caller's, it is a part of the caller's transaction.

        Args:
            record: the payment.
            columns: values as `shop_columns` gives them, by the record's names.
        """

    def get(self, record: R) -> R:
        """Read a record anew."""

    def change(self, record: R, state: State, change: Change) -> tuple[R, R | None] | None:
        """Change a record by one UPDATE, provided it is in a state.

        Returns:
            The record, and the original whose amount given back was added to; None where the
            record was not in that state, and nothing was changed.

        Raises:
            TransactionClaimed: the change's `claimed_transaction_id` is the account's already;
                nothing was changed.
        """

    def note_conflict(self, record: R, text: str, outbox: Sequence[OutboxEntry]) -> R | None:
        """Note contradicting evidence; None if just that was noted before."""

    def find(self, third_party_reference: str) -> R | None:
        """Find the account's payment with a third-party reference."""

    def find_by_key(self, idempotency_key: str) -> R | None:
        """Find the account's payment with an idempotency key."""

    def find_paid(self, transaction_id: str) -> R | None:
        """Find the account's payment that has claimed a transaction ID; never a reversal."""

    def shares_conversation(self, record: R) -> bool:
        """Whether another payment of the account has exactly the same conversation ID."""

    def oldest_open(self) -> R | None:
        """Find the account's payment that was open first, of those that still are."""

    def claim_due(self, now: datetime, until: datetime, limit: int) -> list[R]:
        """Hand out payments whose next check is due, the longest waiting first.

        Nobody else is handed them before `until`, to which their next check is put off; so what a
        worker that died had is handed out again by then.
        """

    def release(self, records: Sequence[R], until: datetime) -> None:
        """Make claimed payments due again, those of them that nobody else changed."""

    def claim_outbox(self, now: datetime, until: datetime, limit: int) -> list[DueOutboxEntry[R]]:
        """Hand out notices that should have been told by now, as `claim_due` does payments.

        Each time is counted, in the same transaction: a receiver may end the process.
        """

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Hand these notices out at another time, those of them that are still to be told."""

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """As `put_off_notices`, called from a thread of its own, which keeps no connection."""

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Drop the notices with these IDs: they were told."""

    def store_callback(self, values: Mapping[str, Any]) -> C:
        """Store a callback as it arrived."""

    def set_verdict(self, entry: C, verdict: Verdict, record: R | None) -> None:
        """Note what became of a stored callback."""

    def waiting_callbacks(self, third_party_reference: str) -> list[tuple[C, bytes]]:
        """The stored callbacks for a reference that were received and not yet decided."""

    def claim_callbacks(
        self, now: datetime, until: datetime, limit: int, *, older_than: timedelta
    ) -> list[DueCallback[C]]:
        """Hand out callbacks of some age that nobody has decided, the oldest first.

        Nobody else is handed them before `until`. Each time is counted, as with notices.
        """

    def defer_callbacks(self, entries: Sequence[C], until: datetime) -> None:
        """Hand these callbacks out at another time."""


def recorded_already(store: Store[Any, Any], values: Mapping[str, Any]) -> Any | None:
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


def refuse_what_it_refers_to(error: Exception) -> None:
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


def refuse_claimed(store: Store[Any, Any], change: Change) -> None:
    """Say whose a transaction is, once a database has refused a change as not unique.

    Args:
        store: the account's.
        change: what was to be written.

    Raises:
        TransactionClaimed: another payment has the transaction.
    """
    claim = change.values.get("claimed_transaction_id")
    holder = store.find_paid(claim) if claim else None
    if holder is not None:
        # The database's own error shows what was to be written.
        raise TransactionClaimed(holder.third_party_reference) from None


class Notifier(Protocol[R_contra, C_contra]):
    """How a framework tells the shop; must not raise, whatever a receiver does."""

    def wants(self, event: Event) -> bool:
        """Whether anybody listens; if not, nothing is kept to be told."""

    def notify(self, entry: OutboxEntry, record: R_contra, dispatched: Callable[[], None]) -> None:
        """Tell of an event once its change is committed, then call `told`."""

    def callback_rejected(self, entry: C_contra, verdict: Verdict) -> None:
        """Tell of a callback that is not believed."""
