"""The callbacks that arrived, believed or not, a row each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet

from mpesa_integrations.core.payments import records as core

from ..models import AbstractTransaction, CallbackLog
from ..times import aware, stored
from .database import AccountDatabase


class CallbackTable(AccountDatabase):
    """One account's callbacks."""

    def store_callback(self, values: Mapping[str, Any]) -> CallbackLog:
        """Insert a callback."""
        wakes = values["verdict"] == core.Verdict.RECEIVED and self._can_wake_workers
        with self._together(wakes):
            entry = self._insert_callback(values)
            if wakes:
                self._wake_workers()
        return entry

    def _insert_callback(self, values: Mapping[str, Any]) -> CallbackLog:
        """Insert it as a part of a transaction that is open."""
        return self._callbacks.create(account=self._account, **values)

    def set_verdict(
        self, entry: CallbackLog, verdict: core.Verdict, record: AbstractTransaction | None
    ) -> None:
        """Update a callback's verdict."""
        entry.verdict = verdict.value
        entry.transaction_id = record.pk if record else None
        with self._together(False, bounded=True):  # the payment that it refers to may be locked
            entry.save(using=self.alias, update_fields=("verdict", "transaction"))

    def callbacks(
        self, *, limit: int, verdicts: Collection[core.Verdict], key: Any = None
    ) -> list[core.StoredCallback[CallbackLog]]:
        """Select callbacks by verdict."""
        found = self._callbacks.filter(account=self._account, verdict__in=list(verdicts))
        if key is not None:
            found = found.filter(pk=key)
        with self._reading():
            return [
                core.StoredCallback(
                    key=entry.pk,
                    entry=entry,
                    body=bytes(entry.body),
                    verdict=core.Verdict(entry.verdict),
                    third_party_reference=entry.third_party_reference,
                    received_at=aware(entry.received_at),
                )
                for entry in found.order_by("-pk")[:limit]
            ]

    def waiting_callbacks(self, third_party_reference: str) -> list[tuple[CallbackLog, bytes]]:
        """Select a payment's callbacks that have no final verdict yet."""
        waiting = self._callbacks.filter(
            account=self._account,
            third_party_reference=third_party_reference,
            verdict__in=(core.Verdict.RECEIVED, core.Verdict.EARLY),
        )
        with self._reading():
            return [(entry, bytes(entry.body)) for entry in waiting.order_by("pk")]

    def claim_callbacks(
        self, now: datetime, until: datetime, limit: int, *, older_than: timedelta
    ) -> list[core.DueCallback[CallbackLog]]:
        """Claim the callbacks that have no verdict yet."""
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
    def _callbacks(self) -> QuerySet[CallbackLog]:
        found: QuerySet[CallbackLog] = CallbackLog._base_manager.using(self.alias)
        return found
