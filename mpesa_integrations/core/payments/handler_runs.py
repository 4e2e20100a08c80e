"""Runs durable handlers: each in one transaction, which also settles its row in the outbox.

So what a handler writes to the payments' database is done exactly once. One that raises is undone,
and tried again by a worker; one that does so for too long waits for a person. While it runs, its
row is locked, which keeps others from it; a process that dies leaves the row to a worker.

A payment's events are handled in their order: a handler waits while one of an earlier event of the
same payment is left, whichever that is, but for those that this process does not know.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Any, Generic

from ..errors import RecordsUnavailable
from ..failures import log_failure
from .encodings import Substitution, substituted, write_in_charset
from .events import Event
from .handlers import Handler, Handlers
from .notifier import Notifier
from .persistence import describe, persist
from .records import C, DueOutboxEntry, OutboxEntry, R, UnfinishedHandler
from .schedule import LAST_CHECK, MOST_ATTEMPTS, backoff, utc_now
from .store import Store

logger: logging.Logger = logging.getLogger("mpesa_integrations")

HELD_FOR = timedelta(minutes=1)
"""When one that waits for another is looked at again. That which it waits for runs it sooner; this
is for where the process died in between."""
_OF_A_MISSING_ONE = 5
"""What the tries of one that nobody here knows are counted up to, so that it is neither looked at
too often nor, once it is known, given up too soon."""


class Ran(str, Enum):
    """What came of a handler's try."""

    DONE = "done"
    FAILED = "failed"
    """It raised, and was undone."""
    WAITS = "waits"
    """A handler of an earlier event of the payment is left."""
    MISSING = "missing"
    """No handler of its name is registered in this process."""
    UNDER_WAY = "under way"
    """It goes on by itself, or somebody else is at it, or was."""

    def __str__(self) -> str:
        return self.value


