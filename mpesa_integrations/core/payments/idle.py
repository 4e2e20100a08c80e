"""How long a connection to the database is kept while something else is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

_SOON = 0.2
"""Seconds for which a connection is worth keeping."""


def wait_disconnected(
    wait: Callable[[float | None], _T],
    seconds: float | None,
    disconnect: Callable[[], object],
) -> _T:
    """Wait, and give the connection to the database back where that takes longer than a moment.

    Args:
        wait: waits for so many seconds, None for as long as it takes, and gives something true
            once that came which is waited for.
        seconds: how long to wait at the most; None for as long as it takes.
        disconnect: gives the connection back.

    Returns:
        What `wait` gave.
    """
    soon = _SOON if seconds is None else min(_SOON, seconds)
    came = wait(soon)
    if came or soon == seconds:
        return came
    disconnect()
    return wait(None if seconds is None else seconds - soon)
