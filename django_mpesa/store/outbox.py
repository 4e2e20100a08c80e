"""The outbox: the events that are to be dispatched, a row each until they were."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from mpesa_integrations.core.payments import records as core
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE

from ..isolation import run_on_its_own
from ..models import AbstractTransaction, OutboxEntry
from ..times import stored
from .database import AccountDatabase


class OutboxTable(AccountDatabase):
    """One account's outbox."""

    def claim_outbox(
        self, now: datetime, until: datetime, limit: int
    ) -> list[core.DueOutboxEntry[Any]]:
        """Claim the entries that are due, and give them with their records."""
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
        """Update when entries are due."""
        with self._together(False):
            self._outbox.filter(pk__in=ids).update(due_at=stored(until))

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when entries are due, on a connection that does not stay open."""
        run_on_its_own(self.alias, lambda: self.defer_outbox(ids, until))

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Delete entries."""
        with self._together(False):
            self._outbox.filter(pk__in=dispatched).delete()

    @cached_property
    def _outbox(self) -> QuerySet[OutboxEntry]:
        found: QuerySet[OutboxEntry] = OutboxEntry._base_manager.using(self.alias)
        return found

    def _add_to_outbox(
        self, outbox: Sequence[core.OutboxEntry], record: AbstractTransaction
    ) -> None:
        """Insert entries; a worker dispatches them only where this process has not by `due_at`."""
        for entry in outbox:
            self._outbox.create(
                id=entry.id,
                account=self._account,
                event=entry.event,
                transaction_id=record.pk,
                due_at=timezone.now() + DISPATCH_GRACE,
            )

    def _gone(self, keys: Sequence[Any]) -> set[Any]:
        """Which payments are not there any more."""
        if not keys:
            return set()
        return set(keys) - set(self._records.filter(pk__in=keys).values_list("pk", flat=True))
