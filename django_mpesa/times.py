"""Times as the project keeps them: with USE_TZ aware; without it naive, by TIME_ZONE's clocks.

Core knows aware times only.
"""

from __future__ import annotations

from datetime import date, datetime, time
from datetime import timezone as utc

from django.conf import settings
from django.utils import timezone


def stored(moment: datetime) -> datetime:
    """An aware time as the project's columns take it."""
    if settings.USE_TZ or timezone.is_naive(moment):
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())


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


def local_now() -> datetime:
    """What the project's clocks show now."""
    return local(timezone.now())


def midnight(day: date) -> datetime:
    """The beginning of a day, to be compared with a column."""
    beginning = datetime.combine(day, time())
    return timezone.make_aware(beginning) if settings.USE_TZ else beginning
