"""Payments: what is read and written of them within a transaction that somebody else opens.

Each transition is one conditional UPDATE. With it come, in the same transaction, the outbox entries
of its events and the callback that reported it; how those are written is in modules of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from functools import cached_property
from typing import Any, cast

from sqlalchemy import Column, Select, bindparam, func, inspect, select, update
from sqlalchemy.orm import Session

from ..core.payments import records as core
from ..core.payments.lifecycle import (
    AWAITED_STATES,
    MAY_BE_CHECKED_EARLY,
    OPEN_STATES,
    State,
)
from ..core.payments.orders import UNPAID_STATES
from ..core.payments.ownership import OWNED, merged, refuse_names
from ..core.payments.reversals import after_settling, refuse_too_much
from .callback_rows import CallbackRows
from .claims import claim, skips_locked
from .models import Models, TransactionMixin, as_attributes, in_utc
from .outbox_rows import OutboxRows
from .sessions import read, rows_changed, wake_workers

_OPEN = [state.value for state in OPEN_STATES]
_UNPAID = [state.value for state in UNPAID_STATES]
_AWAITED = [state.value for state in AWAITED_STATES]
_MAY_BE_CHECKED_EARLY = [state.value for state in MAY_BE_CHECKED_EARLY]
_Found = TransactionMixin | None


class PaymentRows:
    """One account's payments.

    Args:
        account: its alias.
        models: the app's.
        outbox: where the entries of a payment's events are added.
        callbacks: where the callback that reported a change is added.
    """

    def __init__(
        self, account: str, models: Models, outbox: OutboxRows, callbacks: CallbackRows
    ) -> None:
        self._account = account
        self._outbox = outbox
        self._callbacks = callbacks
        self.model: Any = models.transaction

    def new(self, values: Mapping[str, Any]) -> TransactionMixin:
        """Make a record, which is in no session yet."""
        record = self.model(account=self._account, **as_attributes(values))
        return cast("TransactionMixin", record)

    def refers(self, record: TransactionMixin) -> bool:
        """Whether a record may refer to a row that the caller has locked, as a shop's order."""
        return record.original_id is not None or self._has_keys

    def insert(
        self, session: Session, record: TransactionMixin, outbox: Sequence[core.OutboxEntry]
    ) -> None:
        """Insert a record and the entries of its events.

        Raises:
            ValidationError: a reversal, with which more could go back than was paid.
        """
        self._lock(session, record.original_id)
        session.add(record)
        session.flush()
        if record.state == State.QUEUED.value:
            wake_workers(session, self._account)
        self._outbox.add(session, outbox, record.pk)
        self._count_pending(session, record.original_id)

    def change(
        self, session: Session, record: TransactionMixin, state: State, change: core.Change
    ) -> tuple[TransactionMixin, _Found] | None:
        """Change a record that is in a state still; None where it is in another.

        Returns:
            The record, and the original of a reversal where its amount given back was added to.
        """
        if change.settles:
            # First, so that what is read below is read once it is this transaction's alone.
            self._lock(session, record.original_id)
        still = self.model.state == state.value
        if change.as_claimed:
            still &= self.model.next_check_at == record.next_check_at
        changed = self._update(session, record, still, change.values)
        if changed is None:
            return None
        self._outbox.add(session, change.outbox, record.pk)
        if change.callback:
            self._callbacks.add(session, {**change.callback, "transaction_key": record.pk})
        original = None
        if change.settles:
            original = self._settle(session, record, completes=change.reverses)
        if original is not None:
            self._outbox.add(session, change.outbox_of(original), original.pk)
        if change.values.get("state") == State.QUEUED:
            wake_workers(session, self._account)
        return changed, original

    def note_conflict(
        self, session: Session, record: TransactionMixin, text: str,
        outbox: Sequence[core.OutboxEntry],
    ) -> _Found:  # fmt: skip
        """Note contradicting evidence; None where it is what was noted last."""
        noted = {"conflict": text, "conflict_decided_at": None}
        changed = self._update(session, record, self.model.conflict != text, noted)
        if changed is not None:
            self._outbox.add(session, outbox, record.pk)
        return changed

    def shop_columns(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What a call's further arguments write, by the model's attributes.

        Raises:
            ValidationError: one names a column of the library's, or none.
        """
        if not given:
            return {}
        shops = {"metadata": "metadata_"}
        for attribute in inspect(self.model).column_attrs:
            own = isinstance(attribute.columns[0], Column) and attribute.key != "id"
            if own and attribute.key not in OWNED and attribute.key != "metadata_":
                shops[attribute.key] = attribute.key
        refuse_names(given, shops)
        return {name: {shops[name]: value} for name, value in given.items()}

    def link(self, session: Session, key: Any, columns: Mapping[str, Any]) -> _Found:
        """Update the shop's columns; metadata is merged with what is on record."""
        model = self.model
        meant = update(model).where(model.id == key)
        values = dict(columns)
        if "metadata_" in values:
            # Written to first, which locks the row in SQLite, too.
            rows_changed(session, meant.values(metadata_=model.metadata_))
            known = session.scalar(select(model.metadata_).where(model.id == key))
            values["metadata_"] = merged(known, values["metadata_"])
        if values:
            rows_changed(session, meant.values(**values))
        return self.find_by_primary_key(session, key)

    def get(self, session: Session, key: Any) -> TransactionMixin:
        """Read a record by its primary key."""
        model = self.model
        found = read(session, select(model).where(model.id == key), populate_existing=True)
        return cast("TransactionMixin", found.one())

    def find_by_primary_key(self, session: Session, key: Any) -> _Found:
        """Find a record by its primary key."""
        found = read(session, select(self.model).where(self.model.id == key))
        return cast("_Found", found.one_or_none())

    def find(self, session: Session, third_party_reference: str) -> _Found:
        """Find the record with a third-party reference."""
        found = read(session, self._by_reference, {"reference": third_party_reference})
        return cast("_Found", found.one_or_none())

    def find_by_key(self, session: Session, idempotency_key: str) -> _Found:
        """Find the record with an idempotency key."""
        return self._first(session, self.model.idempotency_key == idempotency_key)

    def find_paid(self, session: Session, transaction_id: str) -> _Found:
        """Find the record that has claimed a transaction ID."""
        return self._first(session, self.model.claimed_transaction_id == transaction_id)

    def attempts(self, session: Session, order_key: str, operation: str) -> list[TransactionMixin]:
        """Find the records of an order, the oldest first."""
        model = self.model
        found = select(model).where(
            model.account == self._account,
            model.order_key == order_key,
            model.operation == operation,
        )
        return list(read(session, found.order_by(model.id)))

    def oldest_open(self, session: Session) -> _Found:
        """Find the first one that is open still; an index has states and times."""
        return self._first(session, self.model.state.in_(_OPEN), by=self.model.created_at)

    def shares_conversation(self, session: Session, record: TransactionMixin) -> bool:
        """Whether another has the same conversation ID; the database may ignore case, this not."""
        model = self.model
        others = select(model.conversation_id).where(
            model.account == self._account,
            model.conversation_id == record.conversation_id,
            model.id != record.pk,
        )
        return record.conversation_id in set(session.scalars(others))

    def open_by_account(self, session: Session) -> dict[str, int]:
        """Count the payments that are open, of every account."""
        model = self.model
        counted = select(model.account, func.count()).where(model.state.in_(_OPEN))
        return {row[0]: row[1] for row in session.execute(counted.group_by(model.account))}

    def queued(self, session: Session) -> tuple[int, datetime | None]:
        """Count what is queued, and give the time of the oldest."""
        model = self.model
        which = model.account == self._account, model.state == State.QUEUED.value
        count, oldest = session.execute(
            select(func.count(), func.min(model.created_at)).select_from(model).where(*which)
        ).one()
        return count, oldest and in_utc(oldest)

    def claim_queued(
        self,
        session: Session,
        now: datetime,
        next_check_at: datetime,
        limit: int,
        outbox: Callable[[str], Sequence[core.OutboxEntry]],
        *,
        reference: str | None,
    ) -> dict[Any, Sequence[core.OutboxEntry]]:
        """Take queued payments, the oldest first; their keys, each with its outbox entries."""
        model = self.model
        is_queued = (
            model.account == self._account,
            model.state == State.QUEUED.value,
            model.send_before > now,
            *([model.third_party_reference == reference] if reference is not None else ()),
        )
        oldest = select(model.id, model.operation).where(*is_queued)
        oldest = oldest.order_by(model.created_at, model.id).limit(limit)
        initiated = update(model).where(*is_queued)
        initiated = initiated.values(
            state=State.INITIATED.value, next_check_at=next_check_at, updated_at=_now()
        )
        if skips_locked(session, model):
            rows = session.execute(oldest.with_for_update(skip_locked=True)).all()
            keys = [row.id for row in rows]
            if keys:
                rows_changed(session, initiated.where(model.id.in_(keys)))
        else:
            found = session.execute(oldest).all()
            rows = [
                row for row in found if rows_changed(session, initiated.where(model.id == row.id))
            ]
        claimed = {row.id: outbox(row.operation) for row in rows}
        for key, entries in claimed.items():
            self._outbox.add(session, entries, key)
        return claimed

    def claimed_queued(self, session: Session, next_check_at: datetime) -> Sequence[Any]:
        """The keys of what was queued, and was initiated by the claim with this next check."""
        model = self.model
        claimed = select(model.id).where(
            model.account == self._account,
            model.next_check_at == next_check_at,
            model.state == State.INITIATED.value,
            model.send_before.is_not(None),
        )
        return session.scalars(claimed.order_by(model.created_at, model.id)).all()

    def claim_due(
        self, session: Session, now: datetime, until: datetime, limit: int, state: State | None
    ) -> list[Any]:
        """Claim the payments whose next check is due; their keys."""
        model = self.model
        due = select(model).where(model.account == self._account, model.next_check_at <= now)
        if state is not None:
            due = due.where(model.state == state.value)
        return claim(session, due, model.next_check_at, until, limit)

    def to_be_checked(self, session: Session) -> tuple[int, datetime | None]:
        """Count what is to be asked for, and give the time of the first."""
        model = self.model
        count, first = session.execute(
            select(func.count(), func.min(model.next_check_at))
            .select_from(model)
            .where(
                model.account == self._account,
                model.next_check_at.is_not(None),
                model.state.in_(_AWAITED),
            )
        ).one()
        return count, first and in_utc(first)

    def make_due(self, session: Session, now: datetime) -> None:
        """Put the next checks forward that may be."""
        model = self.model
        statement = update(model).where(
            model.account == self._account,
            model.next_check_at > now,
            model.state.in_(_MAY_BE_CHECKED_EARLY),
        )
        session.execute(statement.values(next_check_at=now))

    def release(
        self, session: Session, records: Sequence[TransactionMixin], until: datetime
    ) -> None:
        """Make due again those whose next check is put off until then still."""
        model = self.model
        keys = [record.pk for record in records]
        statement = update(model).where(model.id.in_(keys), model.next_check_at == until)
        session.execute(statement.values(next_check_at=_now()))

    def existing(self, session: Session, keys: Collection[Any]) -> set[Any]:
        """Which of these primary keys there are."""
        return set(session.scalars(select(self.model.id).where(self.model.id.in_(keys))))

    @cached_property
    def _by_reference(self) -> Select[Any]:
        """Built once, since each callback needs it; on first use, since models are mapped late."""
        model = self.model
        is_meant = model.third_party_reference == bindparam("reference")
        return select(model).where(model.account == self._account, is_meant)

    @cached_property
    def _has_keys(self) -> bool:
        """Whether the model has foreign keys of the shop's own."""
        columns = inspect(self.model).column_attrs
        return any(each.columns[0].foreign_keys for each in columns if each.key != "original_id")

    def _first(self, session: Session, *conditions: Any, by: Any = None) -> _Found:
        model = self.model
        statement = select(model).where(model.account == self._account, *conditions)
        statement = statement.order_by(model.id if by is None else by).limit(1)
        return cast("_Found", read(session, statement).first())

    def _update(
        self, session: Session, record: TransactionMixin, still: Any, values: Mapping[str, Any]
    ) -> _Found:
        """Update a record and read it; both at once where the database can. None if not found."""
        model = self.model
        statement = update(model).where(model.id == record.pk, still)
        statement = statement.values(**as_attributes(values), updated_at=_now())
        if not session.get_bind().dialect.update_returning:
            return self.get(session, record.pk) if rows_changed(session, statement) else None
        statement = statement.returning(model)
        found = read(session, statement, synchronize_session=False, populate_existing=True)
        return cast("_Found", found.one_or_none())

    def _lock(self, session: Session, original_id: Any) -> None:
        """Lock a reversal's original, by a write that changes nothing, which SQLite knows, too."""
        if original_id is not None:
            model = self.model
            nothing = {"state": model.state, "updated_at": model.updated_at}
            rows_changed(session, update(model).where(model.id == original_id).values(**nothing))

    def _count_pending(self, session: Session, original_id: Any) -> None:
        """Write how much of a payment is being given back, unless that is too much."""
        if original_id is None:
            return
        model = self.model
        under_way = self._under_way(session, original_id)
        original = self.get(session, original_id)
        refuse_too_much(original, under_way, self._contradicted(session, original_id))
        # In Python, not by SQL's arithmetic, which is inexact on SQLite.
        pending = {"reversal_pending": sum(under_way), "updated_at": original.updated_at}
        rows_changed(session, update(model).where(model.id == original_id).values(**pending))

    def _under_way(self, session: Session, original_id: Any) -> Sequence[Decimal]:
        model = self.model
        open_ = select(model.amount).where(model.original_id == original_id, model.state.in_(_OPEN))
        return session.scalars(open_).all()

    def _contradicted(self, session: Session, original_id: Any) -> Sequence[Decimal]:
        model = self.model
        undecided = select(model.amount).where(
            model.original_id == original_id,
            model.state.in_(_UNPAID),
            model.conflict != "",
            model.conflict_decided_at.is_(None),
        )
        return session.scalars(undecided).all()

    def _settle(self, session: Session, reversal: TransactionMixin, *, completes: bool) -> _Found:
        """Write into the original what became of a reversal; its row is locked meanwhile.

        Returns:
            The original, if the amount is added to what was given back.
        """
        model = self.model
        key = reversal.original_id
        original = self.find_by_primary_key(session, key)
        if original is None:
            return None
        under_way = self._under_way(session, key)
        values, booked = after_settling(original, reversal.amount, under_way, completes=completes)
        # Where it is not booked, nothing became of the payment itself.
        values = {**as_attributes(values), "updated_at": _now() if booked else original.updated_at}
        session.execute(update(model).where(model.id == key).values(**values))
        return self.get(session, key) if booked else None


def _now() -> datetime:
    return datetime.now(timezone.utc)
