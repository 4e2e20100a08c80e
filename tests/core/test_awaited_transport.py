"""A blocking transport of an application's own, whose calls are awaited."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from mpesa_integrations import (
    AsyncMpesaClient,
    GatewayUnavailable,
    HttpRequest,
    HttpResponse,
    MpesaClient,
    Sending,
)
from mpesa_integrations.core.client.by_loop import ClientsByLoop
from mpesa_integrations.core.protocol.http import TooLate

from .conftest import make_config
from .test_transport import PAYMENT, SUCCESS


class Waiting:
    """Answers once it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.came = threading.Semaphore(0)
        self.requests: list[dict[str, Any]] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(json.loads(request.body or b""))
        self.came.release()
        assert self.go_on.wait(10)
        return HttpResponse(201, SUCCESS)

    def close(self) -> None:
        pass


async def _client_of(transport: Waiting) -> tuple[AsyncMpesaClient, ClientsByLoop]:
    clients = ClientsByLoop(MpesaClient(make_config(retries=0)), transport)
    return await clients.of_running_loop(), clients


def test_calls_under_way_leave_the_loops_own_threads_to_others() -> None:
    async def call() -> None:
        transport = Waiting()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        client, _kept = await _client_of(transport)
        calls = [asyncio.ensure_future(client.c2b(**PAYMENT)) for _ in range(3)]
        try:
            # As a step of the records' store does.
            await asyncio.wait_for(asyncio.to_thread(lambda: None), 5)
            for _ in calls:
                assert await asyncio.to_thread(transport.came.acquire, timeout=5)
        finally:
            transport.go_on.set()
        await asyncio.gather(*calls)

    asyncio.run(call())


def test_what_is_late_by_the_time_that_its_thread_runs_is_not_sent() -> None:
    async def call() -> None:
        transport = Waiting()
        transport.go_on.set()
        client, _kept = await _client_of(transport)
        left = iter([5.0, 0.0])
        request = replace(client.prepare("c2b", **PAYMENT), time_left=lambda: next(left))
        with pytest.raises(GatewayUnavailable, match="its time was over") as late:
            await client.send(request)
        assert isinstance(late.value.__cause__, TooLate)
        assert transport.requests == []

    asyncio.run(call())


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_cancelled_call_says_whether_its_thread_had_begun(
    monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    run: list[Callable[[], object]] = []

    async def give_up() -> bool:
        transport = Waiting()
        client, _kept = await _client_of(transport)
        if not has_begun:
            monkeypatch.setattr(threading.Thread, "start", lambda thread: run.append(thread.run))
        sending = Sending()
        task = asyncio.ensure_future(client.send(client.prepare("c2b", **PAYMENT), sending=sending))
        while not (run or transport.requests):
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for late in run:
            late()
        transport.go_on.set()
        assert len(transport.requests) == has_begun
        return sending.begun

    assert asyncio.run(give_up()) is has_begun


def test_where_there_are_no_more_threads_surely_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def call() -> None:
        transport = Waiting()
        client, _kept = await _client_of(transport)

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(GatewayUnavailable, match="there is no thread"):
                await client.c2b(**PAYMENT)
        assert transport.requests == []

    asyncio.run(call())
