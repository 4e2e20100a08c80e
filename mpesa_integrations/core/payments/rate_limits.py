"""How many calls an account may begin in a second: one limit for all that a worker calls for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from math import ceil

from .limits import check_rate

_LOOK_AGAIN = 0.25
"""Seconds after which a question that gave way to payments looks whether it is its turn."""
_ONE_OF = 10
"""Of so many calls one may be a question, however many payments there are to be sent."""


class RateLimit:
    """At most so many calls in any stretch of time; safe to be used by several threads.

    Payments go first, since a customer waits for them: while more of them could be sent than may
    be, a question about one begins only now and then.

    Args:
        rate: so many a second; None means no limit.
        clock: gives seconds.

    Raises:
        ValidationError: `rate` is 0, negative or no number.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        check_rate(rate)
        self._most = ceil(rate) if rate else 0
        self._seconds = self._most / rate if rate else 0.0
        self._gives_way_for = _ONE_OF / rate if rate else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: deque[float] = deque()
        self._reserved = 0
        self._is_short = False
        self._question_at = clock() - self._gives_way_for

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self._most > 0

    def reserve(self, wanted: int) -> int:
        """Have as many payments begin at any time from now on as may, of those wanted.

        Each is then to be told of by `begin`, or given back by `release`.
        """
        if not self._most:
            return wanted
        with self._lock:
            reserved = max(0, min(wanted, self._left()))
            self._reserved += reserved
            self._is_short = reserved < wanted
            return reserved

    def begin(self) -> None:
        """Count a payment for which a turn was reserved, and that begins now."""
        if self._most:
            with self._lock:
                self._reserved -= 1
                self._begun.append(self._clock())

    def release(self, count: int) -> None:
        """Give back what was reserved, since there was nothing to be sent."""
        if self._most and count:
            with self._lock:
                self._reserved -= count
                self._is_short = False

    def ask(self) -> float:
        """Have a question begin now; or say in how many seconds to try again, 0 if it may begin."""
        if not self._most:
            return 0.0
        with self._lock:
            pause = self._pause()
            if not pause and (self._left() < 1 or self._gives_way()):
                pause = _LOOK_AGAIN
            if not pause:
                self._question_at = self._clock()
                self._begun.append(self._question_at)
            return pause

    def pause(self) -> float:
        """Seconds until one may begin, for all that is known now."""
        with self._lock:
            return self._pause()

    @property
    def is_idle(self) -> bool:
        """Whether another limit in its place would allow no more than this."""
        with self._lock:
            return not self._reserved and self._left() == self._most

    def _left(self) -> int:
        while self._begun and self._begun[0] + self._seconds <= self._clock():
            self._begun.popleft()
        return self._most - len(self._begun) - self._reserved

    def _pause(self) -> float:
        if len(self._begun) < self._most or not self._most:
            return 0.0
        return max(0.0, self._begun[0] + self._seconds - self._clock())

    def _gives_way(self) -> bool:
        return self._is_short and self._clock() < self._question_at + self._gives_way_for


class RateLimits:
    """Each account's limit, for as long as it is used or has something to remember.

    Args:
        rate: as for `RateLimit`.

    Raises:
        ValidationError: likewise.
    """

    def __init__(self, rate: float | None) -> None:
        check_rate(rate)
        self._rate = rate
        self._limits: dict[str, RateLimit] = {}

    def __getitem__(self, alias: str) -> RateLimit:
        """The account's limit, the same until it is forgotten."""
        if alias not in self._limits:
            self._limits[alias] = RateLimit(self._rate)
        return self._limits[alias]

    def keep(self, aliases: Collection[str]) -> None:
        """Forget those of all other accounts, once that makes no difference."""
        self._limits = {
            alias: limit
            for alias, limit in self._limits.items()
            if alias in aliases or not limit.is_idle
        }


def limit_of(rate: float | RateLimit | None) -> RateLimit:
    """A limit of one's own, or the one that is shared.

    Args:
        rate: so many a second, or the limit itself; None means no limit.

    Raises:
        ValidationError: it is 0, negative or no number.
    """
    return rate if isinstance(rate, RateLimit) else RateLimit(rate)
