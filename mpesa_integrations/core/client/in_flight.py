"""Many calls at a time, none of which is waited for here: a future stands for each.

With the extra `async` they are awaited in one event loop, in a thread of its own; without it each
has a thread. What is sent and what an answer means is `protocol`'s.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimedOut
from contextvars import copy_context
from typing import Protocol, TypeVar

from ..errors import ConfigurationError
from ..protocol.http import Sending
from ..protocol.requests import PreparedRequest
from ..protocol.results import Result
from ..redaction import forgetful_calls
from .asynchronous import AsyncMpesaClient
from .blocking import MpesaClient

logger: logging.Logger = logging.getLogger("mpesa_integrations")

_T = TypeVar("_T")
_TO_END = 5.0
"""Seconds that an event loop has to close its connections."""


class GivenUp(Exception):  # noqa: N818 - what became of a call, not what is wrong with it
    """A call was given up before its answer came.

    Attributes:
        begun: whether a byte of it may have left.
    """

    def __init__(self, *, begun: bool) -> None:
        super().__init__("given up")
        self.begun = begun


class InFlight(Protocol):
    """What sends calls and does not wait for them."""

    def send(self, request: PreparedRequest) -> Future[Result]:
        """Have a request sent.

        Args:
            request: as `MpesaClient.send` takes it.

        Returns:
            What `MpesaClient.send` returns and raises; `GivenUp` once this is closed. It can be
            cancelled only while surely nothing was sent.

        Raises:
            RuntimeError: there are no more threads, and surely nothing was sent.
        """

    def close(self) -> None:
        """Give up what is under way, as far as that can be, and say of that what was sent."""


def calls_in_flight(client: MpesaClient, *, own_transport: bool) -> InFlight:
    """What sends as many of an account's calls at a time as it is given.

    Args:
        client: the account's.
        own_transport: whether bytes are sent by an application's own transport, which blocks.
    """
    if not own_transport:
        try:
            return _InLoop(AsyncMpesaClient(lambda: client.config))
        except ConfigurationError:  # the extra is not installed
            pass
    return InThreads(client)


def in_own_thread(send: Callable[[], _T]) -> Future[_T]:
    """Send in a thread that is there for nothing else, and that no process waits for.

    Args:
        send: sends.

    Returns:
        What it gives and raises. It can be cancelled only while `send` has not been called.

    Raises:
        RuntimeError: there are no more threads.
    """
    future: Future[_T] = Future()

    def run() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(send())
            except BaseException as error:  # noqa: BLE001 - it is raised where it is asked for
                future.set_exception(error)

    thread = threading.Thread(
        target=copy_context().run, args=(run,), name="mpesa-send", daemon=True
    )
    thread.start()
    return future


@forgetful_calls
class InThreads:
    """A thread per call, over the connections that the client keeps; no process waits for one.

    Args:
        client: the account's.
    """

    def __init__(self, client: MpesaClient) -> None:
        self._client = client

    def send(self, request: PreparedRequest) -> Future[Result]:
        """Send it in a thread; as `InFlight.send`."""
        return in_own_thread(lambda: self._client.send(request))

    def close(self) -> None:
        """The threads end when their answers come."""


@forgetful_calls
class _InLoop:
    """An event loop in a thread, started by the first call."""

    def __init__(self, client: AsyncMpesaClient) -> None:
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, request: PreparedRequest) -> Future[Result]:
        future: Future[Result] = Future()

        def begin() -> None:
            if future.set_running_or_notify_cancel():
                task = loop.create_task(self._await(request, future))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        loop = self._running()
        loop.call_soon_threadsafe(begin)
        return future

    def close(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._end(), loop).result(_TO_END)
        except TimedOut:
            logger.warning("queue.not_closed after=%ss", _TO_END)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_TO_END)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_run, args=(loop,), name="mpesa-send", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there are no more threads; the next call tries again
                loop.close()
                raise
            self._loop, self._thread = loop, thread
        return self._loop

    async def _await(self, request: PreparedRequest, future: Future[Result]) -> None:
        sending = Sending()
        try:
            future.set_result(await self._client.send(request, sending=sending))
        except asyncio.CancelledError:
            future.set_exception(GivenUp(begun=sending.begun))
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised where it is asked for
            future.set_exception(error)

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
