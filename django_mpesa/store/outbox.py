"""The outbox: the events that are to be dispatched, a row each until they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import connections
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone

from mpesa_integrations.core.payments import records as core
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE

from ..isolation import run_on_its_own
from ..models import AbstractTransaction, OutboxEntry
from ..times import aware, stored, stored_values
from .database import AccountDatabase


class OutboxTable(AccountDatabase):
    """One account's outbox."""

    def claim_outbox(
        self, now: datetime, until: datetime, limit: int
    ) -> list[core.DueOutboxEntry[Any]]:
        """Claim the entries that are due, and give them with their records."""
        due = self._outbox.filter(account=self._account, due_at__lte=stored(now), given_up_at=None)
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
                handler=entry.handler,
            )
            for entry in claimed
            # A handler's try reads its payment itself, and counts where it cannot be read.
            if entry.handler or entry.transaction_id in records or entry.transaction_id in gone
        ]

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when entries are due."""
        with self._together(False):
            self._outbox.filter(pk__in=ids).update(due_at=stored(until))

    def release_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update those that are due then still."""
        with self._together(False):
            self._outbox.filter(pk__in=ids, due_at=stored(until)).update(
                due_at=timezone.now(), attempts=F("attempts") - 1
            )

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Update when entries are due, on a connection that does not stay open."""
        run_on_its_own(self.alias, lambda: self.defer_outbox(ids, until))

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Delete entries."""
        with self._together(False):
            self._outbox.filter(pk__in=dispatched).delete()

    def change_outbox_entry(self, entry_id: str, values: Mapping[str, Any]) -> None:
        """Update an entry; while its handler runs, it is locked."""
        with self._together(False, bounded=True):
            self._outbox.filter(pk=entry_id).update(**stored_values(values))

    def run_handler(
        self,
        entry_id: str,
        run: Callable[[AbstractTransaction | None, Sequence[core.UnfinishedHandler]], bool],
    ) -> bool:
        """Lock the entry, call, and delete it last: should the handler commit, it is there yet."""
        with self._atomic():
            entry = self._locked(entry_id)
            if entry is None:
                return False
            left = self._unfinished(Q(transaction_id=entry.transaction_id))
            # After that, so that it has what handlers that are not left have written to it.
            record = self._records.filter(pk=entry.transaction_id).first()
            if run(record, left):
                self._outbox.filter(pk=entry_id).delete()
        return True

    def unfinished_handlers(
        self, *, limit: int, payment_key: Any = None, entry_id: str | None = None
    ) -> list[core.UnfinishedHandler]:
        """Select the handlers' entries with their payments' references."""
        which = Q() if payment_key is None else Q(transaction_id=payment_key)
        which &= Q() if entry_id is None else Q(pk=entry_id)
        with self._reading():
            return self._unfinished(which, limit)

    @cached_property
    def _outbox(self) -> QuerySet[OutboxEntry]:
        found: QuerySet[OutboxEntry] = OutboxEntry._base_manager.using(self.alias)
        return found

    def _add_to_outbox(self, outbox: Sequence[core.OutboxEntry], payment_key: Any) -> None:
        """Insert entries; a worker dispatches them only where this process has not by `due_at`."""
        of_payment = self._outbox.filter(transaction_id=payment_key)

        def greatest() -> int | None:
            found: int | None = of_payment.aggregate(found=Max("sequence"))["found"]
            return found

        for entry, sequence in core.in_sequence(outbox, greatest):
            self._outbox.create(
                id=entry.id,
                account=self._account,
                event=entry.event,
                transaction_id=payment_key,
                handler=entry.handler,
                sequence=sequence,
                due_at=timezone.now() + DISPATCH_GRACE,
            )

    def _locked(self, entry_id: str) -> OutboxEntry | None:
        """Lock a handler's entry for this transaction; None where it is gone or locked."""
        meant = self._outbox.filter(pk=entry_id)
        if connections[self.alias].features.has_select_for_update_skip_locked:
            meant = meant.select_for_update(skip_locked=True)
        # A write that changes nothing locks it in SQLite, too, and waits for who has it.
        elif not meant.update(due_at=F("due_at")):
            return None
        found: OutboxEntry | None = meant.first()
        return found

    def _unfinished(self, which: Q, limit: int | None = None) -> list[core.UnfinishedHandler]:
        found = self._outbox.filter(which, account=self._account).exclude(handler="")
        # Those with a time first: databases do not agree where they have NULL.
        found = found.order_by(F("given_up_at").asc(nulls_last=True), "due_at", "sequence")
        rows = found.values_list(
            "pk", "transaction__third_party_reference", "event", "handler", "sequence", "attempts",
            "problem", "due_at", "given_up_at", named=True,
        )  # fmt: skip
        return [
            core.UnfinishedHandler(
                event_id=row.pk,
                reference=row.transaction__third_party_reference,
                event=row.event,
                handler=row.handler,
                sequence=row.sequence,
                attempts=row.attempts,
                problem=row.problem,
                next_try_at=aware(row.due_at),
                given_up_at=row.given_up_at and aware(row.given_up_at),
            )
            for row in rows[:limit]
        ]

    def _gone(self, keys: Sequence[Any]) -> set[Any]:
        """Which payments are not there any more."""
        if not keys:
            return set()
        return set(keys) - set(self._records.filter(pk__in=keys).values_list("pk", flat=True))
