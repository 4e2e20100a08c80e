"""Third-party references: unique per request, and sortable by the time they were made."""

from __future__ import annotations

import secrets
import time

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TIME_LENGTH = 11  # microseconds in base 36: enough until the year 6100
_RANDOM_LENGTH = 9  # 46 bits per microsecond, from the operating system, so safe across a fork


def new_third_party_reference() -> str:
    """Make a reference of 20 digits and capital letters (PROTOCOL.md, "Call context").

    The first eleven characters are the time in microseconds, so references sort by age; the rest
    is random, so that processes and machines need not know of each other.
    """
    stamp = _base36(time.time_ns() // 1000, _TIME_LENGTH)
    return stamp + _base36(secrets.randbelow(36**_RANDOM_LENGTH), _RANDOM_LENGTH)


def _base36(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