class HandlerRuns(Generic[R, C]):
    """One account's handlers that are still to be run.

    Args:
        store: where the entries are.
        notifier: where handlers may be called.
        handlers: those that this process knows.
    """

    def __init__(self, store: Store[R, C], notifier: Notifier[R, C], handlers: Handlers) -> None:
        self._store = store
        self._notifier = notifier
        self._handlers = handlers

    def entries_for(self, event: Event) -> list[OutboxEntry]:
        """One entry for each handler of an event."""
        return [OutboxEntry(event, handler=found.name) for found in self._handlers.of(event)]

    def first_try(self, entry: OutboxEntry, record: R) -> None:
        """Run a handler whose entry has just been committed; raises nothing."""
        due = DueOutboxEntry(
            id=entry.id,
            event=entry.event.value,
            attempts=1,
            record=record,
            handler=entry.handler,
        )
        try:
            self._run(due)
        except Exception as error:  # noqa: BLE001 - a payment is not undone by its handlers
            log_failure("handler.not_run", error, handler=due.handler, event_id=due.id)

    def try_again(self, due: DueOutboxEntry[R]) -> bool:
        """Run a handler that was not run, or that failed; False where it fails.

        Args:
            due: as a worker was handed it; this try is counted in it.

        Raises:
            RecordsUnavailable: the database is away.
        """
        if due.attempts > MOST_ATTEMPTS:
            # It never came back from them, not even to say so.
            self._give_up(due, "The process ended")
            return False
        if due.attempts > 1:
            # Before it is tried: last time, it may have ended the process.
            self._change(due, due_at=utc_now() + backoff(due.attempts))
        return self._run(due) not in (Ran.FAILED, Ran.MISSING)

    def unfinished(self, limit: int) -> list[UnfinishedHandler]:
        """The handlers that are still to be run, those that wait for a person first."""
        found = persist(self._store, partial(self._store.unfinished_handlers, limit=limit))
        return [replace(each, is_registered=self._is_known(each)) for each in found]

    def run_again(self, entry_id: str) -> Ran | None:
        """Have a handler tried anew, and now; None where there is no such entry."""
        find = partial(self._store.unfinished_handlers, limit=1, entry_id=entry_id)
        for found in persist(self._store, find):
            due: DueOutboxEntry[R] = _due(found)
            self._change(due, attempts=0, given_up_at=None, due_at=utc_now())
            return self._run(due)
        return None

    def _run(self, due: DueOutboxEntry[R]) -> Ran:
        """Run a handler where the framework wants it run, now or after the caller's commit."""
        handler = self._handlers.find(due.event, due.handler)
        if handler is None:
            self._put_off_missing(due)
            return Ran.MISSING
        # Empty where it goes on by itself, as it does once the caller has waited long enough.
        ran: list[Ran] = []
        self._notifier.run(due.handler, lambda: ran.append(self._try(due, handler)))
        return ran[0] if ran else Ran.UNDER_WAY

    def _try(self, due: DueOutboxEntry[R], handler: Handler) -> Ran:
        tried = _Try(due, handler, self._handlers)
        try:
            # Not again where the database is locked: the handler may have been called.
            found = self._store.isolated(lambda: self._store.run_handler(due.id, tried))
        except Exception as error:
            if isinstance(error, RecordsUnavailable) and not tried.called:
                raise
            self._failed(due, tried, error)
            return Ran.FAILED
        if tried.held_for is not None:
            self._change(due, attempts=due.attempts - 1, due_at=utc_now() + tried.held_for)
            return Ran.WAITS
        if tried.payment_key is not None:
            self._run_next(tried.payment_key, tried.sequence)
        return Ran.DONE if found else Ran.UNDER_WAY

    def _failed(self, due: DueOutboxEntry[R], tried: _Try[R], error: Exception) -> None:
        problem = tried.problem or error
        log_failure(
            "handler.failed",
            problem,
            handler=due.handler,
            event=due.event,
            event_id=due.id,
            attempts=due.attempts,
        )
        if due.attempts >= MOST_ATTEMPTS:
            self._give_up(due, describe(problem))
        else:
            values = {"attempts": due.attempts, "problem": describe(problem)[:255]}
            self._change(due, **values, due_at=utc_now() + backoff(due.attempts))

    def _give_up(self, due: DueOutboxEntry[R], problem: str) -> None:
        logger.error(
            "handler.given_up handler=%s event=%s event_id=%s attempts=%d: it needs a person",
            due.handler,
            due.event,
            due.id,
            due.attempts,
        )
        self._change(due, attempts=due.attempts, problem=problem[:255], given_up_at=utc_now())
        if due.record is not None:
            self._notifier.handler_failed(due.handler, due.record, due.id)

    def _put_off_missing(self, due: DueOutboxEntry[R]) -> None:
        logger.warning(
            "handler.missing handler=%s event=%s event_id=%s: no handler of that name is "
            "registered in this process",
            due.handler,
            due.event,
            due.id,
        )
        counted = min(due.attempts, _OF_A_MISSING_ONE)
        self._change(due, attempts=counted, due_at=utc_now() + backoff(counted))

    def _run_next(self, payment_key: Any, sequence: int) -> None:
        """Run those that waited for the last handler of an event; raises nothing."""
        try:
            find = partial(self._store.unfinished_handlers, limit=100, payment_key=payment_key)
            left = [each for each in persist(self._store, find) if self._is_known(each)]
            first = min((each.sequence for each in left), default=sequence)
            waited = [each for each in left if each.sequence == first and not each.attempts]
            for each in waited if first > sequence else ():
                if each.given_up_at is None:
                    self._run(_due(each))
        except Exception as error:  # noqa: BLE001 - a worker runs them
            log_failure("handler.next_not_run", error, payment=payment_key)

    def _is_known(self, entry: UnfinishedHandler) -> bool:
        return self._handlers.find(entry.event, entry.handler) is not None

    def _change(self, due: DueOutboxEntry[R], **values: Any) -> None:
        def write(substitute: Substitution) -> None:
            self._store.change_outbox_entry(due.id, substituted(values, substitute))

        persist(self._store, lambda: write_in_charset(write, values.values()))


class _Try(Generic[R]):
    """One try, as a store runs it in its transaction; afterwards it says what came of it.

    Attributes:
        called: whether the handler was.
        problem: what it raised.
        payment_key: the payment's primary key; None where it is gone.
        sequence: the place of the event among the payment's.
        held_for: when to look again where it has to wait for another; None where it need not.
    """

    def __init__(self, due: DueOutboxEntry[R], handler: Handler, handlers: Handlers) -> None:
        self._due = due
        self._handler = handler
        self._handlers = handlers
        self.called = False
        self.problem: Exception | None = None
        self.payment_key: Any = None
        self.sequence = 0
        self.held_for: timedelta | None = None

    def __call__(self, record: R | None, left: Sequence[UnfinishedHandler]) -> bool:
        """Call the handler; see `Store.run_handler`."""
        if record is None:
            logger.warning("handler.payment_gone event_id=%s", self._due.id)
            return True
        self.payment_key = record.pk
        self.sequence = next(each.sequence for each in left if each.event_id == self._due.id)
        ahead = [each for each in left if each.sequence < self.sequence]
        ahead = [each for each in ahead if self._handlers.find(each.event, each.handler)]
        if ahead:
            for_a_person = any(each.given_up_at for each in ahead)
            self.held_for = LAST_CHECK if for_a_person else HELD_FOR
            return False
        self.called = True
        try:
            self._handlers.call(self._handler, record, self._due.id)
        except Exception as error:
            self.problem = error
            raise
        return True


def _due(entry: UnfinishedHandler) -> DueOutboxEntry[Any]:
    """An entry as it is tried first, or anew."""
    return DueOutboxEntry(
        id=entry.event_id,
        event=entry.event,
        attempts=1,
        record=None,
        handler=entry.handler,
    )
