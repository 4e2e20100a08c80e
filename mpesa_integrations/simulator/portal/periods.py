"""The stretch of time that a report is about: one that ends now, or from one moment to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from flask_babel import LazyString
from flask_babel import lazy_gettext as _

LAST: dict[str, tuple[LazyString, timedelta]] = {
    "hour": (_("Last hour"), timedelta(hours=1)),
    "day": (_("Last 24 hours"), timedelta(days=1)),
    "week": (_("Last 7 days"), timedelta(days=7)),
    "month": (_("Last 30 days"), timedelta(days=30)),
}
"""Periods that end now: name and length."""
_MOST_BARS = 60
_STEPS = (
    *(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=hours) for hours in (1, 2, 6, 12)),
    *(timedelta(days=days) for days in (1, 7, 30, 365)),
)
_LONGEST = timedelta(days=365 * 50)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class PeriodProblem(ValueError):  # noqa: N818 - an answer, not a fault
    """What is wrong with a period, in words for its reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """A stretch of time.

    Attributes:
        name: a key of `LAST`; empty where it is from one moment to another.
        begin: aware UTC.
        end: aware UTC, itself not in it any more.
    """

    name: str
    begin: datetime
    end: datetime

    @property
    def step(self) -> timedelta:
        """How long a bar of its chart is, so that there are few enough of them."""
        length = self.end - self.begin
        return next((step for step in _STEPS if length <= step * _MOST_BARS), _STEPS[-1])

    @property
    def bars(self) -> list[datetime]:
        """When each bar of its chart begins, at round times."""
        at = self.begin - (self.begin - _EPOCH) % self.step
        count = max(1, -((at - self.end) // self.step))
        return [at + self.step * index for index in range(count)]

    @property
    def bar_form(self) -> str:
        """How the time of a bar is written, for `strftime`."""
        if self.step >= timedelta(days=1):
            return "%d/%m/%Y"
        return "%H:%M" if self.end - self.begin <= timedelta(days=1) else "%d/%m %H:%M"


def read_period(arguments: Mapping[str, str], now: datetime) -> Period:
    """Read what a page's address says of its period.

    Args:
        arguments: `from` and `to`, moments in UTC as a browser's field writes them, or days;
            where both are empty `period`, a key of `LAST`.
        now: aware UTC.

    Raises:
        PeriodProblem: a moment cannot be read, or the end is not after the beginning.
    """
    first, last = arguments.get("from", "").strip(), arguments.get("to", "").strip()
    if not first and not last:
        name = arguments.get("period", "")
        name = name if name in LAST else "day"
        return Period(name=name, begin=now - LAST[name][1], end=now + timedelta(seconds=1))
    end = _moment(last, is_end=True) if last else now + timedelta(seconds=1)
    begin = _moment(first) if first else end - LAST["month"][1]
    if begin >= end:
        raise PeriodProblem(_("The period must begin before it ends."))
    if end - begin > _LONGEST:
        raise PeriodProblem(_("The period must not be longer than 50 years."))
    return Period(name="", begin=begin, end=end)


def as_moment(text: str, time: str) -> str:
    """What was written of a moment, as a browser's field takes it: a day alone gets a time."""
    return f"{text}T{time}" if len(text) == len("2026-03-31") else text


def _moment(text: str, *, is_end: bool = False) -> datetime:
    """A moment since 1970; as an end, the one after the minute or the day that is written."""
    for form, length in (("%Y-%m-%dT%H:%M", timedelta(minutes=1)), ("%Y-%m-%d", timedelta(days=1))):
        try:
            at = datetime.strptime(text, form).replace(tzinfo=timezone.utc)
            end = at + length
        except (ValueError, OverflowError):
            continue
        if at >= _EPOCH:
            return end if is_end else at
    raise PeriodProblem(
        _("Write a day and a time, as in 2026-03-31T08:00, or a day alone, as in 2026-03-31.")
    )
