"""Calls an application's function to its end: also where what it gives is to be awaited.

A coroutine function says so itself. One that is wrapped, as by a decorator, does not, nor does an
object with `async def __call__`: what they give shows it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import Any

AsSync = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes of a coroutine function one that is called as any other, and done when it returns."""


def call_to_its_end(
    function: Callable[..., Any], as_sync: AsSync | None, /, *args: Any, **kwargs: Any
) -> None:
    """Call a function, and wait for the end of what it does.

    Args:
        function: one that may be a coroutine function, or give something that is to be awaited.
        as_sync: runs coroutine functions; None where there is no event loop for them.
        *args: for the function.
        **kwargs: for the function.

    Raises:
        TypeError: what it does would have to be awaited, and cannot be here.
        Exception: what the function raised.
    """
    if as_sync is not None and iscoroutinefunction(function):
        as_sync(function)(*args, **kwargs)
        return
    given = function(*args, **kwargs)
    if not isawaitable(given):
        return
    try:
        if as_sync is None:
            raise TypeError(
                f"What {function!r} gives is to be awaited, and nothing awaits it here: "
                "make it a function that is done when it returns"
            )
        as_sync(_awaited)(given)
    finally:
        if iscoroutine(given):
            given.close()  # where it could not be run


async def _awaited(awaitable: Awaitable[Any]) -> None:
    await awaitable
