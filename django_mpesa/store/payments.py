"""Core's store: payments, recorded before they are sent, each transition one conditional UPDATE.

The outbox and the callbacks are in modules of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db import IntegrityError
from django.db.models import Count, F, Min, Q, QuerySet
from django.utils import timezone

from mpesa_integrations.core.payments import records as core
from mpesa_integrations.core.payments.lifecycle import (
    AWAITED_STATES,
    MAY_BE_CHECKED_EARLY,
    OPEN_STATES,
    State,
)
from mpesa_integrations.core.payments.orders import UNPAID_STATES, Order
from mpesa_integrations.core.payments.ownership import merged
from mpesa_integrations.core.payments.refusals import (
    find_existing,
    refuse_claimed,
    refuse_missing_row,
    refuse_second,
)
from mpesa_integrations.core.payments.reversals import after_settling, refuse_too_much

from .. import protection
from ..isolation import is_on_its_own
from ..models import AbstractTransaction, CallbackLog, OutboxEntry, Verdict
from ..order_keys import order_of_object
from ..shop_columns import make_record, shop_columns
from ..times import aware, stored
from ..times import stored_values as _plain
from .callbacks import CallbackTable
from .outbox import OutboxTable


class DjangoStore(OutboxTable, CallbackTable):
    """One account's payments; a change of one writes outbox and callback rows with it."""

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
            OrderClaimed: another payment of the order is open or paid.
            DuplicateTransaction: the third-party reference is taken.
            ValidationError: a reversal, with which more could go back than was paid.
        """
        record = make_record(self._model, {"account": self._account, **_plain(values)})
        if record.object_id is None:  # paid_for=None: it is not known yet
            record.object_id = ""
        try:
            wakes = record.state == State.QUEUED and self._can_wake_workers
            more = outbox or record.original_id or wakes
            with self._together(more, bounded=self._refers(record)):
                self._lock(record.original_id)
                protection.insert(record, self.alias)
                if wakes:
                    self._wake_workers()
                self._add_to_outbox(outbox, record.pk)
                self._count_pending(record.original_id)
        except IntegrityError as error:
            found = find_existing(self, values)
            if found is None:
                if is_on_its_own():
                    refuse_missing_row(error)
                refuse_second(self, values, error)
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
            OrderClaimed: another payment has the order.
        """
        original: Any = None
        values = {**_plain(change.values), "updated_at": timezone.now()}
        wakes = change.values.get("state") == State.QUEUED and self._can_wake_workers
        try:
            more = wakes or change.outbox or change.settles or change.callback
            with self._together(more, bounded=True):
                if change.settles:
                    # First, so that what is read below is read once it is this transaction's alone.
                    self._lock(record.original_id)
                still = self._records.filter(pk=record.pk, state=state)
                if change.as_claimed:
                    still = still.filter(next_check_at=record.next_check_at)
                if not still.update(**values):
                    return None
                self._add_to_outbox(change.outbox, record.pk)
                if change.callback:
                    self._insert_callback({**change.callback, "transaction_id": record.pk})
                if change.settles:
                    original = self._settle(record, completes=change.reverses)
                if original is not None:
                    self._add_to_outbox(change.outbox_of(original), original.pk)
                if wakes:
                    self._wake_workers()
        except IntegrityError:
            refuse_claimed(self, record.operation, change)
            raise
        return protection.with_values(record, values), original

    def note_conflict(
        self, record: AbstractTransaction, text: str, outbox: Sequence[core.OutboxEntry]
    ) -> AbstractTransaction | None:
        """Update where another conflict, or none, was noted before."""
        with self._together(True, bounded=True):
            changed = (
                self._records.filter(pk=record.pk)
                .exclude(conflict=text)
                .update(conflict=text, conflict_decided_at=None, updated_at=timezone.now())
            )
            if not changed:
                return None
            self._add_to_outbox(outbox, record.pk)
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

    def attempts(self, order_key: str, operation: str) -> list[AbstractTransaction]:
        """Select by order."""
        found = self._mine.filter(order_key=order_key, operation=operation).order_by(
            "created_at", "pk"
        )
        with self._reading():
            return list(found)

    def order_of(self, order: object) -> Order:
        """Read a saved object, which is then what the payment is for."""
        return order_of_object(self._model, order)

    def shares_conversation(self, record: AbstractTransaction) -> bool:
        """Select the other ones; the database may take capitals for the same."""
        others = self._mine.filter(conversation_id=record.conversation_id).exclude(pk=record.pk)
        with self._reading():
            return record.conversation_id in set(others.values_list("conversation_id", flat=True))

    def oldest_open(self) -> AbstractTransaction | None:
        """Select the first open one; an index has states and times."""
        return self._first(self._mine.filter(state__in=OPEN_STATES).order_by("created_at"))

    is_shared = True

    def left_to_do(self, *, callbacks: bool) -> dict[str, int]:
        """Count the open payments by account; an index has states."""
        of_all = OutboxEntry._base_manager, CallbackLog._base_manager
        outbox, stored_callbacks = (rows.using(self.alias) for rows in of_all)
        with self._reading():
            found = dict.fromkeys(
                outbox.filter(given_up_at=None).values_list("account", flat=True).distinct(), 0
            )
            if callbacks:
                undecided = stored_callbacks.filter(verdict=Verdict.RECEIVED)
                found |= dict.fromkeys(undecided.values_list("account", flat=True).distinct(), 0)
            open_ones = self._records.filter(state__in=OPEN_STATES).order_by().values("account")
            counted = open_ones.annotate(count=Count("pk"))
            return found | {row["account"]: row["count"] for row in counted}

    def queued(self) -> tuple[int, datetime | None]:
        """Count them; an index has states and times."""
        with self._reading():
            found = self._mine.filter(state=State.QUEUED).aggregate(
                count=Count("pk"), oldest=Min("created_at")
            )
        return found["count"], found["oldest"] and aware(found["oldest"])

    def original_of(self, record: AbstractTransaction) -> AbstractTransaction | None:
        """Select the payment that a reversal gives back."""
        return self._first(self._records.filter(pk=record.original_id))

    def claim_queued(
        self,
        now: datetime,
        next_check_at: datetime,
        limit: int,
        outbox: Callable[[str], Sequence[core.OutboxEntry]],
        *,
        reference: str | None = None,
    ) -> dict[Any, Sequence[core.OutboxEntry]]:
        """Update what is queued, in one transaction where the database skips locked rows."""
        queued = self._mine.filter(state=State.QUEUED, send_before__gt=stored(now))
        if reference is not None:
            queued = queued.filter(third_party_reference=reference)
        oldest = queued.order_by("created_at", "pk").values_list("pk", "operation")
        claimed: dict[Any, Sequence[core.OutboxEntry]] = {}

        def initiate(rows: Sequence[tuple[Any, str]]) -> None:
            keys = [key for key, _ in rows]
            meant = queued.filter(pk__in=keys)
            values = {"next_check_at": stored(next_check_at), "updated_at": timezone.now()}
            if not keys or not meant.update(state=State.INITIATED, **values):
                return
            for key, operation in rows:
                claimed[key] = outbox(operation)
                self._add_to_outbox(claimed[key], key)

        if self._skips_locked:
            with self._atomic():
                initiate(list(oldest.select_for_update(skip_locked=True)[:limit]))
        else:
            for row in list(oldest[:limit]):
                with self._atomic():
                    initiate([row])
        return claimed

    def claimed_queued(self, next_check_at: datetime) -> Sequence[Any]:
        """Select them by that time."""
        with self._reading():
            claimed = self._mine.filter(
                next_check_at=stored(next_check_at),
                state=State.INITIATED,
                send_before__isnull=False,
            )
            return list(claimed.order_by("created_at", "pk").values_list("pk", flat=True))

    def read_claimed(self, keys: Sequence[Any]) -> list[AbstractTransaction]:
        """Read them at once, and one by one where that fails."""
        return self._readable(self._records, keys)

    def claim_due(
        self, now: datetime, until: datetime, limit: int, *, state: State | None = None
    ) -> list[AbstractTransaction]:
        """Claim the payments whose next check is due."""
        due = self._mine.filter(next_check_at__lte=stored(now)).order_by("next_check_at")
        if state is not None:
            due = due.filter(state=state)
        return self._claim(due, "next_check_at", stored(until), limit)

    def to_be_checked(self) -> tuple[int, datetime | None]:
        """Count them."""
        with self._reading():
            found = self._mine.filter(
                state__in=AWAITED_STATES, next_check_at__isnull=False
            ).aggregate(count=Count("pk"), first=Min("next_check_at"))
        return found["count"], found["first"] and aware(found["first"])

    def make_due(self, now: datetime) -> None:
        """Put their next checks forward."""
        with self._together(False, bounded=True):
            self._mine.filter(state__in=MAY_BE_CHECKED_EARLY, next_check_at__gt=stored(now)).update(
                next_check_at=stored(now)
            )

    def release(self, records: Sequence[AbstractTransaction], until: datetime) -> None:
        """Make due again those that are still deferred until then."""
        keys = [record.pk for record in records]
        with self._together(False, bounded=True):
            self._records.filter(pk__in=keys, next_check_at=stored(until)).update(
                next_check_at=timezone.now()
            )

    @cached_property
    def _by_reference(self) -> str:
        """Compiled once: each callback asks it, and compiling takes a quarter of its time."""
        found = self._records.filter(account="a").filter(third_party_reference="r").order_by()
        compiled: tuple[str, Sequence[Any]] = found.query.get_compiler(self.alias).as_sql()
        return compiled[0]

    @cached_property
    def _mine(self) -> QuerySet[AbstractTransaction]:
        mine: QuerySet[AbstractTransaction] = self._records.filter(account=self._account)
        return mine

    def _first(self, found: QuerySet[AbstractTransaction]) -> AbstractTransaction | None:
        with self._reading():
            first: AbstractTransaction | None = found.first()
        return first

    def _refers(self, record: AbstractTransaction) -> bool:
        """Whether a record may refer to a row that another transaction has locked."""
        return record.original_id is not None or self._has_keys

    @cached_property
    def _has_keys(self) -> bool:
        """Whether there are the shop's own foreign keys; nobody locks a content type."""
        own = protection.shop_fields(self._model).values()
        return any(field.is_relation and field.name != "content_type" for field in own)

    def _lock(self, original_id: int | None) -> None:
        """Lock a reversal's original, by a write that changes nothing, which SQLite knows, too."""
        if original_id is not None:
            self._records.filter(pk=original_id).update(state=F("state"))

    def _count_pending(self, original_id: int | None) -> None:
        """Write how much of a payment is being given back, unless that is too much."""
        if original_id is None:
            return
        of_original = self._records.filter(pk=original_id)
        under_way = self._under_way(original_id)
        refuse_too_much(of_original.get(), under_way, self._contradicted(original_id))
        # In Python, not by SQL's arithmetic, which is inexact on SQLite.
        of_original.update(reversal_pending=sum(under_way))

    def _under_way(self, original_id: Any) -> list[Decimal]:
        # As a Q: the type checker's plugin cannot look up a key to a model that is abstract.
        open_ = self._records.filter(Q(original_id=original_id), state__in=OPEN_STATES)
        return [reversal.amount for reversal in open_]

    def _contradicted(self, original_id: Any) -> list[Decimal]:
        of_original = self._records.filter(Q(original_id=original_id), state__in=UNPAID_STATES)
        undecided = of_original.filter(conflict_decided_at=None).exclude(conflict="")
        return [reversal.amount for reversal in undecided]

    def _settle(
        self, reversal: AbstractTransaction, *, completes: bool
    ) -> AbstractTransaction | None:
        """Write into the original what became of a reversal; its row is locked meanwhile.

        Returns:
            The original, if the amount is added to what was given back.
        """
        of_original = self._records.filter(pk=reversal.original_id)
        original = of_original.first()
        if original is None:
            return None
        under_way = self._under_way(original.pk)
        values, booked = after_settling(original, reversal.amount, under_way, completes=completes)
        if not booked:  # nothing became of the payment itself
            of_original.update(**values)
            return None
        of_original.update(**values, updated_at=timezone.now())
        return self.get(original)
