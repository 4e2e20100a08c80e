"""Sends queued payments, by any number of workers, each of which has many under way at a time.

A payment is claimed, committed, and only then sent, so that no two workers send it. Records are
touched in the calling thread only, in steps that are each committed; while answers are waited for,
no connection to the database is held. What a worker that died had claimed is asked for by
`reconcile`, as any payment whose process died.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Generic

from ..client.in_flight import GivenUp, InFlight
from ..errors import (
    ConfigurationError,
    GatewayUnavailable,
    RecordsUnavailable,
    ValidationError,
)
from ..failures import log_failure
from ..masking import mask_msisdns_in
from ..protocol.http import TooLate
from ..protocol.results import Result
from ..redaction import forgetful_calls
from ..telemetry import note_sent
from .evidence import StatusReport
from .idle import wait_disconnected
from .lifecycle import Evidence, State
from .limits import check_counts
from .outbox import Outbox
from .persistence import describe, persist
from .queue_claims import QueueClaim
from .queued import Queue
from .rate_limits import RateLimit
from .records import C, R
from .schedule import DISPATCH_GRACE, time_left, utc_now
from .sending import Sender
from .store import Store

logger: logging.Logger = logging.getLogger("mpesa_integrations")

_EXPIRE_EVERY = 1.0
"""Seconds between two looks for what was not sent in time."""
_EXPIRED_AT_ONCE = 100
_GIVEN_UP = StatusReport(
    evidence=Evidence.NOTHING, description="The worker ended while the answer was waited for"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What a step did.

    Attributes:
        claimed: queued payments that were taken to be sent.
        written: answers that were written down, failures among them.
        handed_back: payments that were taken, not sent, and queued again.
        given_up: payments whose answer was waited for no longer; `reconcile` asks for them.
        expired: queued payments that were not sent in time, and now failed.
        failed: how many failed for a reason of our own; each is in the log.
        more: whether more may be queued than could be taken now.
    """

    claimed: int = 0
    written: int = 0
    handed_back: int = 0
    given_up: int = 0
    expired: int = 0
    failed: int = 0
    more: bool = False

    def __add__(self, other: Sent) -> Sent:
        return Sent(
            claimed=self.claimed + other.claimed,
            written=self.written + other.written,
            handed_back=self.handed_back + other.handed_back,
            given_up=self.given_up + other.given_up,
            expired=self.expired + other.expired,
            failed=self.failed + other.failed,
            more=self.more or other.more,
        )

    def __bool__(self) -> bool:
        return bool(self.claimed or self.written or self.handed_back or self.expired)


