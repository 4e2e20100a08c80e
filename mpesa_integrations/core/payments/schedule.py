"""When an open payment, a stored callback or an outbox entry is looked at again; times only."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

FIRST_CHECK = timedelta(seconds=30)
"""When an open payment is first asked for; each later time twice as long, up to `LAST_CHECK`."""
LAST_CHECK = timedelta(hours=1)
DISPATCH_GRACE = timedelta(minutes=2)
"""How long an outbox entry is its own process's to dispatch; then, since that died, a worker's."""
MOST_ATTEMPTS = 10
"""Tries, over some four hours, to decide a callback; then it is for a person. Of an event that
could not be dispatched so often, the log says so each time."""
_JITTER = 0.25


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts: twice as long each time, and not all at once."""
    delay = min(FIRST_CHECK * int(2 ** min(attempts, 20)), LAST_CHECK)
    return delay * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, no secret


def utc_now() -> datetime:
    """The time now, in UTC and aware."""
    return datetime.now(timezone.utc)
