"""Core's store over SQLAlchemy: which transactions there are, and what their errors mean.

What is read and written in them is in `payment_rows`, `callback_rows` and `outbox_rows`.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session, attributes

from ..core.errors import CalledInTransaction
from ..core.payments import records as core
from ..core.payments.lifecycle import State
from ..core.payments.orders import Order, refuse_order
from ..core.payments.refusals import (
    find_existing,
    refuse_claimed,
    refuse_missing_row,
    refuse_second,
)
from ..core.payments.tables import Table
from ..core.payments.wakeups import Listening
from .callback_rows import CallbackRows
from .claims import read_claimed
from .connections import listen, unavailable
from .inspection import existing_tables
from .models import CallbackLogMixin, Models, TransactionMixin, as_attributes
from .outbox_rows import OutboxRows
from .payment_rows import PaymentRows
from .sessions import Sessions, applications_session

_T = TypeVar("_T")


class SqlAlchemyStore:
    """One account's payments, callbacks and outbox.

    It never touches the caller's session: what that holds is neither committed nor lost. The
    records that it gives are detached from any session.

    Args:
        account: the account's alias.
        models: the app's.
        engine: gives the library's own engine, which may write the library's columns.
        session: gives a session of the application's, in which a durable handler is run.
    """

    def __init__(
        self,
        account: str,
        models: Models,
        engine: Callable[[], Engine],
        session: Callable[[], Session],
    ) -> None:
        self._models = models
        self._engine = engine
        self._session = session
        self._sessions = Sessions(engine)
        self._outbox = OutboxRows(account, models)
        self._callbacks = CallbackRows(account, models)
        self._payments = PaymentRows(account, models, self._outbox, self._callbacks)

    def isolated(self, call: Callable[[], _T], *, writes: bool = True) -> _T:
        """Run a call; its sessions are its own already.

        Raises:
            RecordLocked: a row stayed locked.
            RecordsUnavailable: the database hung up, is away or is locked, or its pool is used up.
        """
        try:
            return call()
        except Exception as error:
            found = unavailable(error)
            if found is None:
                raise
            raise found from error

    async def in_thread(self, call: Callable[[], _T]) -> _T:
        """Run it in a thread of the event loop's, with the app context that the coroutine has."""
        return await asyncio.to_thread(call)

    def called_in_event_loop(self, problem: str) -> None:
        """Warn, at the line that calls."""
        warnings.warn(problem, RuntimeWarning, stacklevel=4)

    remedy = (
        "Let Alembic compare your models with the database and apply what it finds, or call "
        "create_all() where there are no tables yet; `flask mpesa check` tells whether that was all"
    )

    def tables(self) -> list[Table]:
        """Inspect the database."""
        with self._sessions.reading() as session:
            return list(existing_tables(self._models, session.connection()))

    def disconnect(self) -> None:
        """No session is open between two calls of this store."""

    def listen(self) -> Listening | None:
        """Open a connection that listens, where the database is PostgreSQL."""
        return listen(self._engine())

    def aware(self, time: datetime) -> datetime:
        """The columns' type reads and writes aware times."""
        return time

    def with_values(self, record: TransactionMixin, values: Mapping[str, Any]) -> TransactionMixin:
        """Set them on the record, which is detached from any session."""
        for name, value in as_attributes(values).items():
            attributes.set_committed_value(record, name, value)
        return record

    def create(
        self, values: Mapping[str, Any], outbox: Sequence[core.OutboxEntry]
    ) -> tuple[TransactionMixin, bool]:
        """Insert; a taken idempotency key gives the record that has it.

        Raises:
            OrderClaimed: another payment of the order is open or paid.
            DuplicateTransaction: the third-party reference is taken.
            CalledInTransaction: on SQLite, the caller's own transaction is in the way.
            ValidationError: a reversal, with which more could go back than was paid.
        """
        record = self._payments.new(values)
        try:
            with self._sessions.writing(may_wait=self._payments.refers(record)) as session:
                self._payments.insert(session, record, outbox)
        except IntegrityError as error:
            found = find_existing(self, values)
            if found is None:
                refuse_missing_row(error)
                refuse_second(self, values, error)
                raise
            return found, False
        except OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            raise CalledInTransaction(
                "Nothing was sent. SQLite has one writer at a time, and the payment could not be "
                "recorded: commit what your session has written before you call"
            ) from error
        return record, True

    def shop_columns(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What the arguments write, by the model's attributes; no database is asked."""
        return self._payments.shop_columns(given)

    def link(self, record: TransactionMixin, columns: Mapping[str, Any]) -> TransactionMixin | None:
        """Update the shop's columns, committed."""

        def linked() -> TransactionMixin | None:
            with self._sessions.writing(may_wait=True) as session:
                return self._payments.link(session, record.pk, columns)

        return self.isolated(linked)

    def get(self, record: TransactionMixin) -> TransactionMixin:
        """Select by primary key."""
        with self._sessions.reading() as session:
            return self._payments.get(session, record.pk)

    def change(
        self, record: TransactionMixin, state: State, change: core.Change
    ) -> tuple[TransactionMixin, TransactionMixin | None] | None:
        """Update where the state is still the one expected.

        Raises:
            TransactionClaimed: another payment has the transaction.
            OrderClaimed: another payment has the order.
        """
        try:
            with self._sessions.writing(may_wait=True) as session:
                return self._payments.change(session, record, state, change)
        except IntegrityError:
            refuse_claimed(self, record.operation, change)
            raise

    def note_conflict(
        self, record: TransactionMixin, text: str, outbox: Sequence[core.OutboxEntry]
    ) -> TransactionMixin | None:
        """Note it where it is not what was noted last."""
        with self._sessions.writing(may_wait=True) as session:
            return self._payments.note_conflict(session, record, text, outbox)

    def find(self, third_party_reference: str) -> TransactionMixin | None:
        """Select by third-party reference."""
        with self._sessions.reading() as session:
            return self._payments.find(session, third_party_reference)

    def find_by_key(self, idempotency_key: str) -> TransactionMixin | None:
        """Select by idempotency key."""
        with self._sessions.reading() as session:
            return self._payments.find_by_key(session, idempotency_key)

    def find_paid(self, transaction_id: str) -> TransactionMixin | None:
        """Select by the transaction ID that it claimed."""
        with self._sessions.reading() as session:
            return self._payments.find_paid(session, transaction_id)

    def attempts(self, order_key: str, operation: str) -> list[TransactionMixin]:
        """Select by order."""
        with self._sessions.reading() as session:
            return self._payments.attempts(session, order_key, operation)

    def order_of(self, order: object) -> Order:
        """An order is named by its key."""
        refuse_order(order)

    def shares_conversation(self, record: TransactionMixin) -> bool:
        """Select the other ones."""
        with self._sessions.reading() as session:
            return self._payments.shares_conversation(session, record)

    def oldest_open(self) -> TransactionMixin | None:
        """Select the first open one."""
        with self._sessions.reading() as session:
            return self._payments.oldest_open(session)

    is_shared = True

    def left_to_do(self, *, callbacks: bool) -> dict[str, int]:
        """Count the open payments by account; an index has states."""
        with self._sessions.reading() as session:
            found = dict.fromkeys(self._outbox.accounts(session), 0)
            if callbacks:
                found |= dict.fromkeys(self._callbacks.accounts(session), 0)
            return found | self._payments.open_by_account(session)

    def queued(self) -> tuple[int, datetime | None]:
        """Count them."""
        with self._sessions.reading() as session:
            return self._payments.queued(session)

    def original_of(self, record: TransactionMixin) -> TransactionMixin | None:
        """Select the payment that a reversal gives back."""
        if record.original_id is None:
            return None
        with self._sessions.reading() as session:
            return self._payments.find_by_primary_key(session, record.original_id)

    def claim_queued(
        self,
        now: datetime,
        next_check_at: datetime,
        limit: int,
        outbox: Callable[[str], Sequence[core.OutboxEntry]],
        *,
        reference: str | None = None,
    ) -> dict[Any, Sequence[core.OutboxEntry]]:
        """Update what is queued."""
        with self._sessions.writing() as session:
            return self._payments.claim_queued(
                session, now, next_check_at, limit, outbox, reference=reference
            )

    def claimed_queued(self, next_check_at: datetime) -> Sequence[Any]:
        """Select them by that time."""
        with self._sessions.reading() as session:
            return self._payments.claimed_queued(session, next_check_at)

    def read_claimed(self, keys: Sequence[Any]) -> list[TransactionMixin]:
        """Read them at once, and one by one where that fails."""
        return self._read_claimed(self._payments.model, keys)

    def claim_due(
        self, now: datetime, until: datetime, limit: int, *, state: State | None = None
    ) -> list[TransactionMixin]:
        """Put off the next checks that are due, and give their records."""
        with self._sessions.writing() as session:
            keys = self._payments.claim_due(session, now, until, limit, state)
        return self._read_claimed(self._payments.model, keys)

    def to_be_checked(self) -> tuple[int, datetime | None]:
        """Count them."""
        with self._sessions.reading() as session:
            return self._payments.to_be_checked(session)

    def make_due(self, now: datetime) -> None:
        """Put their next checks forward."""
        with self._sessions.writing(may_wait=True) as session:
            self._payments.make_due(session, now)

    def release(self, records: Sequence[TransactionMixin], until: datetime) -> None:
        """Make due again what is still put off until then."""
        if records:
            with self._sessions.writing(may_wait=True) as session:
                self._payments.release(session, records, until)

    def claim_outbox(
        self, now: datetime, until: datetime, limit: int
    ) -> list[core.DueOutboxEntry[Any]]:
        """Put off the entries that are due, and give them with their records."""
        with self._sessions.writing() as session:
            keys = self._outbox.claim_due(session, now, until, limit)
        claimed = self._read_claimed(self._outbox.model, keys)
        about = list({entry.transaction_key for entry in claimed})
        records = {record.pk: record for record in self._read_claimed(self._payments.model, about)}
        unread = self._unreadable([key for key in about if key not in records])
        return [
            core.DueOutboxEntry(
                id=entry.id,
                event=entry.event,
                attempts=entry.attempts,
                record=records.get(entry.transaction_key),
                handler=entry.handler,
            )
            for entry in claimed
            # A handler's try reads its payment itself, and counts where it cannot be read.
            if entry.handler or entry.transaction_key not in unread
        ]

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when they are due."""
        with self._sessions.writing() as session:
            self._outbox.defer(session, ids, until)

    def release_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update those that are due then still."""
        with self._sessions.writing() as session:
            self._outbox.release(session, ids, until)

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when they are due, in a session of its own as any."""
        self.defer_outbox(ids, until)

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Delete entries."""
        with self._sessions.writing() as session:
            self._outbox.settle(session, dispatched)

    def change_outbox_entry(self, entry_id: str, values: Mapping[str, Any]) -> None:
        """Update an entry; while its handler runs, it is locked."""
        with self._sessions.writing(may_wait=True) as session:
            self._outbox.change(session, entry_id, values)

    def run_handler(
        self,
        entry_id: str,
        run: Callable[[TransactionMixin | None, Sequence[core.UnfinishedHandler]], bool],
    ) -> bool:
        """Do it in the application's session, in which the payment that is handed over is, too.

        The entry is deleted last: should the handler commit, it is there yet.
        """
        with applications_session(self._session, self._outbox.model) as session:
            key = self._outbox.lock(session, entry_id)
            if key is None:
                return False
            left = self._outbox.unfinished(session, payment_key=key)
            # After that, so that it has what handlers that are not left have written to it.
            record = self._payments.find_by_primary_key(session, key)
            if run(record, left):
                self._outbox.settle(session, [entry_id])
        return True

    def unfinished_handlers(
        self, *, limit: int, payment_key: Any = None, entry_id: str | None = None
    ) -> list[core.UnfinishedHandler]:
        """Select the handlers' entries with their payments' references."""
        with self._sessions.reading() as session:
            return self._outbox.unfinished(
                session, limit=limit, payment_key=payment_key, entry_id=entry_id
            )

    def store_callback(self, values: Mapping[str, Any]) -> CallbackLogMixin:
        """Insert a callback."""
        with self._sessions.writing() as session:
            return self._callbacks.add(session, values)

    def get_callback(self, entry: CallbackLogMixin) -> CallbackLogMixin:
        """Select a callback by primary key."""
        with self._sessions.reading() as session:
            return self._callbacks.get(session, entry.id)

    def set_verdict(
        self, entry: CallbackLogMixin, verdict: core.Verdict, record: TransactionMixin | None
    ) -> None:
        """Update a callback's verdict."""
        entry.verdict = verdict.value
        entry.transaction_key = record.pk if record else None
        values = {"verdict": entry.verdict, "transaction_key": entry.transaction_key}
        with self._sessions.writing() as session:
            self._callbacks.update(session, [entry.id], values)

    def callbacks(
        self, *, limit: int, verdicts: Collection[core.Verdict], key: Any = None
    ) -> list[core.StoredCallback[CallbackLogMixin]]:
        """Select callbacks by verdict."""
        with self._sessions.reading() as session:
            return [
                core.StoredCallback(
                    key=entry.id,
                    entry=entry,
                    body=entry.body,
                    verdict=core.Verdict(entry.verdict),
                    third_party_reference=entry.third_party_reference,
                    received_at=entry.received_at,
                )
                for entry in self._callbacks.with_verdict(session, verdicts, limit, key)
            ]

    def waiting_callbacks(self, third_party_reference: str) -> list[tuple[CallbackLogMixin, bytes]]:
        """Select a payment's callbacks that are not decided yet."""
        with self._sessions.reading() as session:
            found = self._callbacks.waiting_for(session, third_party_reference)
            return [(entry, entry.body) for entry in found]

    def claim_callbacks(
        self, now: datetime, until: datetime, limit: int, *, older_than: timedelta
    ) -> list[core.DueCallback[CallbackLogMixin]]:
        """Put off the callbacks that nobody has decided, and give them."""
        with self._sessions.writing() as session:
            keys = self._callbacks.claim_undecided(session, now, until, limit, older_than)
        return [
            core.DueCallback(entry=entry, body=entry.body, attempts=entry.attempts)
            for entry in self._read_claimed(self._callbacks.model, keys)
        ]

    def defer_callbacks(self, entries: Sequence[CallbackLogMixin], until: datetime) -> None:
        """Update when they are to be tried again."""
        with self._sessions.writing() as session:
            keys = [entry.id for entry in entries]
            self._callbacks.update(session, keys, {"next_attempt_at": until})

    def _read_claimed(self, model: Any, keys: Sequence[Any]) -> list[Any]:
        if not keys:
            return []
        with self._sessions.reading() as session:
            return read_claimed(session, model, keys)

    def _unreadable(self, keys: Sequence[Any]) -> set[Any]:
        """Which payments are there and could not be read."""
        if not keys:
            return set()
        with self._sessions.reading() as session:
            return self._payments.existing(session, keys)