@forgetful_calls
class QueueSender(Generic[R, C]):
    """Sends one account's queued payments, for a worker that does other things between its steps.

        while not stop.is_set():
            sender.run_once()
            sender.wait(1.0)
        sender.finish(timeout=30)

    All of it is called in one thread.

    Args:
        alias: the account's name.
        store: where the records are.
        queue: hands out what is queued.
        sender: makes requests of records, and writes down what came of them.
        outbox: dispatches events.
        calls: sends, and does not wait.
        concurrency: payments under way at a time.
        rate: how many calls may begin, the account's other ones, too.
        stop: when set, nothing is taken any more.
        on_answer: called, in another thread, when there is an answer to be written down.
        reference: the third-party reference of the only payment that is sent; None means all.

    Raises:
        ValidationError: `concurrency` is 0, negative or no number.
    """

    def __init__(
        self,
        *,
        alias: str,
        store: Store[R, C],
        queue: Queue[R, C],
        sender: Sender[R, C],
        outbox: Outbox[R, C],
        calls: InFlight,
        concurrency: int,
        rate: RateLimit,
        stop: threading.Event | None,
        on_answer: Callable[[], object] | None,
        reference: str | None,
    ) -> None:
        check_counts(concurrency=concurrency)
        self._alias = alias
        self._store = store
        self._queue = queue
        self._sender = sender
        self._outbox = outbox
        self._calls = calls
        self._concurrency = concurrency
        self._rate = rate
        self._stop = stop or threading.Event()
        self._claim: QueueClaim[R, C] | None = None
        self._flying: dict[Future[Result], R] = {}
        self._answered = threading.Event()
        self._on_answer = on_answer
        self._reference = reference
        self._is_more = False
        self._is_ending = False
        self._expire_at = 0.0

    @property
    def in_flight(self) -> int:
        """How many payments are under way."""
        return len(self._flying)

    def pause(self, longest: float) -> float:
        """Seconds until `run_once` may find something to take; answers aside.

        Args:
            longest: how long to wait at the most where nothing is known of it.
        """
        if self._is_more and len(self._flying) < self._concurrency:
            return min(longest, self._rate.pause())
        return longest

    def run_once(self) -> Sent:
        """Write down the answers that have come, and take and send what fits; waits for nothing.

        Raises:
            RecordsUnavailable: the database is away; what is under way stays so.
        """
        done = self._write_down() + self._expire() + self._take()
        self._is_more = done.more
        return done

    def wait(self, timeout: float) -> None:
        """Wait until an answer has come, or a next payment may be sent; no longer than a time.

        Args:
            timeout: seconds.
        """
        wait_disconnected(self._answered.wait, self.pause(timeout), self._store.disconnect)

    def take_no_more(self) -> None:
        """Only write down what is under way from now on."""
        self._is_ending, self._is_more = True, False
        self._rate.reserve(0)  # so that no question gives way any more

    def finish(self, timeout: float) -> Sent:
        """Take nothing more, write down what answers still come, and let go of the rest.

        What surely was not sent by then is queued again. Of the others nobody knows what became:
        they are `unknown`, and `reconcile` asks.

        Args:
            timeout: seconds that the answers have.
        """
        self.take_no_more()
        until = time.monotonic() + timeout
        done = self._write_down()
        while self._flying and time.monotonic() < until:
            self.wait(until - time.monotonic())
            done += self._write_down()
        for future in self._flying:
            future.cancel()  # where nothing was sent yet
        self._calls.close()
        done += self._write_down()
        while self._flying:
            _, record = self._flying.popitem()
            done += self._give_up(record)
        return done

    def _write_down(self) -> Sent:
        self._answered.clear()
        done = Sent()
        for future in [future for future in self._flying if future.done()]:
            record = self._flying.pop(future)
            if _is_unsent(future):
                done += self._hand_back(record)
                continue
            if isinstance(future.exception(), GivenUp):
                done += self._give_up(record)
                continue
            self._sender.write_down(record, self._sender.report_of(record, future.result))
            done += Sent(written=1)
        return done

    def _give_up(self, record: R) -> Sent:
        self._sender.write_down(record, _GIVEN_UP)
        return Sent(given_up=1)

    def _expire(self) -> Sent:
        """Fail what nobody has sent in time."""
        if time.monotonic() < self._expire_at:
            return Sent()
        self._expire_at = time.monotonic() + _EXPIRE_EVERY
        now = utc_now()
        claim = partial(
            self._store.claim_due, now, now + DISPATCH_GRACE, _EXPIRED_AT_ONCE, state=State.QUEUED
        )
        done = Sent()
        for record in persist(self._store, claim):
            try:
                expired = persist(self._store, partial(self._queue.look_at, record))
                done += Sent(expired=int(expired))
            except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
                done += self._failed("queue.not_expired", record, error)
        return done

    def _take(self) -> Sent:
        """Claim what there is room for, and have it sent."""
        if self._is_ending or self._stop.is_set():
            return Sent()
        before = len(self._flying)
        room = self._rate.reserve(self._concurrency - before)
        if room <= 0:
            return Sent(more=True)
        try:
            claim = self._claim = self._claim or self._queue.claim(room, self._reference)
            claimed = claim.take()
            self._claim = None
            initiated = [record for record, _ in claimed if State(record.state) is State.INITIATED]
            # Sent first: a receiver of the events may take its time.
            unsent = [step for record in initiated if (step := self._send(record, claim.left))]
        finally:
            self._rate.release(room - (len(self._flying) - before))
        done = Sent(claimed=len(claimed), more=len(claimed) >= room)
        self._outbox.dispatch(*((entries, record) for record, entries in claimed))
        for write_down in unsent:
            done += write_down()
        return done

    def _send(self, record: R, left: Callable[[], float]) -> Callable[[], Sent] | None:
        """Have a claimed payment sent; where it is not, give what is to be done of it instead.

        Args:
            record: the payment.
            left: seconds that are left of its claim.
        """
        if self._stop.is_set():
            return partial(self._hand_back, record)
        reference = record.third_party_reference
        try:
            request = persist(self._store, lambda: self._sender.request_of(record))
            until = self._store.aware(record.send_before) if record.send_before else utc_now()
            within = min(until - utc_now(), timedelta(seconds=left()))
            request = replace(request, time_left=time_left(within))
        except RecordsUnavailable as error:
            log_failure("queue.not_sent", error, third_party_reference=reference)
            return partial(self._hand_back, record)
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            # As where settings have changed meanwhile. It is not sent blindly, nor tried for ever.
            is_ours = isinstance(error, (ValidationError, ConfigurationError))
            said = mask_msisdns_in(str(error) if is_ours else describe(error))
            logger.error("queue.not_prepared third_party_reference=%s: %s", reference, said)
            return partial(self._refuse, record, f"Not sent: {said}")
        try:
            future = self._calls.send(request)
        except Exception as error:  # noqa: BLE001 - as where there are no more threads
            log_failure("queue.not_sent", error, third_party_reference=reference)
            return partial(self._hand_back, record)
        self._rate.begin()
        age = utc_now() - self._store.aware(record.created_at)
        note_sent(self._alias, record.operation, age.total_seconds())
        self._flying[future] = record
        future.add_done_callback(self._note_answer)
        return None

    def _note_answer(self, _: object) -> None:
        self._answered.set()
        if self._on_answer is not None:
            self._on_answer()

    def _refuse(self, record: R, said: str) -> Sent:
        self._sender.write_down(record, StatusReport(evidence=Evidence.DECLINED, description=said))
        return Sent(written=1)

    def _hand_back(self, record: R) -> Sent:
        """Queue a payment again of which surely nothing was sent, or fail it, if it is too late."""

        def hand_back() -> None:
            queued = self._queue.hand_back(record)
            if queued is not None:
                self._queue.expire(queued)

        try:
            persist(self._store, hand_back)
        except Exception as error:  # noqa: BLE001 - reconcile asks for it
            return self._failed("queue.not_handed_back", record, error)
        return Sent(handed_back=1)

    def _failed(self, event: str, record: R, error: Exception) -> Sent:
        log_failure(event, error, third_party_reference=record.third_party_reference)
        return Sent(failed=1)


def _is_unsent(future: Future[Result]) -> bool:
    """Whether of a call that has ended surely nothing was sent, and it may be begun anew."""
    if future.cancelled():
        return True
    problem = future.exception()
    if isinstance(problem, GivenUp):
        return not problem.begun
    return isinstance(problem, GatewayUnavailable) and isinstance(problem.__cause__, TooLate)
