"""One asynchronous client for each event loop, since a client's connections belong to its loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator

from ..protocol.http import (
    AsyncTransport,
    HttpRequest,
    HttpResponse,
    NotConnected,
    Sending,
    Transport,
)
from .asynchronous import AsyncMpesaClient
from .base import BaseClient
from .in_flight import in_own_thread


class ClientsByLoop:
    """An account's asynchronous clients, each made when it is first used in its event loop.

    Args:
        client: the account's blocking client, whose settings are theirs, too.
        transport: the account's own way to send bytes, which blocks; None means aiohttp.
    """

    def __init__(self, client: BaseClient, transport: Transport | None) -> None:
        self._client = client
        self._transport = transport
        self._kept: dict[asyncio.AbstractEventLoop, _OfLoop] = {}

    async def of_running_loop(self) -> AsyncMpesaClient:
        """Give the running loop's client.

        Raises:
            ConfigurationError: aiohttp is not installed.
        """
        loop = asyncio.get_running_loop()
        found = self._kept.get(loop)
        if found is not None:
            return found
        for other in list(self._kept):
            if other.is_closed():
                self._kept.pop(other, None)
        transport: AsyncTransport | None = None
        if self._transport is not None:
            transport = _InThread(self._transport)
        blocking = self._client
        made = self._kept[loop] = _OfLoop(lambda: blocking.config, transport=transport)
        await made.closed_by(self)
        return made

    def forget(self) -> None:
        """Have each loop close its client, and make others when they are next used."""
        for made in list(self._kept.values()):
            made.close_soon()
        self._kept.clear()

    def drop(self, loop: asyncio.AbstractEventLoop, transport: AsyncTransport) -> None:
        """Forget a loop's client, if it still is the one with this transport."""
        found = self._kept.get(loop)
        if found is not None and found.sends_by(transport):
            del self._kept[loop]


class _OfLoop(AsyncMpesaClient):
    """A loop's client, which is closed when its loop ends, or nobody has it any more."""

    _closing: AsyncGenerator[None, None] | None = None

    async def closed_by(self, clients: ClientsByLoop) -> None:
        """Have the running loop close it in time, also where the clients are gone by then."""
        # The generator does not have the client: who has it last, is a call that is under way.
        loop, transport = asyncio.get_running_loop(), self._transport
        self._closing = _at_the_end(weakref.ref(clients), loop, transport)
        await anext(self._closing)

    def close_soon(self) -> None:
        """Have its loop close it now, also where somebody has it still."""
        self._closing = None

    def sends_by(self, transport: AsyncTransport) -> bool:
        """Whether this is its transport."""
        return self._transport is transport


async def _at_the_end(
    clients: weakref.ref[ClientsByLoop], loop: asyncio.AbstractEventLoop, transport: AsyncTransport
) -> AsyncGenerator[None, None]:
    """Close a client's transport when its loop ends, or nobody has the client any more.

    `asyncio.run` and its like end asynchronous generators, while their loop still runs; so does a
    loop with those that are forgotten.
    """
    try:
        yield
    finally:
        found = clients()
        if found is not None:
            found.drop(loop, transport)
        await transport.aclose()


class _InThread:
    """A blocking transport, each of whose requests has a thread of its own.

    The event loop's own threads are few, and stay free for the steps of the records' stores.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, request: HttpRequest, sending: Sending) -> HttpResponse:
        """Send it in a thread; a byte may have left as soon as that has begun.

        Raises:
            NotConnected: there are no more threads; else as the transport does.
        """
        sending.begun = False

        def in_time() -> HttpResponse:
            request.refuse_if_late()
            return self._transport.send(request)

        try:
            future = in_own_thread(in_time)
        except RuntimeError as error:
            raise NotConnected(f"there is no thread to send it in ({error})") from None
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            sending.begun = not future.cancel()
            raise

    async def aclose(self) -> None:
        """Nothing is opened here: the transport is the account's."""
