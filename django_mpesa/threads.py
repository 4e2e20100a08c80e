"""In which thread a coroutine's database work is done: where Django's own `aget` does it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections

_T = TypeVar("_T")


async def run_in_thread(call: Callable[[], _T]) -> _T:
    """Run it there, on that thread's connection.

    So it sees the transaction that a TestCase, or a view around `async_to_sync`, has open. A task
    that has outlived its request has no such thread, in which Django would close the connection:
    then it is one of the event loop's.
    """
    begun = False

    def step() -> _T:
        nonlocal begun
        begun = True
        return call()

    if not _has_outlived_its_request():
        try:
            return await sync_to_async(step, thread_sensitive=True)()
        except RuntimeError:  # the request's thread may end this very moment
            if begun:
                raise
    return await asyncio.to_thread(_on_its_own, call)


def _has_outlived_its_request() -> bool:
    request = SyncToAsync.thread_sensitive_context.get(None)
    return request is not None and getattr(request, "token", request) is None


def _on_its_own(call: Callable[[], _T]) -> _T:
    try:
        return call()
    finally:
        connections.close_all()
