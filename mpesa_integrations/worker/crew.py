"""A worker's loops by account: they come when an account has something to do, and go with it.

Accounts of the settings have theirs from the start to the end. Of those that are loaded, only the
ones with something left to be done have any, since there may be thousands. What a loop is, is in
`loops`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..core.payments.left_to_do import is_no_more, left_to_do
from ..core.payments.rate_limits import RateLimits
from ..core.payments.registry import Accounts
from .jobs import AccountJob, DecideCallbacks, Reconcile, Send
from .loops import Loop, Surroundings
from .options import WorkerOptions

logger: logging.Logger = logging.getLogger("mpesa_integrations")

LINGER = 60.0
"""Seconds for which an account keeps its loops once it has nothing left to do."""
_CALLBACKS_EVERY = 60.0
"""Seconds between two looks for accounts of which only a stored callback is left."""
_KINDS: tuple[type[AccountJob], ...] = (Send, DecideCallbacks, Reconcile)


class Crew:
    """The loops of a worker's accounts. Safe to be used by several threads.

    Args:
        accounts: a business's.
        options: how much at a time.
        around: what the framework wants around the work.
    """

    def __init__(
        self, accounts: Accounts[Any, Any], options: WorkerOptions, around: Surroundings
    ) -> None:
        self._accounts = accounts
        self._options = options
        self._around = around
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._working: dict[str, list[Loop]] = {}
        self._leaving: list[Loop] = []
        self._rates = RateLimits(options.rate)

    @property
    def names(self) -> list[str]:
        """The accounts that it works for at this moment."""
        with self._lock:
            return list(self._working)

    def loops(self, name: str) -> list[Loop]:
        """An account's loops, those that are about to end, too."""
        with self._lock:
            leaving = [loop for loop in self._leaving if loop.job.account == name]
            return [*self._working.get(name, ()), *leaving]

    def begin(self, names: Iterable[str]) -> None:
        """Start to work for accounts that it does not work for yet."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._leaving = [loop for loop in self._leaving if loop.is_alive]
            self._rates.keep({*self._working, *(loop.job.account for loop in self._leaving)})
            for name in names:
                if name not in self._working:
                    loops = self._working[name] = [self._loop(kind, name) for kind in _KINDS]
                    for loop in loops:
                        loop.start()

    def leave(self, names: Iterable[str]) -> None:
        """Work no more for some accounts: what is under way is ended, and nothing new is taken."""
        deadline = time.monotonic() + self._options.stop_within
        with self._lock:
            for name in names:
                for loop in self._working.pop(name, ()):
                    loop.stop(deadline)
                    self._leaving.append(loop)

    def ring(self) -> None:
        """Have those look at once that are to be quick."""
        with self._lock:
            jobs = [loop.job for loops in self._working.values() for loop in loops]
        for job in jobs:
            if isinstance(job, AccountJob) and job.is_urgent:
                job.bell.set()

    @property
    def is_whole(self) -> bool:
        """Whether no loop has died."""
        with self._lock:
            return all(loop.is_alive for loops in self._working.values() for loop in loops)

    def stop(self, deadline: float) -> list[Loop]:
        """Have all end by this time of the monotonic clock; they are to be joined."""
        self._stopping.set()
        with self._lock:
            running = [loop for loops in self._working.values() for loop in loops]
            running += [loop for loop in self._leaving if loop.is_alive]
        for loop in running:
            loop.stop(deadline)
        return running

    def _loop(self, kind: type[AccountJob], name: str) -> Loop:
        stop = threading.Event()
        job = kind(self._accounts, name, self._options, self._rates[name], stop)
        return Loop(job, poll=self._options.poll, around=self._around, stop=stop)


class Follow:
    """The job of working for those accounts of a loader that have something left to be done.

    Args:
        accounts: a business's.
        crew: works for them.
    """

    account = "all"
    kind = "accounts"
    is_urgent = True

    def __init__(self, accounts: Accounts[Any, Any], crew: Crew) -> None:
        self.done: Counter[str] = Counter()
        self.bell = threading.Event()
        self._accounts = accounts
        self._crew = crew
        self._busy_at: dict[str, float] = {}
        self._callbacks_at = 0.0
        self._told: set[str] = set()

    def look(self) -> bool:
        """Find out which these are now, and drop those that are no more."""
        now = time.monotonic()
        callbacks = now >= self._callbacks_at
        left = left_to_do(self._accounts, callbacks=callbacks)
        if callbacks:
            self._callbacks_at = now + _CALLBACKS_EVERY
        self._busy_at |= dict.fromkeys(left.accounts, now)
        for name in left.missing.keys() - self._told:
            logger.error("worker.account_missing account=%s: %s", name, left.problem(name))
        self._told = set(left.missing)
        self._crew.begin(left.accounts)
        self._crew.leave(self._idle(now, busy=set(left.accounts)))
        return False

    def rest(self) -> None:
        """Give the records' connection back."""
        store = self._accounts.records()
        if store is not None:
            store.disconnect()

    def patience(self, poll: float) -> float:
        """As for what is queued: its account may have no loops yet."""
        return poll

    def finish(self, seconds: float) -> None:
        """Nothing is under way between two looks."""

    def _idle(self, now: float, *, busy: set[str]) -> list[str]:
        """The accounts that are no more, and those that have had nothing to do for a while."""
        found = []
        for name in self._crew.names:
            if name in busy:
                continue
            lingers = self._busy_at.get(name, now) > now - LINGER
            if not lingers or is_no_more(self._accounts, name):
                found.append(name)
                self._busy_at.pop(name, None)
        return found
