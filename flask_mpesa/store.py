"""Core's store over SQLAlchemy: sessions of its own, and each transition one conditional UPDATE."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any, TypeVar, cast

from sqlalchemy import (
    Column,
    CursorResult,
    Select,
    bindparam,
    delete,
    inspect,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session, attributes
from sqlalchemy.sql.base import Executable

from mpesa_integrations.core.errors import CalledInTransaction
from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments import records as core
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES, State
from mpesa_integrations.core.payments.ownership import OWNED, merged, refuse_names
from mpesa_integrations.core.payments.refusals import (
    recorded_already,
    refuse_claimed,
    refuse_what_it_refers_to,
)
from mpesa_integrations.core.payments.reversals import after_reversal, refuse_too_much
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE
from mpesa_integrations.core.payments.tables import Table

from .connections import LOCK_TIMEOUT, MYSQL, unavailable
from .constraints import in_database
from .records import CallbackLogMixin, Records, TransactionMixin

_T = TypeVar("_T")
_SKIPS_LOCKED = {"mysql": (8, 0, 1), "mariadb": (10, 6)}
"""From which version on a database can pass over rows that another has locked."""
_SEES_COMMITTED = MYSQL | {"postgresql"}
_LOCK_TIMEOUT = text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'")
_ATTRIBUTES = {"metadata": "metadata_"}
"""Columns whose names SQLAlchemy keeps for itself."""


class SqlAlchemyStore:
    """One account's payments and callbacks.

    It never touches the caller's session: what that holds is neither committed nor lost. The
    records that it gives are detached from any session.
    """

    def __init__(self, account: str, records: Records) -> None:
        self._account = account
        self._records = records
        self._transaction: Any = records.transaction
        self._callback: Any = records.callback_log
        self._outbox_entry: Any = records.outbox

    def isolated(self, call: Callable[[], _T], *, writes: bool = True) -> _T:
        """Run a call; its sessions are its own already.

        Raises:
            RecordLocked: a payment's row stayed locked.
            RecordsUnavailable: the database hung up, is away or is locked, or its pool is used up.
        """
        try:
            return call()
        except Exception as error:
            found = unavailable(error)
            if found is None:
                raise
            raise found from error

    remedy = (
        "Let Alembic compare your models with the database and apply what it finds, or call "
        "create_all() where there are no tables yet; `flask mpesa check` tells whether that was all"
    )

    def tables(self) -> list[Table]:
        """Inspect the database."""
        with self._reading() as session:
            return list(in_database(self._records, session.connection()))

    def disconnect(self) -> None:
        """No session is open between two calls of this store."""

    def aware(self, time: datetime) -> datetime:
        """The columns' type reads and writes aware times."""
        return time

    def with_values(self, record: TransactionMixin, values: Mapping[str, Any]) -> TransactionMixin:
        """Set them on the record, which is detached from any session."""
        for name, value in _plain(values).items():
            attributes.set_committed_value(record, _ATTRIBUTES.get(name, name), value)
        return record

    def create(
        self, values: Mapping[str, Any], outbox: Sequence[core.OutboxEntry]
    ) -> tuple[TransactionMixin, bool]:
        """Insert; a taken idempotency key gives the record that has it.

        Raises:
            DuplicateTransaction: the third-party reference is taken.
            CalledInTransaction: on SQLite, the caller's own transaction is in the way.
            ValidationError: a reversal, with which more could go back than was paid.
        """
        columns = {_ATTRIBUTES.get(name, name): value for name, value in values.items()}
        record = self._transaction(account=self._account, **_plain(columns))
        try:
            with self._session(may_wait=record.original_id is not None) as session:
                self._lock(session, record.original_id)
                session.add(record)
                session.flush()
                self._keep(session, outbox, record)
                self._refuse_too_much(session, record.original_id)
        except IntegrityError as error:
            found = recorded_already(self, values)
            if found is None:
                refuse_what_it_refers_to(error)
                raise
            return found, False
        except OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            raise CalledInTransaction(
                "Nothing was sent. SQLite has one writer at a time, and the payment could not be "
                "recorded: commit what your session has written before you call"
            ) from error
        return cast("TransactionMixin", record), True

    def shop_columns(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What the arguments write, by the model's attributes."""
        if not given:
            return {}
        shops = {"metadata": "metadata_"}
        for attribute in inspect(self._transaction).column_attrs:
            own = isinstance(attribute.columns[0], Column) and attribute.key != "id"
            if own and attribute.key not in OWNED and attribute.key != "metadata_":
                shops[attribute.key] = attribute.key
        refuse_names(given, shops)
        return {name: {shops[name]: value} for name, value in given.items()}

    def link(self, record: TransactionMixin, columns: Mapping[str, Any]) -> TransactionMixin | None:
        """Update the shop's columns, committed."""
        return self.isolated(lambda: self._link(record.pk, dict(columns)))

    def _link(self, key: Any, values: dict[str, Any]) -> TransactionMixin | None:
        model = self._transaction
        meant = update(model).where(model.id == key)
        with self._session() as session:
            if "metadata_" in values:
                # Written to first, which locks the row in SQLite, too.
                _rows(session, meant.values(metadata_=model.metadata_))
                known = session.scalar(select(model.metadata_).where(model.id == key))
                values["metadata_"] = merged(known, values["metadata_"])
            if values:
                _rows(session, meant.values(**values))
            found = session.scalars(select(model).where(model.id == key))
            return cast("TransactionMixin | None", found.one_or_none())

    def get(self, record: TransactionMixin) -> TransactionMixin:
        """Select by primary key."""
        with self._reading() as session:
            return self._read(session, record.pk)

    def change(
        self, record: TransactionMixin, state: State, change: core.Change
    ) -> tuple[TransactionMixin, TransactionMixin | None] | None:
        """Update where the state is still the one expected.

        Raises:
            TransactionClaimed: another payment has the transaction.
        """
        try:
            return self._change(record, state, change)
        except IntegrityError:
            refuse_claimed(self, change)
            raise

    def _change(
        self, record: TransactionMixin, state: State, change: core.Change
    ) -> tuple[TransactionMixin, TransactionMixin | None] | None:
        model = self._transaction
        # A callback's view holds no transaction that it could wait for.
        with self._session(may_wait=change.callback is None) as session:
            changed = self._update(session, record, model.state == state.value, change.values)
            if changed is None:
                return None
            self._keep(session, change.outbox, record)
            if change.callback:
                session.add(self._entry({**change.callback, "transaction_key": record.pk}))
            original = self._add_reversed(session, record) if change.reverses else None
            if original is not None:
                self._keep(session, change.original_outbox, original)
            return changed, original

    def note_conflict(
        self, record: TransactionMixin, text: str, outbox: Sequence[core.OutboxEntry]
    ) -> TransactionMixin | None:
        """Note it where it is not what was noted last."""
        model = self._transaction
        with self._session(may_wait=True) as session:
            changed = self._update(session, record, model.conflict != text, {"conflict": text})
            if changed is not None:
                self._keep(session, outbox, record)
            return changed

    def find(self, third_party_reference: str) -> TransactionMixin | None:
        """Select by third-party reference."""
        with self._reading() as session:
            found = session.scalars(self._by_reference, {"reference": third_party_reference})
            return cast("TransactionMixin | None", found.one_or_none())

    def find_by_key(self, idempotency_key: str) -> TransactionMixin | None:
        """Select by idempotency key."""
        return self._first(self._transaction.idempotency_key == idempotency_key)

    def find_paid(self, transaction_id: str) -> TransactionMixin | None:
        """Select by the transaction ID that it claimed."""
        return self._first(self._transaction.claimed_transaction_id == transaction_id)

    def shares_conversation(self, record: TransactionMixin) -> bool:
        """Select the other ones; the database may take capitals for the same."""
        model = self._transaction
        others = select(model.conversation_id).where(
            model.account == self._account,
            model.conversation_id == record.conversation_id,
            model.id != record.pk,
        )
        with self._reading() as session:
            return record.conversation_id in set(session.scalars(others))

    def oldest_open(self) -> TransactionMixin | None:
        """Select the first open one; an index has states and times."""
        is_open = self._transaction.state.in_([state.value for state in OPEN_STATES])
        return self._first(is_open, by=self._transaction.created_at)

    def claim_due(self, now: datetime, until: datetime, limit: int) -> list[TransactionMixin]:
        """Put off the next checks that are due, and give their records."""
        model = self._transaction
        due = select(model).where(model.account == self._account, model.next_check_at <= now)
        return cast("list[TransactionMixin]", self._claim(due, model.next_check_at, until, limit))

    def release(self, records: Sequence[TransactionMixin], until: datetime) -> None:
        """Make due again what is still put off until then."""
        if not records:
            return
        model = self._transaction
        keys = [record.pk for record in records]
        statement = update(model).where(model.id.in_(keys), model.next_check_at == until)
        with self._session() as session:
            session.execute(statement.values(next_check_at=_now()))

    def claim_outbox(
        self, now: datetime, until: datetime, limit: int
    ) -> list[core.DueOutboxEntry[Any]]:
        """Put off the notices that are due, and give them with their records."""
        model = self._outbox_entry
        due = select(model).where(model.account == self._account, model.due_at <= now)
        claimed = self._claim(due, model.due_at, until, limit, counted=True)
        keys = {entry.transaction_key for entry in claimed}
        records = {record.pk: record for record in self._readable(self._transaction, list(keys))}
        gone = self._gone(keys - records.keys())
        return [
            core.DueOutboxEntry(
                id=entry.id,
                event=entry.event,
                attempts=entry.attempts,
                record=records.get(entry.transaction_key),
            )
            for entry in claimed
            if entry.transaction_key in records or entry.transaction_key in gone
        ]

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when they are due."""
        model = self._outbox_entry
        with self._session() as session:
            session.execute(update(model).where(model.id.in_(ids)).values(due_at=until))

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when they are due, in a session of its own as any."""
        self.defer_outbox(ids, until)

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Delete notices."""
        with self._session() as session:
            session.execute(delete(self._outbox_entry).where(self._outbox_entry.id.in_(dispatched)))

    def store_callback(self, values: Mapping[str, Any]) -> CallbackLogMixin:
        """Insert a callback."""
        entry = self._entry(values)
        with self._session() as session:
            session.add(entry)
        return entry

    def get_callback(self, entry: CallbackLogMixin) -> CallbackLogMixin:
        """Select a callback by primary key."""
        with self._reading() as session:
            found = session.scalars(select(self._callback).where(self._callback.id == entry.id))
            return cast("CallbackLogMixin", found.one())

    def set_verdict(
        self, entry: CallbackLogMixin, verdict: core.Verdict, record: TransactionMixin | None
    ) -> None:
        """Update a callback's verdict."""
        entry.verdict = verdict.value
        entry.transaction_key = record.pk if record else None
        model = self._callback
        values = {"verdict": entry.verdict, "transaction_key": entry.transaction_key}
        with self._session() as session:
            session.execute(update(model).where(model.id == entry.id).values(**values))

    def waiting_callbacks(self, third_party_reference: str) -> list[tuple[CallbackLogMixin, bytes]]:
        """Select a payment's callbacks that are not decided yet."""
        model = self._callback
        waiting = (core.Verdict.RECEIVED.value, core.Verdict.EARLY.value)
        return self._with_body(
            select(model).where(
                model.account == self._account,
                model.third_party_reference == third_party_reference,
                model.verdict.in_(waiting),
            )
        )

    def claim_callbacks(
        self, now: datetime, until: datetime, limit: int, *, older_than: timedelta
    ) -> list[core.DueCallback[CallbackLogMixin]]:
        """Put off the callbacks that nobody has decided, and give them."""
        model = self._callback
        due = select(model).where(
            model.account == self._account,
            model.verdict == core.Verdict.RECEIVED.value,
            model.received_at < now - older_than,
            or_(model.next_attempt_at.is_(None), model.next_attempt_at <= now),
        )
        claimed = self._claim(
            due, model.next_attempt_at, until, limit, by=model.received_at, counted=True
        )
        return [
            core.DueCallback(entry=entry, body=entry.body, attempts=entry.attempts)
            for entry in claimed
        ]

    def defer_callbacks(self, entries: Sequence[CallbackLogMixin], until: datetime) -> None:
        """Update when they are to be tried again."""
        model = self._callback
        keys = [entry.id for entry in entries]
        with self._session() as session:
            session.execute(update(model).where(model.id.in_(keys)).values(next_attempt_at=until))

    @cached_property
    def _by_reference(self) -> Select[Any]:
        """Written once: each callback asks it. Not before, since models may be mapped late."""
        model = self._transaction
        is_meant = model.third_party_reference == bindparam("reference")
        return select(model).where(model.account == self._account, is_meant)

    def _entry(self, values: Mapping[str, Any]) -> CallbackLogMixin:
        return cast("CallbackLogMixin", self._callback(account=self._account, **_plain(values)))

    def _with_body(self, statement: Select[Any]) -> list[tuple[CallbackLogMixin, bytes]]:
        with self._session() as session:
            entries = session.scalars(statement.order_by(self._callback.id)).all()
            return [(entry, entry.body) for entry in entries]

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        """For one SELECT, without BEGIN and COMMIT around it."""
        with Session(self._records.library_engine) as session:
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            yield session
            session.expunge_all()

    @contextmanager
    def _session(self, *, may_wait: bool = False) -> Iterator[Session]:
        """One transaction.

        Args:
            may_wait: whether the caller's own transaction may have locked what is written, so that
                waiting for it must end.
        """
        with Session(self._records.library_engine, expire_on_commit=False) as session:
            with session.begin():
                dialect = session.get_bind().dialect.name
                if dialect in _SEES_COMMITTED:
                    # To see what others committed: MariaDB's default does not, and locks gaps.
                    session.connection(execution_options={"isolation_level": "READ COMMITTED"})
                if may_wait and dialect == "postgresql":
                    # For this transaction: a pooler in between may give the connection to others.
                    session.execute(_LOCK_TIMEOUT)
                yield session
            session.expunge_all()

    def _update(
        self, session: Session, record: TransactionMixin, still: Any, values: Mapping[str, Any]
    ) -> TransactionMixin | None:
        """Update a record and read it; both at once where the database can. None if not found."""
        model = self._transaction
        statement = update(model).where(model.id == record.pk, still)
        statement = statement.values(**_plain(values), updated_at=_now())
        if not session.get_bind().dialect.update_returning:
            return self._read(session, record.pk) if _rows(session, statement) else None
        options = {"synchronize_session": False, "populate_existing": True}
        found = session.scalars(statement.returning(model), execution_options=options)
        return cast("TransactionMixin | None", found.one_or_none())

    def _read(self, session: Session, key: Any) -> TransactionMixin:
        model = self._transaction
        return cast(
            "TransactionMixin",
            session.scalars(
                select(model).where(model.id == key), execution_options={"populate_existing": True}
            ).one(),
        )

    def _first(self, *conditions: Any, by: Any = None) -> TransactionMixin | None:
        model = self._transaction
        statement = select(model).where(model.account == self._account, *conditions)
        with self._reading() as session:
            return cast(
                "TransactionMixin | None",
                session.scalars(
                    statement.order_by(model.id if by is None else by).limit(1)
                ).first(),
            )

    def _keep(
        self, session: Session, outbox: Sequence[core.OutboxEntry], record: TransactionMixin
    ) -> None:
        for entry in outbox:
            session.add(
                self._outbox_entry(
                    id=entry.id,
                    account=self._account,
                    event=entry.event.value,
                    transaction_key=record.pk,
                    due_at=_now() + DISPATCH_GRACE,
                )
            )

    def _lock(self, session: Session, original_id: Any) -> None:
        """Lock a reversal's original, by a write that changes nothing, which SQLite knows, too."""
        if original_id is not None:
            model = self._transaction
            nothing = {"state": model.state, "updated_at": model.updated_at}
            _rows(session, update(model).where(model.id == original_id).values(**nothing))

    def _refuse_too_much(self, session: Session, original_id: Any) -> None:
        if original_id is None:
            return
        model = self._transaction
        under_way = select(model.amount).where(
            model.original_id == original_id,
            model.state.in_([state.value for state in OPEN_STATES]),
        )
        refuse_too_much(self._read(session, original_id), session.scalars(under_way).all())

    def _add_reversed(
        self, session: Session, reversal: TransactionMixin
    ) -> TransactionMixin | None:
        """Add to the original's amount given back; its row is locked meanwhile."""
        model = self._transaction
        key = reversal.original_id
        original = session.scalars(select(model).where(model.id == key).with_for_update()).first()
        values = after_reversal(original, reversal.amount) if original else None
        if values is None:
            return None
        values = {**_plain(values), "updated_at": _now()}
        session.execute(update(model).where(model.id == key).values(**values))
        return self._read(session, key)

    def _claim(
        self,
        due: Select[Any],
        column: Any,
        until: datetime,
        limit: int,
        *,
        by: Any = None,
        counted: bool = False,
    ) -> list[Any]:
        """Take rows for this worker: nobody waits for a row that another is taking.

        Only what is needed is read of them before they are put off: a row that cannot be read
        would be in everybody's way for ever.
        """
        model = column.class_
        due_at: Select[Any] = due.with_only_columns(model.id, column)
        due_at = due_at.order_by(column if by is None else by, model.id).limit(limit)
        values: dict[str, Any] = {column.key: until}
        if counted:
            values["attempts"] = model.attempts + 1
        put_off = update(model).values(**values)
        with self._session() as session:
            if _skips_locked(session):
                keys = list(session.scalars(due_at.with_for_update(skip_locked=True)))
                if keys:
                    _rows(session, put_off.where(model.id.in_(keys)))
            else:
                keys = [
                    key
                    for key, at in session.execute(due_at).all()
                    if _rows(session, put_off.where(model.id == key, column == at))
                ]
        return self._readable(model, keys)

    def _readable(self, model: Any, keys: Sequence[Any]) -> list[Any]:
        """Read rows in this order; one that cannot be read is logged, and keeps no other back."""
        try:
            found = self._by_key(model, keys)
        except DBAPIError:
            raise  # it is not the row's fault
        except Exception:  # noqa: BLE001 - whatever a column's type makes of what is in a row
            found = {}
            for key in keys:
                try:
                    found |= self._by_key(model, [key])
                except Exception as error:  # noqa: BLE001
                    log_failure("store.row_not_read", error, table=model.__tablename__, pk=key)
        return [found[key] for key in keys if key in found]

    def _by_key(self, model: Any, keys: Sequence[Any]) -> dict[Any, Any]:
        if not keys:
            return {}
        with self._reading() as session:
            rows = session.scalars(select(model).where(model.id.in_(keys)))
            return {row.id: row for row in rows}

    def _gone(self, keys: Collection[Any]) -> set[Any]:
        """Which payments are not there any more."""
        if not keys:
            return set()
        model = self._transaction
        with self._reading() as session:
            return set(keys) - set(session.scalars(select(model.id).where(model.id.in_(keys))))


def _rows(session: Session, statement: Executable) -> int:
    options = {"synchronize_session": False}
    result = cast("CursorResult[Any]", session.execute(statement, execution_options=options))
    return int(result.rowcount)


def _skips_locked(session: Session) -> bool:
    dialect: Any = session.get_bind().dialect
    if dialect.name == "postgresql":
        return True
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    needed = _SKIPS_LOCKED.get(name)
    version = getattr(dialect, "_mariadb_normalized_version_info", None)
    return needed is not None and (version or dialect.server_version_info) >= needed


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Enum members as the text that they stand for."""
    return {name: getattr(value, "value", value) for name, value in values.items()}


def _now() -> datetime:
    return datetime.now(timezone.utc)
