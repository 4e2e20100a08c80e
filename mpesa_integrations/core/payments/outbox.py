"""The outbox: events whose signals are sent after the commit, at once or, where that failed, late.

An entry is written in the transaction of the change that it is about, dispatched once that is
committed, and settled. What a process that died has left, a worker dispatches. How others are kept
from an entry meanwhile is in `leases`, how receivers are called is the notifier's. Durable handlers
have entries of their own, which `handler_runs` does all with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Generic

from ..failures import log_failure
from .events import Event, event_in_row
from .handler_runs import HandlerRuns
from .leases import Lease, hold
from .notifier import Notifier
from .persistence import persist, raise_if_database_is_away
from .records import C, DueOutboxEntry, OutboxEntry, R
from .schedule import DISPATCH_GRACE, MOST_ATTEMPTS, backoff, utc_now
from .store import Store

logger: logging.Logger = logging.getLogger("mpesa_integrations")


class Outbox(Generic[R, C]):
    """One account's events that are to be dispatched.

    Args:
        store: where the entries are.
        notifier: calls the receivers.
        runs: runs the durable handlers.
    """

    def __init__(
        self, store: Store[R, C], notifier: Notifier[R, C], runs: HandlerRuns[R, C]
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._runs = runs

    def entries_for(self, *events: Event) -> tuple[OutboxEntry, ...]:
        """The entries to write with a change: of each event its signal's and its handlers'.

        There is none for a signal that has no receiver.
        """
        found: list[OutboxEntry] = []
        for event in events:
            found += [OutboxEntry(event)] if self._notifier.wants(event) else []
            found += self._runs.entries_for(event)
        return tuple(found)

    def dispatch(self, *committed: tuple[Sequence[OutboxEntry], R]) -> None:
        """Dispatch what has just been committed; raises nothing.

        Args:
            committed: entries, and the record that they are about.
        """
        due = [(entry, record) for entries, record in committed for entry in entries]
        # All of them at once: the receivers of the first may take longer than a lease lasts. A
        # handler needs none, since its row is locked while it runs.
        signals = [entry.id for entry, _ in due if not entry.handler]
        leases = hold(self._store, signals, DISPATCH_GRACE)
        for entry, record in due:
            if entry.handler:
                self._runs.first_try(entry, record)
            else:
                self._notify(entry, record, leases.pop(0))

    def dispatch_late(self, due: DueOutboxEntry[R]) -> bool:
        """Dispatch an event whose own process did not; False where that failed.

        Whatever is wrong with it is logged and stops nothing: it is handed out again, later each
        time.

        Raises:
            RecordsUnavailable: the database is away, for all events.
        """
        try:
            dispatched = self._runs.try_again(due) if due.handler else self._try_late(due)
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            log_failure("signal.not_sent", error, event=due.event, event_id=due.id)
            raise_if_database_is_away(self._store, error)
            dispatched = False
        if not (dispatched or due.handler) and due.attempts >= MOST_ATTEMPTS:
            logger.error(
                "signal.never_sent event=%s event_id=%s attempts=%d: it needs a person",
                due.event,
                due.id,
                due.attempts,
            )
        return dispatched

    def _try_late(self, due: DueOutboxEntry[R]) -> bool:
        if due.attempts > 1:
            # Before it is tried: last time, a receiver may have ended the process.
            later = utc_now() + backoff(due.attempts)
            persist(self._store, lambda: self._store.defer_outbox([due.id], later))
        record = due.record
        if record is None:
            logger.warning("signal.payment_gone event=%s event_id=%s", due.event, due.id)
            persist(self._store, lambda: self._store.settle_outbox([due.id]))
            return True
        entry = OutboxEntry(event_in_row(due.event, record.operation), due.id)
        (lease,) = hold(self._store, [due.id], DISPATCH_GRACE)
        # Other receivers may have written to it since it was handed out.
        return self._notify(entry, persist(self._store, partial(self._store.get, record)), lease)

    def _notify(self, entry: OutboxEntry, record: R, lease: Lease) -> bool:
        """Have receivers called, and note that they were; it raises nothing."""

        def dispatched() -> None:
            lease.end()
            self._settle(entry)

        try:
            self._notifier.notify(entry, record, dispatched)
        except Exception as error:  # noqa: BLE001 - a payment is not undone by its receivers
            lease.end()
            log_failure("signal.not_sent", error, event=entry.event, event_id=entry.id)
            return False
        return True

    def _settle(self, entry: OutboxEntry) -> None:
        try:
            self._store.isolated(lambda: self._store.settle_outbox([entry.id]))
        except Exception as error:  # noqa: BLE001 - it was dispatched, and may be once more
            log_failure("signal.not_settled", error, event=entry.event, event_id=entry.id)
