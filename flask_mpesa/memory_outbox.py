"""The outbox of an app without a database: its durable handlers, in the memory of this process.

They are tried again as any; those of a process that ends are lost with it, as its payments are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Generic

from mpesa_integrations.core.payments.records import (
    DueOutboxEntry,
    OutboxEntry,
    R,
    UnfinishedHandler,
    in_sequence,
)
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE

_KEPT = 10_000
_COLUMNS = {"due_at": "next_try_at"}


@dataclass(frozen=True)
class _Kept(Generic[R]):
    entry: UnfinishedHandler
    record: R


class MemoryOutbox(Generic[R]):
    """One account's handlers that are still to be run.

    Args:
        get: reads a payment anew.
    """

    def __init__(self, get: Callable[[R], R]) -> None:
        self._get = get
        self._lock = threading.RLock()
        self._kept: OrderedDict[str, _Kept[R]] = OrderedDict()
        self._running: set[str] = set()

    def add(self, outbox: Sequence[OutboxEntry], record: R) -> None:
        """Keep what is to be done of a payment's events; signals are sent at once or not at all."""
        with self._lock:
            places = [kept.sequence for kept in self.unfinished(payment_key=record.pk)]
            for entry, sequence in in_sequence(outbox, lambda: max(places, default=0)):
                if entry.handler:
                    made = UnfinishedHandler(
                        event_id=entry.id,
                        reference=record.third_party_reference,
                        event=entry.event.value,
                        handler=entry.handler,
                        sequence=sequence,
                        attempts=0,
                        problem="",
                        next_try_at=datetime.now(timezone.utc) + DISPATCH_GRACE,
                        given_up_at=None,
                    )
                    self._kept[entry.id] = _Kept(made, record)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def claim(self, now: datetime, until: datetime, limit: int) -> list[DueOutboxEntry[R]]:
        """Put off those that are due, and give them."""
        with self._lock:
            due = [
                kept
                for key, kept in self._kept.items()
                if key not in self._running
                and kept.entry.given_up_at is None
                and kept.entry.next_try_at <= now
            ][:limit]
            for kept in due:
                self.change(
                    kept.entry.event_id, {"due_at": until, "attempts": kept.entry.attempts + 1}
                )
        return [
            DueOutboxEntry(
                id=kept.entry.event_id,
                event=kept.entry.event,
                attempts=kept.entry.attempts + 1,
                record=kept.record,
                handler=kept.entry.handler,
            )
            for kept in due
        ]

    def defer(self, ids: Sequence[str], until: datetime, *, untried: bool) -> None:
        """Have them tried at another time."""
        with self._lock:
            for key in ids:
                kept = self._kept.get(key)
                if kept is not None:
                    attempts = kept.entry.attempts - int(untried)
                    self.change(key, {"due_at": until, "attempts": attempts})

    def change(self, key: str, values: Mapping[str, Any]) -> None:
        """Note what is known of a handler's tries, if it is kept still."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                named = {_COLUMNS.get(name, name): value for name, value in values.items()}
                self._kept[key] = replace(kept, entry=replace(kept.entry, **named))

    def run(self, key: str, run: Callable[[R | None, Sequence[UnfinishedHandler]], bool]) -> bool:
        """Run a handler, and drop it; see `Store.run_handler`."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or key in self._running:
                return False
            self._running.add(key)
        try:
            left = self.unfinished(payment_key=kept.record.pk)
            if run(self._get(kept.record), left):
                with self._lock:
                    self._kept.pop(key, None)
        finally:
            with self._lock:
                self._running.discard(key)
        return True

    def unfinished(
        self, *, limit: int | None = None, payment_key: Any = None, entry_id: str | None = None
    ) -> list[UnfinishedHandler]:
        """Give those that are still to be run, those given up first."""
        with self._lock:
            found = [
                kept.entry
                for kept in self._kept.values()
                if (payment_key is None or kept.record.pk == payment_key)
                and (entry_id is None or kept.entry.event_id == entry_id)
            ]
        found.sort(key=lambda entry: (entry.given_up_at is None, entry.next_try_at))
        return found[:limit]
