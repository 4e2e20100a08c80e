"""What a store of one account's payments must do: the protocol that the frameworks fulfil.

What stores keep and hand out is in `records`; what a database's refusal of a write means is in
`refusals`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from .lifecycle import State
from .orders import Order
from .records import (
    C,
    Change,
    DueCallback,
    DueOutboxEntry,
    OutboxEntry,
    R,
    StoredCallback,
    UnfinishedHandler,
    Verdict,
    exact_match,
)
from .tables import Table
from .wakeups import Listening

_T = TypeVar("_T")


class Store(Protocol[R, C]):
    """Where one account's payments, callbacks and outbox are kept.

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

    async def in_thread(self, call: Callable[[], _T]) -> _T:
        """Have a coroutine's step of this store's work done in a thread, as the framework does it.

        The thread sees the coroutine's context variables, and the caller's transaction where the
        framework has one for it. Where the awaiting task is cancelled, the call may go on, or may
        never have begun.

        Args:
            call: some of this store's work; nothing that waits for anything else.
        """

    def called_in_event_loop(self, problem: str) -> None:
        """Refuse a blocking call in the thread of a running event loop, or warn of it.

        Args:
            problem: what is said.

        Raises:
            CalledInEventLoop: it is refused; nothing was recorded or sent.
        """

    remedy: str
    """What to do where a table lacks something: a sentence without its full stop."""

    def tables(self) -> Sequence[Table]:
        """What the database has of the records' tables now."""

    def disconnect(self) -> None:
        """Hold no connection while something else is waited for, as far as that can be.

        It raises nothing, and leaves alone what the caller may still need of its connection.
        """

    def listen(self) -> Listening | None:
        """Open a connection that hears when rows were written that a worker is to do something of.

        It is the calling thread's; None where the database, or its driver, has no such thing.
        """

    def aware(self, time: datetime) -> datetime:
        """A record's time with its zone, where the records have times without one."""

    def with_values(self, record: R, values: Mapping[str, Any]) -> R:
        """The record as it would be with these columns; nothing is written."""

    def create(self, values: Mapping[str, Any], outbox: Sequence[OutboxEntry]) -> tuple[R, bool]:
        """Write a payment down, and the events of it that are to be dispatched.

        With an `original_id` it is a reversal, which `refuse_too_much` is asked for while no other
        of the same payment can be written.

        Returns:
            The record, and True; or the one that has the idempotency key already, and False.

        Raises:
            OrderClaimed: another payment of the order is open or paid.
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
        """Change a record by one UPDATE, provided it is in a state, and `as_claimed` where asked.

        Returns:
            The record, and the original whose amount given back was added to; None where the
            record was not so, and nothing was changed.

        Raises:
            TransactionClaimed: the change's `claimed_transaction_id` is the account's already;
                nothing was changed.
            OrderClaimed: the same of its `claimed_order_key`.
        """

    def note_conflict(self, record: R, text: str, outbox: Sequence[OutboxEntry]) -> R | None:
        """Note contradicting evidence; None if just that was noted before."""

    def find(self, third_party_reference: str) -> R | None:
        """Find the account's payment with a third-party reference."""

    def find_by_key(self, idempotency_key: str) -> R | None:
        """Find the account's payment with an idempotency key."""

    def find_paid(self, transaction_id: str) -> R | None:
        """Find the account's payment that has claimed a transaction ID; never a reversal."""

    def attempts(self, order_key: str, operation: str) -> list[R]:
        """The account's payments of an order by one operation, the oldest first."""

    def order_of(self, order: object) -> Order:
        """Read an order that is neither text, a whole number nor a UUID.

        Raises:
            ValidationError: it cannot be one.
        """

    def shares_conversation(self, record: R) -> bool:
        """Whether another payment of the account has exactly the same conversation ID."""

    def oldest_open(self) -> R | None:
        """Find the account's payment that was open first, of those that still are."""

    def left_to_do(self, *, callbacks: bool) -> Mapping[str, int]:
        """Of which accounts, this one and others, something is left to be done, now or later.

        Args:
            callbacks: whether also those count of which nothing is left but a stored callback: to
                find these, all callbacks may have to be looked through.

        Returns:
            How many payments of each are open; 0 where only events or callbacks are left.
        """

    def claim_due(
        self, now: datetime, until: datetime, limit: int, *, state: State | None = None
    ) -> list[R]:
        """Hand out payments whose next check is due, the longest waiting first.

        Nobody else is handed them before `until`, to which their next check is deferred; so what a
        worker that died had is handed out again by then.

        Args:
            now: those that are due by then.
            until: when they are due again.
            limit: how many at the most.
            state: only those in this one.
        """

    is_shared: bool
    """Whether other processes see the records, so that a worker can send what is queued."""

    def queued(self) -> tuple[int, datetime | None]:
        """How many of the account's payments are queued, and since when the oldest is."""

    def claim_queued(
        self,
        now: datetime,
        next_check_at: datetime,
        limit: int,
        outbox: Callable[[str], Sequence[OutboxEntry]],
        *,
        reference: str | None = None,
    ) -> Mapping[Any, Sequence[OutboxEntry]]:
        """Take queued payments for this worker to send, the oldest first, committed.

        One conditional UPDATE: who is queued, and may be sent still, is now initiated. Nobody waits
        for what another is claiming.

        Args:
            now: only those whose `send_before` is later.
            next_check_at: when each is asked for, should this process die.
            limit: how many at the most.
            outbox: the entries to write with a payment that is initiated, by its operation.
            reference: only the one with this third-party reference; None means any.

        Returns:
            Their primary keys, each with its entries.
        """

    def claimed_queued(self, next_check_at: datetime) -> Sequence[Any]:
        """The primary keys of what `claim_queued` has initiated and nobody has changed since.

        Args:
            next_check_at: as that claim had it.
        """

    def read_claimed(self, keys: Sequence[Any]) -> list[R]:
        """Read payments in this order; one that cannot be read is logged, and left out."""

    def original_of(self, record: R) -> R | None:
        """Read the payment that a reversal gives back."""

    def to_be_checked(self) -> tuple[int, datetime | None]:
        """How many of the account's payments are to be asked for, and when the first is due."""

    def make_due(self, now: datetime) -> None:
        """Make the account's payments due that are `MAY_BE_CHECKED_EARLY`, by one UPDATE.

        Those that a worker has claimed, too, so that they may be asked for twice.
        """

    def release(self, records: Sequence[R], until: datetime) -> None:
        """Make claimed payments due again, those of them that nobody else changed."""

    def claim_outbox(self, now: datetime, until: datetime, limit: int) -> list[DueOutboxEntry[R]]:
        """Hand out entries that should have been dispatched by now, as `claim_due` does payments.

        Each time is counted, in the same transaction: a receiver may end the process. Handlers
        that wait for a person are not handed out.
        """

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Hand these entries out at another time, those of them that are still in the outbox.

        Args:
            ids: of the entries.
            until: the time.
        """

    def release_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Make due again those of these entries that are as `claim_outbox` left them.

        That claim does not count as a try. One that was handed to another since is left to it.

        Args:
            ids: of the entries.
            until: as the claim had it.
        """

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """As `defer_outbox`, called from a thread of its own, which keeps no connection."""

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Drop the entries with these IDs: they were dispatched."""

    def change_outbox_entry(self, entry_id: str, values: Mapping[str, Any]) -> None:
        """Write what is known of a handler's tries, if its entry is still there."""

    def run_handler(
        self, entry_id: str, run: Callable[[R | None, Sequence[UnfinishedHandler]], bool]
    ) -> bool:
        """Run a handler and drop its entry, both in one transaction, the entry locked meanwhile.

        Args:
            entry_id: the handler's entry.
            run: is given the payment, None where it is gone, and the handlers that are left of it,
                this one among them; the payment is read after those. What it returns says whether
                the entry is dropped. What it raises undoes all.

        Returns:
            False where the entry is gone, or somebody else has it; nothing was called.
        """

    def unfinished_handlers(
        self, *, limit: int, payment_key: Any = None, entry_id: str | None = None
    ) -> list[UnfinishedHandler]:
        """The handlers that are still to be run, those given up first, then as they are due.

        Args:
            limit: how many at the most.
            payment_key: only those of the payment with this primary key.
            entry_id: only the one with this entry.
        """

    def store_callback(self, values: Mapping[str, Any]) -> C:
        """Store a callback as it arrived."""

    def set_verdict(self, entry: C, verdict: Verdict, record: R | None) -> None:
        """Note what became of a stored callback."""

    def callbacks(
        self, *, limit: int, verdicts: Collection[Verdict], key: Any = None
    ) -> list[StoredCallback[C]]:
        """The stored callbacks with one of these verdicts, the newest first.

        Args:
            limit: how many at the most.
            verdicts: one of them.
            key: only the one with this primary key.
        """

    def waiting_callbacks(self, third_party_reference: str) -> list[tuple[C, bytes]]:
        """The stored callbacks for a reference that were received and not yet decided."""

    def claim_callbacks(
        self, now: datetime, until: datetime, limit: int, *, older_than: timedelta
    ) -> list[DueCallback[C]]:
        """Hand out callbacks of some age that nobody has decided, the oldest first.

        Nobody else is handed them before `until`. Each time is counted, as in the outbox.
        """

    def defer_callbacks(self, entries: Sequence[C], until: datetime) -> None:
        """Hand these callbacks out at another time."""


def find_exactly(store: Store[R, Any], third_party_reference: str) -> R | None:
    """Find a record by its reference; none by one that a database takes for it."""
    found = store.find(third_party_reference)
    return exact_match(found, "third_party_reference", third_party_reference)
