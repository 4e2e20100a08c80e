"""Reconciliation, by any number of workers: open payments are checked, and what was left is done.

What was left is outbox entries that their process did not dispatch, or whose handler failed, and
callbacks that nobody decided. Records are touched in the calling thread only, in steps that are
each committed; the gateway is asked by a few others, and while it is waited for no connection to
the database is held.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Generic

from ..client.blocking import MpesaClient
from ..errors import MpesaError, RecordsUnavailable
from ..failures import log_failure
from ..protocol.results import TransactionStatusResult
from ..redaction import forgetful_calls
from .callback_intake import CallbackIntake
from .checks import Checks
from .idle import wait_disconnected
from .lifecycle import State
from .limits import check_counts
from .outbox import Outbox
from .persistence import persist, raise_if_database_is_away
from .queued import Queue
from .rate_limits import RateLimit
from .records import C, R
from .schedule import DISPATCH_GRACE, time_left, utc_now
from .store import Store

logger: logging.Logger = logging.getLogger("mpesa_integrations")

LEASE = timedelta(minutes=10)
"""How long a worker may ask for the payments that it was handed. Once the last answer must have
come, what is left is handed to another."""
_LEASE_AT_A_RATE = timedelta(minutes=1)
"""The same for a batch whose questions wait for their turn, and keep events waiting meanwhile."""
_Asked = Future[TransactionStatusResult]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a run looked at.

    Attributes:
        asked: payments that the gateway was asked for.
        dispatched: events that were dispatched, their process having died before, and handlers
            that were due to be tried again.
        callbacks: stored callbacks that were looked at.
        failed: how many of all these failed, for a reason of our own; each is in the log, and is
            tried again later.
        expired: queued payments that no worker had sent in time, and that now failed.
    """

    asked: int = 0
    dispatched: int = 0
    callbacks: int = 0
    failed: int = 0
    expired: int = 0

    def __add__(self, other: Reconciled) -> Reconciled:
        return Reconciled(
            self.asked + other.asked,
            self.dispatched + other.dispatched,
            self.callbacks + other.callbacks,
            self.failed + other.failed,
            self.expired + other.expired,
        )

    def __bool__(self) -> bool:
        return bool(self.asked or self.dispatched or self.callbacks or self.expired)

    def may_be_more(self, batch: int) -> bool:
        """Whether a batch may have been full, so that more may be due.

        Args:
            batch: how many of each were looked at at the most.
        """
        payments = self.asked + self.expired + self.failed  # of what failed, some was not asked for
        return max(payments, self.dispatched, self.callbacks) >= batch


