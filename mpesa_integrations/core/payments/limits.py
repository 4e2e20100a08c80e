"""Checks the numbers that people give: how much at a time, how often, how fast, how long."""

from __future__ import annotations

import math

from ..errors import nothing_sent
from ..messages import Message

_MOST = 10_000
"""Rows or status queries at a time: databases take some ten thousand values at once, not more."""
_LONGEST = 366 * 24 * 3600
"""Seconds that a worker may wait."""
_PATIENCE = 24 * 3600
"""Seconds that somebody may wait for one payment; after them, a person is to look at it."""


def check_counts(**counts: int) -> None:
    """Refuse what is not a number of rows or status queries, by the argument's name.

    Raises:
        ValidationError: one is not a whole number from 1 to 10,000.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
            raise nothing_sent(
                {name: [Message("must be a whole number from 1 to %(most)d", most=_MOST)]}
            )


def check_rate(rate: float | None) -> None:
    """Refuse what is not a rate.

    Args:
        rate: so many a second at the most; None means no limit.

    Raises:
        ValidationError: it is 0 or less, no number, or so low that the next would be years away.
    """
    if rate is not None and not (_is_number(rate) and rate * _LONGEST >= 1):
        raise nothing_sent(
            {"rate": [Message("must be a number of more than 0; leave it out for no limit")]}
        )


def check_every(every: float | None) -> None:
    """Refuse what is no time between two runs.

    Args:
        every: seconds; None means that there is one run only.

    Raises:
        ValidationError: it is 0 or less, no number, or more than a year.
    """
    if every is not None and not (_is_number(every) and 0 < every <= _LONGEST):
        raise nothing_sent(
            {"every": [Message("must be seconds, more than 0; leave it out to run once")]}
        )


def check_seconds(name: str, seconds: float, *, least: float = 0, most: int = _PATIENCE) -> None:
    """Refuse what is no time to wait.

    Args:
        name: the argument's.
        seconds: what was given.
        least: how many it must be at least.
        most: how many at the most.

    Raises:
        ValidationError: it is fewer or more, or no number.
    """
    if not (_is_number(seconds) and least <= seconds <= most):
        said = Message("must be seconds, from %(least)s to %(most)d", least=least, most=most)
        raise nothing_sent({name: [said]})


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that is more than any float
        return False
