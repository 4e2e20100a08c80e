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

from .memory_callbacks import forget_oldest

_COLUMNS = {"due_at": "next_try_at"}


@dataclass(frozen=True)
class _Kept(Generic[R]):
    entry: UnfinishedHandler
    record: R


class MemoryOutbox(Generic[R]):
    """One account's handlers that are still to be run; a part of core's store protocol.

    There are no signals among them: these are sent at once or not at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self._outbox_lock = threading.RLock()
        self._handlers: OrderedDict[str, _Kept[R]] = OrderedDict()
        self._running: set[str] = set()

    def get(self, record: R) -> R:
        """Read a payment anew."""
        raise NotImplementedError

    def claim_outbox(self, now: datetime, until: datetime, limit: int) -> list[DueOutboxEntry[R]]:
        """Put off those that are due, and give them."""
        with self._outbox_lock:
            due = [
                kept
                for key, kept in self._handlers.items()
                if key not in self._running
                and kept.entry.given_up_at is None
                and kept.entry.next_try_at <= now
            ][:limit]
            for kept in due:
                values = {"due_at": until, "attempts": kept.entry.attempts + 1}
                self.change_outbox_entry(kept.entry.event_id, values)
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

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Have them tried at another time."""
        with self._outbox_lock:
            for key in ids:
                self.change_outbox_entry(key, {"due_at": until})

    def release_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Have those tried now that nobody was handed since."""
        with self._outbox_lock:
            for key in ids:
                kept = self._handlers.get(key)
                if kept is not None and kept.entry.next_try_at == until:
                    attempts = kept.entry.attempts - 1
                    now = datetime.now(timezone.utc)
                    self.change_outbox_entry(key, {"due_at": now, "attempts": attempts})

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Only signals' entries are held, of which none is kept."""

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """Only signals' entries are settled so, of which none is kept."""

    def change_outbox_entry(self, entry_id: str, values: Mapping[str, Any]) -> None:
        """Note what is known of a handler's tries, if it is kept still."""
        with self._outbox_lock:
            kept = self._handlers.get(entry_id)
            if kept is not None:
                named = {_COLUMNS.get(name, name): value for name, value in values.items()}
                self._handlers[entry_id] = replace(kept, entry=replace(kept.entry, **named))

    def run_handler(
        self, entry_id: str, run: Callable[[R | None, Sequence[UnfinishedHandler]], bool]
    ) -> bool:
        """Run a handler, and drop it; there are no transactions."""
        with self._outbox_lock:
            kept = self._handlers.get(entry_id)
            if kept is None or entry_id in self._running:
                return False
            self._running.add(entry_id)
        try:
            left = self._unfinished(kept.record.pk)
            if run(self.get(kept.record), left):
                with self._outbox_lock:
                    self._handlers.pop(entry_id, None)
        finally:
            with self._outbox_lock:
                self._running.discard(entry_id)
        return True

    def unfinished_handlers(
        self, *, limit: int, payment_key: Any = None, entry_id: str | None = None
    ) -> list[UnfinishedHandler]:
        """Give those that are still to be run, those given up first."""
        return self._unfinished(payment_key, entry_id)[:limit]

    def _unfinished(
        self, payment_key: Any = None, entry_id: str | None = None
    ) -> list[UnfinishedHandler]:
        with self._outbox_lock:
            found = [
                kept.entry
                for kept in self._handlers.values()
                if (payment_key is None or kept.record.pk == payment_key)
                and (entry_id is None or kept.entry.event_id == entry_id)
            ]
        return sorted(found, key=lambda entry: (entry.given_up_at is None, entry.next_try_at))

    def _add_to_outbox(self, outbox: Sequence[OutboxEntry], record: R) -> None:
        """Keep what is to be done of a payment's events."""
        with self._outbox_lock:
            places = [entry.sequence for entry in self._unfinished(record.pk)]
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
                    self._handlers[entry.id] = _Kept(made, record)
            forget_oldest(self._handlers)
