"""Core's store: payments, recorded before they are sent, each transition one conditional UPDATE.

The outbox and the callbacks are in modules of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import IntegrityError
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from mpesa_integrations.core.payments import records as core
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES, State
from mpesa_integrations.core.payments.ownership import merged
from mpesa_integrations.core.payments.refusals import (
    find_existing,
    refuse_claimed,
    refuse_missing_row,
)
from mpesa_integrations.core.payments.reversals import after_reversal, refuse_too_much

from .. import protection
from ..isolation import is_on_its_own
from ..models import AbstractTransaction
from ..shop_columns import make_record, shop_columns
from ..times import stored
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
                self._add_to_outbox(outbox, record)
                self._refuse_too_much(record.original_id)
        except IntegrityError as error:
            found = find_existing(self, values)
            if found is None:
                if is_on_its_own():
                    refuse_missing_row(error)
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
                self._add_to_outbox(change.outbox, record)
                if change.callback:
                    self.store_callback({**change.callback, "transaction_id": record.pk})
                if change.reverses:
                    original = self._add_reversed(record)
                if original is not None:
                    self._add_to_outbox(change.original_outbox, original)
        except IntegrityError:
            refuse_claimed(self, change)
            raise
        return protection.with_values(record, values), original

    def note_conflict(
        self, record: AbstractTransaction, text: str, outbox: Sequence[core.OutboxEntry]
    ) -> AbstractTransaction | None:
        """Update where another conflict, or none, was noted before."""
        with self._atomic():
            changed = (
                self._records.filter(pk=record.pk)
                .exclude(conflict=text)
                .update(conflict=text, updated_at=timezone.now())
            )
            if not changed:
                return None
            self._add_to_outbox(outbox, record)
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
        """Claim the payments whose next check is due."""
        due = self._mine.filter(next_check_at__lte=stored(now)).order_by("next_check_at")
        return self._claim(due, "next_check_at", stored(until), limit)

    def release(self, records: Sequence[AbstractTransaction], until: datetime) -> None:
        """Make due again those that are still deferred until then."""
        keys = [record.pk for record in records]
        with self._together(False):
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


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: stored(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
