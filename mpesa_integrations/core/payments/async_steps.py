"""A store's work in programs with an event loop: awaited, and never done half.

That a blocking call would hold up such a loop is said here, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from .store import Store

_P = ParamSpec("_P")
_T = TypeVar("_T")
_TWINS = {"wait": "await_outcome"}  # `await` is a word of Python's own


async def to_its_end(
    store: Store[Any, Any], call: Callable[[], _T]
) -> tuple[_T, asyncio.CancelledError | None]:
    """Await a step of a store's work, and end it also where the task is cancelled meanwhile.

    Args:
        store: whose work it is.
        call: the step, which is done once.

    Returns:
        What the step gave, and what cancelled the task, to be raised; None where nothing did.

    Raises:
        Exception: what the step raised.
    """
    outcome: Future[_T] = Future()
    outcome.set_running_or_notify_cancel()  # so that nobody who awaits it can cancel it
    claimed = Lock()

    def work() -> None:
        if not claimed.acquire(blocking=False):
            return
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the step is awaited
            outcome.set_exception(error)

    cancelled: asyncio.CancelledError | None = None
    while not outcome.done():
        # A task of its own: where a loop is shut down, and that cancelled too, it is begun again.
        step: asyncio.Future[Any]
        if claimed.locked():
            step = asyncio.wrap_future(outcome)
        else:
            step = asyncio.ensure_future(store.in_thread(work))
        while not step.done():
            try:
                await asyncio.wait([step])
            except asyncio.CancelledError as error:
                cancelled = error
        problem = None if step.cancelled() else step.exception()
        if problem is not None and not claimed.locked():
            raise problem
    return outcome.result(), cancelled


def blocking(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a method that has a twin say so to who calls it in the thread of an event loop."""

    @wraps(call)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        if asyncio._get_running_loop() is not None:
            name = call.__name__
            _store_of(args).called_in_event_loop(
                f"mpesa.{name}() would hold up the event loop of this thread, and all of its "
                f"tasks, until it returns: await mpesa.{_TWINS.get(name, f'a{name}')}() instead"
            )
        return call(*args, **kwargs)

    return guarded


def _store_of(args: tuple[Any, ...]) -> Store[Any, Any]:
    """The store of the account whose method has these arguments."""
    found: Store[Any, Any] = args[0].store
    return found
