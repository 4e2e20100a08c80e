"""What an application may give for a function, whose work is done only once it is awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

_Does = Callable[..., Coroutine[Any, Any, None]]
Disguise = Callable[[_Does], Callable[..., Any]]


def _wrapped(does: _Does) -> Callable[..., Any]:
    """As by a decorator that measures time, and knows of no coroutines."""

    @wraps(does)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return does(*args, **kwargs)

    return wrapper


def _object(does: _Does) -> Callable[..., Any]:
    class Called:
        async def __call__(self, *args: Any, **kwargs: Any) -> None:
            await does(*args, **kwargs)

    return Called()


def _itself(does: _Does) -> Callable[..., Any]:
    return does


each_disguise = pytest.mark.parametrize("disguise", [_itself, _wrapped, _object])
"""Runs a test with a coroutine function as it is, and with what does not say that it is one."""
