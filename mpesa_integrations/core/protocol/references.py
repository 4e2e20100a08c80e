"""Third-party references: unique per request, and sortable by the time they were made."""

from __future__ import annotations

import re
import secrets
import time
from datetime import datetime, timedelta

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TIME_LENGTH = 11  # microseconds in base 36: enough until the year 6100
_RANDOM_LENGTH = 9  # 46 bits per microsecond, from the operating system, so safe across a fork

_MADE = re.compile(f"[{_DIGITS}]{{{_TIME_LENGTH + _RANDOM_LENGTH}}}")
_ABOUT = timedelta(days=1)  # forgives any clock and any time zone

THIRD_PARTY_REFERENCE = r"[A-Za-z0-9]{1,20}"
"""What a request's reference may be, as a regular expression (docs/protocol.md, "Call context")."""


def is_third_party_reference(text: str) -> bool:
    """Whether a request of ours can have had this reference."""
    return re.fullmatch(THIRD_PARTY_REFERENCE, text) is not None


def new_third_party_reference() -> str:
    """Make a reference of 20 digits and capital letters (docs/protocol.md, "Call context").

    The first eleven characters are the time in microseconds, so references sort by age; the rest
    is random, so that processes and machines need not know of each other.
    """
    stamp = _base36(time.time_ns() // 1000, _TIME_LENGTH)
    return stamp + _base36(secrets.randbelow(36**_RANDOM_LENGTH), _RANDOM_LENGTH)


def made_about(reference: str, moment: datetime) -> bool:
    """Whether a reference is one that `new_third_party_reference` made about a moment.

    Nobody else can have such a reference. One that a caller gave is seldom of this form, and then
    the time in it is another; so is that of a reference that was made before and is given again.

    Args:
        reference: a request's.
        moment: when the request was made, aware.
    """
    if not _MADE.fullmatch(reference):
        return False
    made = int(reference[:_TIME_LENGTH], 36) / 1_000_000  # seconds
    return abs(made - moment.timestamp()) <= _ABOUT.total_seconds()


def _base36(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
