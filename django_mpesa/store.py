"""Core's store over the Django ORM: each transition is one conditional UPDATE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from django.db import DatabaseError, IntegrityError, connections, router, transaction
from django.db.models import F, Model, Q, QuerySet
from django.utils import timezone

from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments import records as core
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES, State
from mpesa_integrations.core.payments.ownership import merged
from mpesa_integrations.core.payments.refusals import (
    recorded_already,
    refuse_claimed,
    refuse_what_it_refers_to,
)
from mpesa_integrations.core.payments.reversals import after_reversal, refuse_too_much
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE
from mpesa_integrations.core.payments.tables import Table

from . import protection
from .constraints import in_database
from .isolation import (
    bound_lock_waits,
    disconnect,
    is_on_its_own,
    may_bound_lock_waits,
    run_isolated,
    run_on_its_own,
)
from .models import AbstractTransaction, CallbackLog, OutboxEntry
from .protection import LibraryRecords
from .shop_columns import make_record, shop_columns
from .swapping import get_transaction_model
from .times import aware, stored

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Model)


class DjangoStore:
    """One account's payments and callbacks."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._model = get_transaction_model()
        self.alias = router.db_for_write(self._model)
        # Always the database that is written to: a replica may not know yet what was just done.
        self._records = LibraryRecords[AbstractTransaction](self._model, using=self.alias)
        self._mine: QuerySet[AbstractTransaction] = self._records.filter(account=account)
        self._callbacks: QuerySet[CallbackLog] = CallbackLog._base_manager.using(self.alias)
        self._outbox: QuerySet[OutboxEntry] = OutboxEntry._base_manager.using(self.alias)

    def isolated(self, call: Callable[[], _T], *, writes: bool = True) -> _T:
        """Run a call outside the caller's transaction; errors as `run_isolated`'s."""
        return run_isolated(self.alias, call, writes=writes)

    remedy = (
        "Run `manage.py makemigrations` and `manage.py migrate` for that database; "
        "`manage.py mpesa_check` tells whether that was all"
    )

    def tables(self) -> list[Table]:
        """Introspect the database."""
        return list(in_database(self.alias, self._model, (CallbackLog, OutboxEntry)))

    def disconnect(self) -> None:
        """Give the caller's connection back where nothing of the caller's is in it."""
        disconnect(self.alias)

    def aware(self, time: datetime) -> datetime:
        """As the project's USE_TZ and TIME_ZONE say."""
        return aware(time)

    def with_values(
        self, record: AbstractTransaction, values: Mapping[str, Any]
    ) -> AbstractTransaction:
        """Set them on a copy."""
        return protection.with_values(record, _plain(values))

    def create(
        self, values: Mapping[str, Any], outbox: Sequence[core.OutboxEntry]
    ) -> tuple[AbstractTransaction, bool]:
        """Insert; a taken idempotency key gives the record that has it.

        Raises:
            DuplicateTransaction: the third-party reference is taken.
            ValidationError: a reversal, with which more could go back than was paid.
        """
        record = make_record(self._model, {"account": self._account, **_plain(values)})
        if record.object_id is None:  # paid_for=None: it is not known yet
            record.object_id = ""
        try:
            with self._together(outbox or record.original_id):
                self._lock(record.original_id)
                protection.insert(record, self.alias)
                self._keep(outbox, record)
                self._refuse_too_much(record.original_id)
        except IntegrityError as error:
            found = recorded_already(self, values)
            if found is None:
                if is_on_its_own():
                    refuse_what_it_refers_to(error)
                raise
            return found, False
        return record, True

    def shop_columns(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What the arguments write, relations by the keys that are stored for them."""
        return shop_columns(self._model, given)

    def link(
        self, record: AbstractTransaction, columns: Mapping[str, Any]
    ) -> AbstractTransaction | None:
        """Update the shop's columns, in the caller's transaction if there is one."""
        meant = self._records.filter(pk=record.pk)
        values = dict(columns)
        with self._together("metadata" in values):
            if "metadata" in values:
                # Written to first, which locks the row in SQLite, too.
                meant.update(metadata=F("metadata"))
                known = meant.values_list("metadata", flat=True).first()
                values["metadata"] = merged(known, values["metadata"])
            if values and not meant.update(**values):
                return None
        found: AbstractTransaction | None = meant.first()
        return found

    def get(self, record: AbstractTransaction) -> AbstractTransaction:
        """Select by primary key."""
        with self._reading():
            return self._records.get(pk=record.pk)

    def change(
        self, record: AbstractTransaction, state: State, change: core.Change
    ) -> tuple[AbstractTransaction, AbstractTransaction | None] | None:
        """Update where the state is still the one expected.

        Raises:
            TransactionClaimed: another payment has the transaction.
        """
        original = None
        values = {**_plain(change.values), "updated_at": timezone.now()}
        try:
            with self._together(
                change.outbox or change.reverses or change.callback,
                # The gateway waits for a callback's answer no longer than for a lock.
                bounded=change.callback is None,
            ):
                if not self._records.filter(pk=record.pk, state=state).update(**values):
                    return None
                self._keep(change.outbox, record)
                if change.callback:
                    self.store_callback({**change.callback, "transaction_id": record.pk})
                if change.reverses:
                    original = self._add_reversed(record)
                if original is not None:
                    self._keep(change.original_outbox, original)
        except IntegrityError:
            refuse_claimed(self, change)
            raise
        return protection.with_values(record, values), original

    def note_conflict(
        self, record: AbstractTransaction, text: str, outbox: Sequence[core.OutboxEntry]
    ) -> AbstractTransaction | None:
        """Note it where it is not what was noted last."""
        with self._atomic():
            changed = (
                self._records.filter(pk=record.pk)
                .exclude(conflict=text)
                .update(conflict=text, updated_at=timezone.now())
            )
            if not changed:
                return None
            self._keep(outbox, record)
        return self.get(record)

    def find(self, third_party_reference: str) -> AbstractTransaction | None:
        """Select by third-party reference."""
        found = self._records.raw(self._by_reference, (self._account, third_party_reference))
        with self._reading():
            return next(iter(found), None)

    def find_by_key(self, idempotency_key: str) -> AbstractTransaction | None:
        """Select by idempotency key."""
        return self._first(self._mine.filter(idempotency_key=idempotency_key))

    def find_paid(self, transaction_id: str) -> AbstractTransaction | None:
        """Select by the transaction ID that it claimed."""
        return self._first(self._mine.filter(claimed_transaction_id=transaction_id))

    def shares_conversation(self, record: AbstractTransaction) -> bool:
        """Select the other ones; the database may take capitals for the same."""
        others = self._mine.filter(conversation_id=record.conversation_id).exclude(pk=record.pk)
        return record.conversation_id in set(others.values_list("conversation_id", flat=True))

    def oldest_open(self) -> AbstractTransaction | None:
        """Select the first open one; an index has states and times."""
        return self._first(self._mine.filter(state__in=OPEN_STATES).order_by("created_at"))

    def claim_due(self, now: datetime, until: datetime, limit: int) -> list[AbstractTransaction]:
        """Put off the next checks that are due, and give their records."""
        due = self._mine.filter(next_check_at__lte=stored(now)).order_by("next_check_at")
        return self._claim(due, "next_check_at", stored(until), limit)

    def release(self, records: Sequence[AbstractTransaction], until: datetime) -> None:
        """Make due again what is still put off until then."""
        keys = [record.pk for record in records]
        with self._together(False):
            self._records.filter(pk__in=keys, next_check_at=stored(until)).update(
                next_check_at=timezone.now()
            )

    def claim_outbox(
        self, now: datetime, until: datetime, limit: int
    ) -> list[core.DueOutboxEntry[Any]]:
        """Put off the notices that are due, and give them with their records."""
        due = self._outbox.filter(account=self._account, due_at__lte=stored(now))
        claimed = self._claim(due.order_by("due_at"), "due_at", stored(until), limit, counted=True)
        keys = [entry.transaction_id for entry in claimed]
        records = {record.pk: record for record in self._readable(self._records, keys)}
        gone = self._gone([key for key in keys if key not in records])
        return [
            core.DueOutboxEntry(
                id=entry.id,
                event=entry.event,
                attempts=entry.attempts,
                record=records.get(entry.transaction_id),
            )
            for entry in claimed
            if entry.transaction_id in records or entry.transaction_id in gone
        ]

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when they are due."""
        with self._together(False):
            self._outbox.filter(pk__in=ids).update(due_at=stored(until))

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when they are due, on a connection that does not stay open."""
        run_on_its_own(self.alias, lambda: self.defer_outbox(ids, until))

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Delete notices."""
        with self._together(False):
            self._outbox.filter(pk__in=dispatched).delete()

    def store_callback(self, values: Mapping[str, Any]) -> CallbackLog:
        """Insert a callback."""
        with self._together(False):
            return self._callbacks.create(account=self._account, **values)

    def set_verdict(
        self, entry: CallbackLog, verdict: core.Verdict, record: AbstractTransaction | None
    ) -> None:
        """Update a callback's verdict."""
        entry.verdict = verdict.value
        entry.transaction_id = record.pk if record else None
        with self._together(False):
            entry.save(using=self.alias, update_fields=("verdict", "transaction"))

    def waiting_callbacks(self, third_party_reference: str) -> list[tuple[CallbackLog, bytes]]:
        """Select a payment's callbacks that are not decided yet."""
        return self._with_body(
            self._callbacks.filter(
                account=self._account,
                third_party_reference=third_party_reference,
                verdict__in=(core.Verdict.RECEIVED, core.Verdict.EARLY),
            ).order_by("pk")
        )

    def claim_callbacks(
        self, now: datetime, until: datetime, limit: int, *, older_than: timedelta
    ) -> list[core.DueCallback[CallbackLog]]:
        """Put off the callbacks that nobody has decided, and give them."""
        due = self._callbacks.filter(
            Q(next_attempt_at=None) | Q(next_attempt_at__lte=stored(now)),
            account=self._account,
            verdict=core.Verdict.RECEIVED,
            received_at__lt=stored(now - older_than),
        ).order_by("received_at", "pk")
        claimed = self._claim(due, "next_attempt_at", stored(until), limit, counted=True)
        return [
            core.DueCallback(entry=entry, body=bytes(entry.body), attempts=entry.attempts)
            for entry in claimed
        ]

    def defer_callbacks(self, entries: Sequence[CallbackLog], until: datetime) -> None:
        """Update when they are to be tried again."""
        keys = [entry.pk for entry in entries]
        with self._together(False):
            self._callbacks.filter(pk__in=keys).update(next_attempt_at=stored(until))

    @cached_property
    def _by_reference(self) -> str:
        """Compiled once: each callback asks it, and compiling takes a quarter of its time."""
        found = self._records.filter(account="a").filter(third_party_reference="r").order_by()
        compiled: tuple[str, Sequence[Any]] = found.query.get_compiler(self.alias).as_sql()
        return compiled[0]

    @staticmethod
    def _with_body(entries: QuerySet[CallbackLog]) -> list[tuple[CallbackLog, bytes]]:
        return [(entry, bytes(entry.body)) for entry in entries]

    @contextmanager
    def _atomic(self, *, bounded: bool = False) -> Iterator[None]:
        with transaction.atomic(using=self.alias):
            bound_lock_waits(self.alias, always=bounded)
            yield

    def _together(self, more: object, *, bounded: bool = False) -> AbstractContextManager[Any]:
        """One transaction for a statement and what more there is; alone, it commits itself.

        Args:
            more: whether there is more.
            bounded: whether a locked row is waited for only so long, where the server has no bound.
        """
        bounded = bounded and may_bound_lock_waits(self.alias)
        if more or bounded or is_on_its_own() or not connections[self.alias].get_autocommit():
            return self._atomic(bounded=bounded)
        return nullcontext()

    def _first(self, found: QuerySet[AbstractTransaction]) -> AbstractTransaction | None:
        with self._reading():
            first: AbstractTransaction | None = found.first()
        return first

    def _reading(self) -> AbstractContextManager[Any]:
        """A SELECT waits no longer than a write: the caller may have locked the whole table."""
        return self._atomic() if is_on_its_own() else nullcontext()

    def _keep(self, outbox: Sequence[core.OutboxEntry], record: AbstractTransaction) -> None:
        for entry in outbox:
            self._outbox.create(
                id=entry.id,
                account=self._account,
                event=entry.event,
                transaction_id=record.pk,
                due_at=timezone.now() + DISPATCH_GRACE,
            )

    def _lock(self, original_id: int | None) -> None:
        """Lock a reversal's original, by a write that changes nothing, which SQLite knows, too."""
        if original_id is not None:
            self._records.filter(pk=original_id).update(state=F("state"))

    def _refuse_too_much(self, original_id: int | None) -> None:
        if original_id is None:
            return
        # As a Q: the type checker's plugin cannot look up a key to a model that is abstract.
        under_way = self._records.filter(Q(original_id=original_id), state__in=OPEN_STATES)
        original: Any = self._records.get(pk=original_id)
        refuse_too_much(original, [reversal.amount for reversal in under_way])

    def _add_reversed(self, reversal: AbstractTransaction) -> AbstractTransaction | None:
        """Add to the original's amount given back; its row is locked meanwhile."""
        of_original = self._records.filter(pk=reversal.original_id)
        original = of_original.select_for_update().first()
        values = after_reversal(original, reversal.amount) if original else None
        if original is None or values is None:
            return None
        # In Python, not by SQL's arithmetic, which is inexact on SQLite.
        of_original.update(**values, updated_at=timezone.now())
        return self.get(original)

    def _claim(
        self, due: QuerySet[_M], column: str, until: datetime, limit: int, *, counted: bool = False
    ) -> list[_M]:
        """Take rows for this worker: nobody waits for a row that another is taking.

        Only what is needed is read of them before they are put off: a row that cannot be read
        would be in everybody's way for ever.
        """
        due_at = due.values_list("pk", column)
        if connections[self.alias].features.has_select_for_update_skip_locked:
            with self._atomic():
                found = list(due_at.select_for_update(skip_locked=True)[:limit])
                keys = [key for key, _ in found]
                if keys:
                    self._take(due.model, column, until, counted, pk__in=keys)
        else:
            keys = [
                key
                for key, at in list(due_at[:limit])
                if self._take(due.model, column, until, counted, **{"pk": key, column: at})
            ]
        return self._readable(due.model._base_manager.using(self.alias), keys)

    def _take(
        self, model: type[_M], column: str, until: datetime, counted: bool, **which: Any
    ) -> bool:
        """Put rows off."""
        values: dict[str, Any] = {column: until}
        if counted:
            values["attempts"] = F("attempts") + 1
        # Payments by the library's own door, others by their model's.
        rows: Any = self._records if model is self._model else model._base_manager.using(self.alias)
        return bool(rows.filter(**which).update(**values))

    def _readable(self, rows: QuerySet[_M], keys: Sequence[Any]) -> list[_M]:
        """Read rows in this order; one that cannot be read is logged, and keeps no other back."""
        try:
            found = rows.in_bulk(keys)
        except DatabaseError:
            raise  # it is not the row's fault
        except Exception:  # noqa: BLE001 - whatever a field's type makes of what is in a row
            found = {}
            for key in keys:
                try:
                    found |= rows.in_bulk([key])
                except Exception as error:  # noqa: BLE001
                    log_failure(
                        "store.row_not_read", error, table=rows.model._meta.db_table, pk=key
                    )
        return [found[key] for key in dict.fromkeys(keys) if key in found]

    def _gone(self, keys: Sequence[Any]) -> set[Any]:
        """Which payments are not there any more."""
        if not keys:
            return set()
        return set(keys) - set(self._records.filter(pk__in=keys).values_list("pk", flat=True))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: stored(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
