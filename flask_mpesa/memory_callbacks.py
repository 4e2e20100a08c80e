"""The callbacks of an app without a database, kept in the memory of this process until decided."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from mpesa_integrations.core.payments.records import DueCallback, StoredCallback, Verdict

KEPT = 10_000
"""How many rows of a kind are kept, the latest."""


def forget_oldest(kept: OrderedDict[Any, Any]) -> None:
    """Drop what is more than is kept."""
    while len(kept) > KEPT:
        kept.popitem(last=False)


@dataclass(frozen=True, kw_only=True)
class ReceivedCallback:
    """A callback that arrived; it is kept while it is not decided."""

    pk: int = 0
    body: bytes = field(repr=False)
    verdict: Verdict
    conversation_id: str
    third_party_reference: str
    remote_address: str | None = None
    received_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    attempts: int = 0
    next_attempt_at: datetime | None = None


class MemoryCallbacks:
    """One account's callbacks; a part of core's store protocol."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks_lock = threading.RLock()
        self._callback_numbers = itertools.count(1)
        self._callbacks: OrderedDict[int, ReceivedCallback] = OrderedDict()

    def store_callback(self, values: Mapping[str, Any]) -> ReceivedCallback:
        """Keep it until it is decided; one that is already, as an unreadable one, is not kept."""
        entry = ReceivedCallback(pk=next(self._callback_numbers), **values)
        if entry.verdict is Verdict.RECEIVED:
            with self._callbacks_lock:
                self._callbacks[entry.pk] = entry
                forget_oldest(self._callbacks)
        return entry

    def get_callback(self, entry: ReceivedCallback) -> ReceivedCallback:
        """It cannot be changed."""
        return entry

    def set_verdict(self, entry: ReceivedCallback, verdict: Verdict, record: Any | None) -> None:
        """Drop it once it is decided."""
        with self._callbacks_lock:
            if verdict in (Verdict.RECEIVED, Verdict.EARLY):
                self._callbacks[entry.pk] = replace(entry, verdict=verdict)
            else:
                self._callbacks.pop(entry.pk, None)

    def callbacks(
        self, *, limit: int, verdicts: Collection[Verdict], key: Any = None
    ) -> list[StoredCallback[ReceivedCallback]]:
        """Give those that are kept, which are not decided."""
        with self._callbacks_lock:
            kept = sorted(self._callbacks.values(), key=lambda entry: -entry.pk)
        found = [entry for entry in kept if entry.verdict in verdicts and key in (None, entry.pk)]
        return [
            StoredCallback(
                key=entry.pk,
                entry=entry,
                body=entry.body,
                verdict=entry.verdict,
                third_party_reference=entry.third_party_reference,
                received_at=entry.received_at,
            )
            for entry in found[:limit]
        ]

    def waiting_callbacks(self, third_party_reference: str) -> list[tuple[ReceivedCallback, bytes]]:
        """Give those that are not decided."""
        with self._callbacks_lock:
            kept = list(self._callbacks.values())
        return [(e, e.body) for e in kept if e.third_party_reference == third_party_reference]

    def claim_callbacks(
        self, now: datetime, until: datetime, limit: int, *, older_than: timedelta
    ) -> list[DueCallback[ReceivedCallback]]:
        """Put off those that nobody has decided, and give them."""
        with self._callbacks_lock:
            due = [
                entry
                for entry in self._callbacks.values()
                if entry.verdict is Verdict.RECEIVED
                and entry.received_at < now - older_than
                and (entry.next_attempt_at is None or entry.next_attempt_at <= now)
            ]
            claimed = [
                replace(entry, next_attempt_at=until, attempts=entry.attempts + 1)
                for entry in due[:limit]
            ]
            self._callbacks.update({entry.pk: entry for entry in claimed})
        return [DueCallback(entry=e, body=e.body, attempts=e.attempts) for e in claimed]

    def defer_callbacks(self, entries: Sequence[ReceivedCallback], until: datetime) -> None:
        """Have them tried again at another time."""
        with self._callbacks_lock:
            for entry in entries:
                kept = self._callbacks.get(entry.pk)
                if kept is not None:
                    self._callbacks[entry.pk] = replace(kept, next_attempt_at=until)
