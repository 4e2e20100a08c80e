"""Runs a worker from its start to its end, of which a signal or a part that died is the cause."""

from __future__ import annotations

import queue
import signal
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from ..core.errors import ConfigurationError
from ..core.failures import log_failure
from ..core.payments.registry import Accounts
from ..core.payments.wakeups import Listener, Listening
from ..process_signals import SIGNALS, heeding
from .crew import Crew, Follow
from .health import Health
from .loops import Job, Loop, Surroundings
from .options import WorkerOptions

_LOOKS = 1.0
"""Seconds between two looks whether all parts are there."""
Echo = Callable[[str], object]


class Ended(Enum):
    """How a worker ended."""

    CLEANLY = "cleanly"
    """It was told to, and nothing of it is left."""
    LEAVING = "leaving"
    """It was told to, and what was under way took too long: threads of it are left."""
    BROKEN = "broken"
    """A part of it died."""


class Worker:
    """Does all there is to do for some accounts, until it is told to stop.

    Args:
        accounts: a business's.
        account: the name of the only one that is done; None means all.
        options: how much at a time.
        around: what the framework wants around the work.
        echo: takes what is to be shown.

    Raises:
        ConfigurationError: there is no such account, or the settings of all are wrong.
    """

    def __init__(
        self,
        accounts: Accounts[Any, Any],
        *,
        account: str | None = None,
        options: WorkerOptions,
        around: Surroundings,
        echo: Echo,
    ) -> None:
        self._accounts = accounts
        self._options = options
        self._around = around
        self._echo = echo
        # Those of a loader come and go.
        self._follows = account is None and accounts.loader is not None
        self._names = [] if self._follows else list(accounts) if account is None else [account]
        if not self._follows:
            self._refuse_if_none_works()
        # In place of an event, which a signal's handler must not set while it is waited for.
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._crew = Crew(accounts, options, around)
        self._follow = Follow(accounts, self._crew)
        self._listener = Listener(self._listen, self._ring)

    def stop(self) -> None:
        """Have it end, as a signal does."""
        self._told.put("it was told to stop")

    def run(self) -> Ended:
        """Work until a signal or `stop`; a second signal ends the process at once."""
        following = self._loop(self._follow)
        health = Health(
            self._accounts,
            self._crew,
            self._options.health_file,
            self._listener.is_listening,
            lambda: following.problem,
        )
        running = [self._loop(health), *([following] if self._follows else [])]
        with heeding(self._heed):
            self._crew.begin(self._names)
            for loop in running:
                loop.start()
            self._listener.start()
            whom = ", ".join(self._names) or "the accounts that the account loader has"
            self._echo(f"working for {whom}; SIGTERM or Ctrl-C ends it")
            why = self._wait(running)
            self._echo(f"ending, since {why}")
            return self._end(running)

    def _refuse_if_none_works(self) -> None:
        refused = ConfigurationError("there is no M-Pesa account", setting="MPESA")
        for name in self._names:
            try:
                self._accounts[name]
            except ConfigurationError as error:
                refused = error
            else:
                return
        raise refused

    def _heed(self, number: int, frame: object) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._told.put(f"{signal.Signals(number).name} came")

    def _wait(self, running: Sequence[Loop]) -> str:
        while True:
            try:
                return self._told.get(timeout=_LOOKS)
            except queue.Empty:
                if self._is_broken(running):
                    return "a part of it died"

    def _end(self, running: Sequence[Loop]) -> Ended:
        broken = self._is_broken(running)
        deadline = time.monotonic() + self._options.stop_within
        for loop in running:
            loop.stop(deadline)
        of_accounts = self._crew.stop(deadline)
        self._listener.stop()
        ended = [loop.join() for loop in (*of_accounts, *running)]
        if broken:
            return Ended.BROKEN
        return Ended.CLEANLY if all(ended) else Ended.LEAVING

    def _is_broken(self, running: Sequence[Loop]) -> bool:
        return not (self._crew.is_whole and all(loop.is_alive for loop in running))

    def _loop(self, job: Job) -> Loop:
        return Loop(job, poll=self._options.poll, around=self._around)

    def _ring(self) -> None:
        self._crew.ring()
        self._follow.bell.set()

    def _listen(self) -> Listening | None:
        """Listen to the database of the accounts, which is the same for all of them."""
        with self._around.context():
            store = self._accounts.records()
            if self._follows and store is not None:
                return store.listen()
            return self._accounts[self._first_that_works()].store.listen()

    def _first_that_works(self) -> str:
        for name in self._names:
            try:
                self._accounts[name]
            except Exception as error:  # noqa: BLE001 - its own loops go on about it
                log_failure("worker.not_listening", error, account=name)
            else:
                return name
        return self._names[0]
