"""What is to be awaited called as what blocks is, so that the same tests hold for both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, cast

import pytest

from mpesa_integrations import (
    AsyncMpesaClient,
    HttpRequest,
    HttpResponse,
    MpesaClient,
    Sending,
    Transport,
)
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.settings.client import MpesaConfig


async def cancel_during(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: Callable[[], Awaitable[Any]]
) -> None:
    """Await a call in a task that is cancelled as soon as it has come to a method.

    Args:
        monkeypatch: the test's.
        owner: whose method it is.
        name: the method's.
        call: is awaited.
    """
    method, loop = getattr(owner, name), asyncio.get_running_loop()

    def cancelled_meanwhile(*args: Any) -> Any:
        loop.call_soon_threadsafe(task.cancel)
        return method(*args)

    monkeypatch.setattr(owner, name, cancelled_meanwhile)
    task = asyncio.ensure_future(call())
    with pytest.raises(asyncio.CancelledError):
        await task


class _AsAsync:
    """A blocking transport where an asynchronous one is expected."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, request: HttpRequest, sending: Sending) -> HttpResponse:
        return self._transport.send(request)

    async def aclose(self) -> None:
        self._transport.close()


class AwaitedClient:
    """Runs an event loop of its own for each call, and none between them."""

    def __init__(
        self,
        config: MpesaConfig | Callable[[], MpesaConfig],
        *,
        transport: Transport | None = None,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = AsyncMpesaClient(
            config, transport=None if transport is None else _AsAsync(transport)
        )

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: self._loop.run_until_complete(found(*args, **kwargs))

    def __enter__(self) -> AwaitedClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._client.aclose())
            self._loop.close()


def awaited(*args: Any, **kwargs: Any) -> MpesaClient:
    return cast("MpesaClient", AwaitedClient(*args, **kwargs))


class AwaitedPayments:
    """Calls each method's twin, in an event loop that ends with the call.

    Once a test has put something in place of the blocking client's methods, that is called, too.

    Args:
        payments: whose.
        run: runs a coroutine to its end.
    """

    def __init__(
        self, payments: Payments[Any, Any], run: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        clients = payments._async_sender.clients
        of_running_loop = clients.of_running_loop

        async def patched() -> Any:
            return _AsPatched(await of_running_loop(), payments)

        vars(clients)["of_running_loop"] = patched
        vars(self).update(_payments=payments, _run=run)

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self._payments, f"a{name}", None)
        if twin is None:
            return getattr(self._payments, name)
        return lambda *args, **kwargs: self._run(twin(*args, **kwargs))

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._payments, name, value)


class _AsPatched:
    def __init__(self, client: AsyncMpesaClient, payments: Payments[Any, Any]) -> None:
        self._client = client
        self._payments = payments

    def __getattr__(self, name: str) -> Any:
        blocking = self._payments.client
        if vars(blocking).keys().isdisjoint({"send", "query_transaction_status"}):
            return getattr(self._client, name)
        found = getattr(blocking, name)

        async def call(*args: Any, sending: object = None, **kwargs: Any) -> Any:
            return await self._payments.store.in_thread(partial(found, *args, **kwargs))

        return call
