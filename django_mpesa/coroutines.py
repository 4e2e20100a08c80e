"""Receivers and handlers that are coroutine functions, called as any others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync


def as_sync(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, or what runs it to its end where it is a coroutine function."""
    return async_to_sync(function) if inspect.iscoroutinefunction(function) else function