@forgetful_calls
class Reconciler(Generic[R, C]):
    """Reconciles one account's payments.

    Args:
        store: hands out what is due.
        client: whose settings say how long an answer may take.
        checks: finds out from the gateway what became of a payment.
        queue: has what was not sent in time.
        outbox: dispatches events.
        callbacks: decides callbacks.
        batch: records in memory at a time.
        workers: status queries at a time.
        rate: how many calls may begin, the account's other ones, too.
        stop: when set, what is under way is ended and the rest is left to others.
        now: whether a run also asks for payments that are not due yet.

    Raises:
        ValidationError: `batch` or `workers` is 0, negative or no number.
    """

    def __init__(
        self,
        *,
        store: Store[R, C],
        client: MpesaClient,
        checks: Checks[R, C],
        queue: Queue[R, C],
        outbox: Outbox[R, C],
        callbacks: CallbackIntake[R, C],
        batch: int,
        workers: int,
        rate: RateLimit,
        stop: threading.Event | None,
        now: bool,
    ) -> None:
        check_counts(batch=batch, workers=workers)
        self._store = store
        self._client = client
        self._checks = checks
        self._queue = queue
        self._outbox = outbox
        self._callbacks = callbacks
        self._batch = batch
        self._workers = workers
        self._rate = rate
        self._stop = stop or threading.Event()
        self._now = now

    def run(self, progress: Callable[[Reconciled], None] | None = None) -> Reconciled:
        """Look at all that is due now. What one row does, keeps no other from being looked at.

        Args:
            progress: called with what was done so far, after each batch.
        """
        total = Reconciled()
        # What is deferred is not due again in this run, however long that takes.
        started = utc_now()
        if self._now:
            persist(self._store, lambda: self._store.make_due(started))
        with self._pool() as pool:
            while not self._stop.is_set():
                done = self._run_batch(pool, started, LEASE)
                total += done
                if progress is not None and done:
                    progress(total)
                if not done.may_be_more(self._batch):
                    break
        return total

    def run_batch(self) -> Reconciled:
        """Look at one batch of each; as many as `batch` of one of them means that more is due."""
        lease = _LEASE_AT_A_RATE if self._rate.is_limited else LEASE
        with self._pool() as pool:
            return self._run_batch(pool, utc_now(), lease)

    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix="mpesa-reconcile")

    def _run_batch(self, pool: ThreadPoolExecutor, now: datetime, lease: timedelta) -> Reconciled:
        done = self._dispatch(now) + self._decide(now)
        left, until = time_left(lease), utc_now() + lease + self._client.longest_attempt
        claimed = persist(self._store, lambda: self._store.claim_due(now, until, self._batch))
        queued = [record for record in claimed if State(record.state) is State.QUEUED]
        sent = deque(record for record in claimed if State(record.state) is not State.QUEUED)
        for record in queued:
            done += self._look_at_queued(record)
        for record, answer in self._ask(pool, sent, until, left):
            done += Reconciled(asked=1, failed=int(not self._apply(record, answer)))
        return done

    def _decide(self, now: datetime) -> Reconciled:
        looked_at, failed = self._callbacks.apply_claimed(
            now, self._batch, older_than=DISPATCH_GRACE, stopped=self._stop.is_set
        )
        return Reconciled(callbacks=looked_at, failed=failed)

    def _dispatch(self, now: datetime) -> Reconciled:
        left, until = time_left(DISPATCH_GRACE / 2), utc_now() + DISPATCH_GRACE
        claimed = persist(self._store, lambda: self._store.claim_outbox(now, until, self._batch))
        done = Reconciled()
        for due in claimed:
            if self._stop.is_set() or left() <= 0:
                break  # a receiver took so long that others may be handed the rest
            dispatched = self._outbox.dispatch_late(due)
            done += Reconciled(dispatched=1, failed=int(not dispatched))
        if done.dispatched < len(claimed):
            rest = [due.id for due in claimed[done.dispatched :]]
            persist(self._store, lambda: self._store.release_outbox(rest, until))
        return done

    def _look_at_queued(self, record: R) -> Reconciled:
        """Fail a payment that was not sent in time; there is nothing to ask the gateway."""
        try:
            return Reconciled(
                expired=int(persist(self._store, lambda: self._queue.look_at(record)))
            )
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            reference = record.third_party_reference
            log_failure("reconcile.not_expired", error, third_party_reference=reference)
            raise_if_database_is_away(self._store, error)
            return Reconciled(failed=1)

    def _apply(self, record: R, answer: _Asked) -> bool:
        """Move a payment on by what the gateway answered; False where that failed."""
        problem = answer.exception()
        if problem is not None and not isinstance(problem, Exception):
            raise problem
        try:
            persist(self._store, partial(self._apply_or_defer, record, answer, problem))
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            reference = record.third_party_reference
            log_failure("reconcile.not_learnt", error, third_party_reference=reference)
            raise_if_database_is_away(self._store, error)
            self._defer(record)
            return False
        return True

    def _apply_or_defer(self, record: R, answer: _Asked, problem: Exception | None) -> None:
        if problem is None:
            self._checks.apply_status(record, answer.result())
        else:
            self._checks.defer(record, problem)

    def _defer(self, record: R) -> None:
        """Note that a payment was asked for in vain; else it is due again when its lease ends."""
        try:
            error = MpesaError("The answer could not be taken in")
            persist(self._store, lambda: self._checks.defer(self._store.get(record), error))
        except Exception as problem:  # noqa: BLE001 - whatever a row does, the others go on
            reference = record.third_party_reference
            log_failure("reconcile.not_put_off", problem, third_party_reference=reference)

    def _ask(
        self,
        pool: ThreadPoolExecutor,
        waiting: deque[R],
        until: datetime,
        left: Callable[[], float],
    ) -> Iterator[tuple[R, _Asked]]:
        """Give each claimed record with its answer, as they come.

        Args:
            pool: asks.
            waiting: the records.
            until: when their lease ends, by which they are released.
            left: seconds that are left of it to begin a question.
        """
        flying: dict[_Asked, R] = {}
        try:
            while waiting or flying:
                pause = None
                while waiting and len(flying) < self._workers and self._may_ask(left):
                    if pause := self._rate.ask():
                        pause = min(pause, max(0.0, left()))
                        break
                    asked = pool.submit(self._checks.query_status, waiting[0])
                    flying[asked] = waiting.popleft()
                if not flying and pause is None:
                    break
                wait_for_one = partial(self._wait, flying)
                for answer in wait_disconnected(wait_for_one, pause, self._store.disconnect):
                    yield flying.pop(answer), answer
        finally:
            self._release([*waiting, *flying.values()], until)

    def _wait(self, flying: Collection[_Asked], seconds: float | None) -> Collection[_Asked]:
        """Wait for an answer, or where nothing is asked, for so many seconds."""
        if not flying:
            self._stop.wait(seconds)
            return ()
        return wait(flying, timeout=seconds, return_when=FIRST_COMPLETED).done

    def _release(self, records: Sequence[R], until: datetime) -> None:
        if not records:
            return
        try:
            persist(self._store, lambda: self._store.release(records, until))
        except RecordsUnavailable as error:  # another is handed them when the lease ends
            logger.warning("reconcile.not_released payments=%s problem=%s", len(records), error)

    def _may_ask(self, left: Callable[[], float]) -> bool:
        """Not once stopped, nor where the lease may end before the answer."""
        return not self._stop.is_set() and left() > 0
