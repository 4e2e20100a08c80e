"""An event loop in a thread of its own, in which what a gateway waits for holds no thread.

What is waited for is in `steps`. What would keep the loop from its other work, as a ledger does,
runs in a few threads beside it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from .phones import Phones
from .steps import AskCustomer, Ended, Pause, Steps, advance
from .transactions import Transaction

Done = TypeVar("Done")

_THREADS = 8


class Interruption:
    """What cuts pauses short, from any thread.

    Args:
        background: where the pauses are.

    Attributes:
        is_on: whether it has begun and not ended.
    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self._event = asyncio.Event()
        self.is_on: bool = False

    async def pause(self, seconds: float) -> bool:
        """Wait for some seconds, or less where it is interrupted; gives whether it was."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except (asyncio.TimeoutError, TimeoutError):
            return False
        return True

    def begin(self) -> None:
        """Cut short what pauses, and what will, until `end`."""
        self.is_on = True
        self._background.call(self._event.set)

    def end(self) -> None:
        """Let pauses take their time again."""
        self.is_on = False
        self._background.call(self._event.clear)


class Background:
    """The event loop of a gateway, from `start` to `stop`."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mpesa-call")
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Begin to run."""
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(started)), name="mpesa-gateway", daemon=True
        )
        self._thread.start()
        started.result()

    def stop(self) -> None:
        """End; what still runs is cancelled."""
        self.call(self._stopping.set)
        if self._thread is not None:
            self._thread.join()
        self._thread = self._loop = None
        self._threads.shutdown(cancel_futures=True)

    def run(self, work: Coroutine[Any, Any, Done]) -> Future[Done]:
        """Have work done in the loop, from another thread.

        Raises:
            RuntimeError: the loop does not run.
        """
        if self._loop is None:
            work.close()
            raise RuntimeError("The gateway is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, action: Callable[[], object]) -> None:
        """Call a function in the loop; where none runs, there is nothing to wait for: at once."""
        if self._loop is None:
            action()
        else:
            self._loop.call_soon_threadsafe(action)

    async def walk_through(self, steps: Steps[Done], *, interruption: Interruption) -> Done:
        """Carry out work that waits wherever it has to, with no thread the while.

        Args:
            interruption: what cuts its pauses short.

        Returns:
            What the work returns.
        """
        running = asyncio.get_running_loop()
        came: str | None = None
        while True:
            step = await running.run_in_executor(self._threads, advance, steps, came)
            came = None
            if isinstance(step, Ended):
                return step.done
            if isinstance(step, Pause):
                await interruption.pause(step.seconds)
            elif isinstance(step, AskCustomer):
                came = await _ask(step.phones, step.transaction)
            else:
                await asyncio.wrap_future(step.work)

    async def _run(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        started.set_result(None)
        await self._stopping.wait()


async def _ask(phones: Phones, transaction: Transaction) -> str:
    """Show a prompt; gives the code that comes of it, or of its time being over."""
    shown = phones.show(transaction)
    timer = asyncio.get_running_loop().call_later(
        phones.pin_timeout, phones.expire, transaction.conversation_id
    )
    try:
        return await asyncio.wrap_future(shown)
    finally:
        timer.cancel()
