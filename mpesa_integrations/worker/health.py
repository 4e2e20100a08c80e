"""How a worker is: a line of JSON in a file, for probes and people, and gauges for a collector.

The file is written anew every few seconds, and dropped at a clean end: one that is old, or not
there, is that of a worker that is gone or stuck.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..core.payments.registry import Accounts
from ..core.payments.schedule import utc_now
from ..core.payments.store import Store
from ..core.telemetry import is_collected, note_queue
from .crew import Crew
from .jobs import Send

EVERY = 2.0
"""Seconds between two reports."""


class Health:
    """The job of saying how the worker is.

    Args:
        accounts: whose payments it does.
        crew: works for them.
        file: where to say it; None means nowhere, and only gauges are set.
        is_listening: whether the database says when there is something to do.
        problem: the kind of what keeps it from finding the accounts; empty where nothing does.
    """

    account = "all"
    kind = "health"

    def __init__(
        self,
        accounts: Accounts[Any, Any],
        crew: Crew,
        file: Path | None,
        is_listening: Callable[[], bool],
        problem: Callable[[], str],
    ) -> None:
        self.done: Counter[str] = Counter()
        self.bell: threading.Event = threading.Event()
        self._accounts = accounts
        self._crew = crew
        self._file = file
        self._is_listening = is_listening
        self._problem = problem
        self._started = utc_now()
        self._stores: list[Store[Any, Any]] = []

    def look(self) -> bool:
        """Find out, and say it."""
        if self._file is not None or is_collected():
            self._write(self.report())
        return False

    def rest(self) -> None:
        """Give the stores' connections back."""
        for store in self._stores:
            store.disconnect()

    def patience(self, poll: float) -> float:
        """A few seconds."""
        return EVERY

    def finish(self, seconds: float) -> None:
        """Leave no file behind that looks as if the worker were there."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def report(self) -> dict[str, Any]:
        """What is in the file."""
        self._stores = []
        accounts = {name: self._of_account(name) for name in self._crew.names}
        problem = self._problem()
        return {
            "time": _text(utc_now()),
            "ok": not problem and not any(found["problems"] for found in accounts.values()),
            "problem": problem,
            "started": _text(self._started),
            "pid": os.getpid(),
            "listening": self._is_listening(),
            "accounts": accounts,
        }

    def _of_account(self, name: str) -> dict[str, Any]:
        loops = self._crew.loops(name)
        problems = {loop.job.kind: loop.problem for loop in loops if loop.problem}
        done: Counter[str] = Counter()
        for loop in loops:
            done.update(loop.job.done)
        busy = {
            loop.job.kind: round(time.monotonic() - since, 1)
            for loop in loops
            if (since := loop.looking_since) is not None
        }
        in_flight = sum(loop.job.in_flight for loop in loops if isinstance(loop.job, Send))
        found: dict[str, Any] = {
            "in_flight": in_flight, "done": done, "busy": busy, "problems": problems,
        }  # fmt: skip
        try:
            payments = self._accounts[name]
            self._stores.append(payments.store)
            waiting, oldest = payments.queued()
            note_queue(name, waiting=waiting, in_flight=in_flight)
            found |= {
                "queued": waiting,
                "oldest_queued": _seconds(oldest),
                "oldest_open": _seconds(payments.oldest_open()),
            }
        except Exception as error:  # noqa: BLE001 - that is what is to be told
            problems["records"] = type(error).__name__
        return found

    def _write(self, report: dict[str, Any]) -> None:
        if self._file is None:
            return
        # In place at once: nobody reads half of it.
        new = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        new.write_text(json.dumps(report) + "\n", encoding="utf-8")
        new.replace(self._file)


def _seconds(age: timedelta | None) -> int | None:
    return None if age is None else round(age.total_seconds())


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
