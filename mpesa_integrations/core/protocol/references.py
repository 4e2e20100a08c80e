"""Third-party references: what they may be, and by what ours are known. No clock is read here."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TIME_LENGTH = 11  # microseconds in base 36: enough until the year 6100
_RANDOM_LENGTH = 9  # 46 bits per microsecond

RANDOM_NUMBERS = 36**_RANDOM_LENGTH
_MADE = re.compile(f"[{_DIGITS}]{{{_TIME_LENGTH + _RANDOM_LENGTH}}}")
_ABOUT = timedelta(days=1)  # forgives any clock and any time zone

THIRD_PARTY_REFERENCE = r"[A-Za-z0-9]{1,20}"
"""What a request's reference may be, as a regular expression (docs/protocol.md, "Call context")."""


def is_third_party_reference(text: str) -> bool:
    """Whether a request of ours can have had this reference."""
    return re.fullmatch(THIRD_PARTY_REFERENCE, text) is not None


def reference_made_at(microseconds: int, random_number: int) -> str:
    """Make a reference of 20 digits and capital letters.

    The first eleven characters are the time, so references sort by age; the rest is random, so that
    processes and machines need not know of each other.

    Args:
        microseconds: since the epoch.
        random_number: 0 or more, and below `RANDOM_NUMBERS`.

    Source: docs/protocol.md, "Call context".
    """
    return _base36(microseconds, _TIME_LENGTH) + _base36(random_number, _RANDOM_LENGTH)


def made_about(reference: str, moment: datetime) -> bool:
    """Whether a reference is one that this library made about a moment.

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
