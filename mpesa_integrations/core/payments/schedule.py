"""When an open payment, a stored callback or an outbox entry is looked at again; times only."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TypeVar

FIRST_CHECK = timedelta(seconds=30)
"""When an open payment is first asked for; each later time twice as long, up to `LAST_CHECK`."""
LAST_CHECK = timedelta(hours=1)
DISPATCH_GRACE = timedelta(minutes=2)
"""How long an outbox entry is its own process's to dispatch; then, since that died, a worker's."""
MOST_ATTEMPTS = 10
"""Tries, over some four hours, to decide a callback; then it is for a person. Of an event that
could not be dispatched so often, the log says so each time."""
_JITTER = 0.25
_Pause = TypeVar("_Pause", float, timedelta)

monotonic = time.monotonic


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts: twice as long each time, and not all at once."""
    return jittered(min(FIRST_CHECK * int(2 ** min(attempts, 20)), LAST_CHECK))


def jittered(pause: _Pause) -> _Pause:
    """Lengthen or shorten a pause, by a quarter at the most, so that not all come at once."""
    return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, no secret


def utc_now() -> datetime:
    """The time now, in UTC and aware."""
    return datetime.now(timezone.utc)


def time_left(within: timedelta) -> Callable[[], float]:
    """Count down the seconds of a time that begins now, for a process that may stand still in it.

    By two clocks, and the one that is ahead counts: one is set now and then, the other may stop
    while a machine sleeps.
    """
    until, end = utc_now() + within, monotonic() + within.total_seconds()
    return lambda: min((until - utc_now()).total_seconds(), end - monotonic())
