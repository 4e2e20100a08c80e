"""Times as the project keeps them: with USE_TZ aware; without it naive, by TIME_ZONE's clocks.

Core knows aware times only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from datetime import timezone as utc
from typing import Any

from django.conf import settings
from django.utils import formats, timezone


def stored(moment: datetime) -> datetime:
    """An aware time as the project's columns take it."""
    if settings.USE_TZ or timezone.is_naive(moment):
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())


def stored_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Columns' values, those that are times as `stored` gives them."""
    return {
        name: stored(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def aware(moment: datetime) -> datetime:
    """A column's time, aware.

    Of the two moments that a zone's clocks show alike when they go back, it is the later: what
    seems younger than it is has less decided about it.
    """
    if timezone.is_aware(moment):
        return moment
    zone = timezone.get_default_timezone()
    return timezone.make_aware(moment.replace(fold=1), zone).astimezone(utc.utc)


def local(moment: datetime) -> datetime:
    """A column's time as the project's clocks show it."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def moment_text(moment: datetime) -> str:
    """A column's time for people: in their language, to the second, and with the zone."""
    shown = aware(moment).astimezone(timezone.get_current_timezone())
    return f"{formats.date_format(shown, 'DATE_FORMAT')} {shown:%H:%M:%S %Z}"


def local_now() -> datetime:
    """What the project's clocks show now."""
    return local(timezone.now())


def midnight(day: date) -> datetime:
    """The beginning of a day, to be compared with a column."""
    beginning = datetime.combine(day, time())
    return timezone.make_aware(beginning) if settings.USE_TZ else beginning
