"""A loop: one job of one account, done again and again in a thread of its own.

So an account whose gateway or database hangs, and a receiver that takes its time, keep no other
account waiting. Records are touched in the loop's thread only. What the jobs do is in `jobs`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from ..core.errors import MpesaError
from ..core.failures import log_failure
from ..core.payments.idle import wait_disconnected
from ..core.payments.schedule import jittered

logger: logging.Logger = logging.getLogger("mpesa_integrations")

_TO_WRITE = 5.0
"""Seconds in which a job writes down what is over, its time, too; else nobody would know of it."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds after something broke, and the most, since it is twice as long each time."""


def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a framework wants around work that is done in no request.

    Attributes:
        context: is entered around each look, as an app context.
        at_rest: called before a wait, as what closes connections that the work has left.
        at_end: called at the end of each thread.
    """

    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    at_rest: Callable[[], object] = _nothing
    at_end: Callable[[], object] = _nothing


class Job(Protocol):
    """What a loop does."""

    account: str
    kind: str
    done: Counter[str]
    """What was done so far: how many, by what."""
    bell: threading.Event
    """Set when it is to look."""

    def look(self) -> bool:
        """Do what is to be done now; whether there is more of it at once."""

    def rest(self) -> None:
        """Hold no connection while nothing is to be done."""

    def patience(self, poll: float) -> float:
        """How long to wait until the next look, if nobody rings: `poll` seconds, or fewer."""

    def finish(self, seconds: float) -> None:
        """Take nothing new, end what is under way within so long, and hand back the rest."""


class Loop:
    """Does a job until it is stopped; what a look raises is logged, and it goes on later.

    Args:
        job: what is done.
        poll: seconds between two looks, at the most.
        around: what the framework wants around it.
        stop: set once it is to end, for a job that is to know that amid a look; None means that
            none does.

    Attributes:
        job: likewise.
        problem: the kind of what the last look raised; empty where it raised nothing.
        looking_since: when the look that is under way began, by the monotonic clock; or None.
    """

    def __init__(
        self,
        job: Job,
        *,
        poll: float,
        around: Surroundings,
        stop: threading.Event | None = None,
    ) -> None:
        self.job = job
        self.problem: str = ""
        self.looking_since: float | None = None
        self._poll = poll
        self._around = around
        self._stop = stop or threading.Event()
        self._deadline = 0.0
        self._thread = threading.Thread(
            target=self._run, name=f"mpesa-{job.kind}-{job.account}", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Have it wait for what is under way until this time of the monotonic clock, and end."""
        self._deadline = deadline
        self._stop.set()
        self.job.bell.set()

    def join(self) -> bool:
        """Wait until it has ended, no longer than it may take for that; whether it has."""
        if self.is_alive:  # there may have been no thread for it
            self._thread.join(max(0.0, self._deadline + _TO_WRITE - time.monotonic()))
        return not self.is_alive

    @property
    def is_alive(self) -> bool:
        """Whether its thread is."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            failures = 0
            while not self._stop.is_set():
                self.job.bell.clear()
                more = self._look()
                if self.problem:
                    failures += 1
                    self._rest()
                    self._stop.wait(_pause(failures))
                elif not more:
                    failures = 0
                    self._wait()
            self._attempt(lambda: self.job.finish(max(0.0, self._deadline - time.monotonic())))
        finally:
            self._rest()
            self._around.at_end()

    def _look(self) -> bool:
        self.looking_since = time.monotonic()
        more = self._attempt(self.job.look)
        self.looking_since = None
        return bool(more)

    def _attempt(self, call: Callable[[], Any]) -> Any:
        try:
            with self._around.context():
                found = call()
        except Exception as error:  # noqa: BLE001 - whatever breaks, this and the others go on
            self.problem = type(error).__name__
            self._log(error)
            return None
        self.problem = ""
        return found

    def _log(self, error: Exception) -> None:
        account, kind = self.job.account, self.job.kind
        if isinstance(error, MpesaError):  # its own words say what is wrong, each time
            logger.error(
                "worker.failed account=%s job=%s problem=%s: %s", account, kind, self.problem, error
            )
        else:
            log_failure("worker.failed", error, account=account, job=kind)

    def _wait(self) -> None:
        wait_disconnected(self.job.bell.wait, self.job.patience(self._poll), self._rest)

    def _rest(self) -> None:
        try:
            with self._around.context():
                self.job.rest()
            self._around.at_rest()
        except Exception as error:  # noqa: BLE001 - a connection that is broken is as good as closed
            log_failure("worker.not_disconnected", error, account=self.job.account)


def _pause(failures: int) -> float:
    return jittered(min(_FIRST_PAUSE * float(2 ** min(failures - 1, 20)), _LONGEST_PAUSE))
