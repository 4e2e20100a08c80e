"""What a store of one account's payments must do: the protocol that the frameworks fulfil.

What stores keep and hand out is in `records`; what a database's refusal of a write means is in
`refusals`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from .lifecycle import State
from .records import C, Change, DueCallback, DueOutboxEntry, OutboxEntry, R, Verdict
from .tables import Table

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
        """Write a payment down, and the events of it that are to be dispatched.

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

        Nobody else is handed them before `until`, to which their next check is deferred; so what a
        worker that died had is handed out again by then.
        """

    def release(self, records: Sequence[R], until: datetime) -> None:
        """Make claimed payments due again, those of them that nobody else changed."""

    def claim_outbox(self, now: datetime, until: datetime, limit: int) -> list[DueOutboxEntry[R]]:
        """Hand out entries that should have been dispatched by now, as `claim_due` does payments.

        Each time is counted, in the same transaction: a receiver may end the process.
        """

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Hand these entries out at another time, those of them that are still in the outbox."""

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """As `defer_outbox`, called from a thread of its own, which keeps no connection."""

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Drop the entries with these IDs: they were dispatched."""

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

        Nobody else is handed them before `until`. Each time is counted, as in the outbox.
        """

    def defer_callbacks(self, entries: Sequence[C], until: datetime) -> None:
        """Hand these callbacks out at another time."""
