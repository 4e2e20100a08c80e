"""What only the asynchronous client has: tasks that are cancelled, hundreds at once, event loops.

That it answers as the blocking one does is tested with that one, by the fixture `client_of`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mpesa_integrations import (
    AsyncMpesaClient,
    ConfigurationError,
    GatewayUnavailable,
    HttpRequest,
    HttpResponse,
    Kind,
    MpesaClient,
    OutcomeUnknown,
    Sending,
)
from mpesa_integrations.core.client import attempts

from .conftest import make_config
from .faulty import FaultyServer, answer, faulty_server, reset
from .test_transport import PAYMENT, SUCCESS

pytest.importorskip("aiohttp", reason="needs the extra async")


def _client(port: int, **changes: Any) -> AsyncMpesaClient:
    settings = {"host": "127.0.0.1", "port": port, "ssl": False, "retries": 0, **changes}
    return AsyncMpesaClient(make_config(**settings))


def _answering(connection: socket.socket, server: FaultyServer) -> None:
    while True:
        server.read_request(connection)
        connection.sendall(answer(SUCCESS))


def _never_answering(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)
    server.stopping.wait(10)


async def _eventually(condition: Callable[[], object]) -> None:
    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(poll(), 10)


@pytest.fixture
def durations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the histogram is given, by operation and kind."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(
        attempts, "note_duration", lambda operation, kind, _: found.append((operation, kind))
    )
    return found


def test_cancelled_once_a_byte_may_have_left_is_an_unknown_outcome_in_the_log(
    caplog: pytest.LogCaptureFixture, durations: list[tuple[str, str]]
) -> None:
    async def give_up(server: FaultyServer) -> None:
        async with _client(server.port, retries=3) as client:
            task = asyncio.create_task(client.c2b(**PAYMENT, third_party_reference="GIVENUP1"))
            await _eventually(lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()

    with faulty_server(_never_answering) as server:
        asyncio.run(give_up(server))
        assert (server.connections, len(server.requests)) == (1, 1)
    (record,) = [r for r in caplog.records if "call.cancelled" in r.getMessage()]
    assert record.levelno == logging.WARNING
    for words in ("operation=c2b", "third_party_reference=GIVENUP1", "outcome=unknown"):
        assert words in record.getMessage()
    assert durations == [("c2b", "no_answer")]


def test_a_time_limit_around_a_call_is_such_a_cancellation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def wait(server: FaultyServer) -> None:
        async with _client(server.port, timeout=(5, 30)) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.c2b(**PAYMENT), 0.3)

    with faulty_server(_never_answering) as server:
        asyncio.run(wait(server))
    assert "outcome=unknown" in caplog.text


def test_a_question_that_is_cancelled_leaves_nothing_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def give_up(server: FaultyServer) -> None:
        async with _client(server.port) as client:
            task = asyncio.create_task(client.query_customer_name(msisdn="841234567"))
            await _eventually(lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with faulty_server(_never_answering) as server:
        asyncio.run(give_up(server))
    assert "outcome=not_read" in caplog.text
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_cancelled_while_it_connects_was_surely_not_sent(
    caplog: pytest.LogCaptureFixture, durations: list[tuple[str, str]]
) -> None:
    async def give_up(server: FaultyServer) -> None:
        # A proxy that opens no tunnel: what it was sent is no byte of the request.
        proxy = f"http://127.0.0.1:{server.port}"
        async with _client(1, ssl=True, proxy=proxy, timeout=(10, 10)) as client:
            task = asyncio.create_task(client.c2b(**PAYMENT))
            await _eventually(lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with faulty_server(_never_answering) as server:
        asyncio.run(give_up(server))
    assert "outcome=not_accepted" in caplog.text
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert durations == []


def test_cancelled_between_two_attempts_was_surely_not_accepted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    busy = b'{"output_ResponseCode": "INS-16", "output_ResponseDesc": "busy"}'

    class Busy:
        calls = 0

        async def send(self, request: HttpRequest, sending: Sending) -> HttpResponse:
            self.calls += 1
            return HttpResponse(503, busy)

        async def aclose(self) -> None:
            pass

    async def give_up() -> None:
        transport = Busy()
        client = AsyncMpesaClient(make_config(retries=9), transport=transport)
        task = asyncio.create_task(client.c2b(**PAYMENT))
        await _eventually(lambda: transport.calls == 2)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert "outcome=not_accepted" in caplog.text


def test_of_a_transport_that_says_nothing_nothing_is_assumed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Silent:
        async def send(self, request: HttpRequest, sending: Sending) -> HttpResponse:
            raise asyncio.CancelledError

        async def aclose(self) -> None:
            pass

    async def call() -> None:
        await AsyncMpesaClient(make_config(), transport=Silent()).c2b(**PAYMENT)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call())
    assert "outcome=unknown" in caplog.text


def test_cancelled_as_its_answer_is_whole_a_call_leaves_its_connection_to_the_next() -> None:
    go_on = threading.Event()

    def in_two_parts(connection: socket.socket, server: FaultyServer) -> None:
        whole = answer(SUCCESS)
        while True:
            server.read_request(connection)
            connection.sendall(whole[:-10])
            assert go_on.wait(10)
            connection.sendall(whole[-10:])

    async def pay_twice(server: FaultyServer) -> None:
        async with _client(server.port) as client:
            transport: Any = client._transport
            first = asyncio.create_task(client.c2b(**PAYMENT))
            await _eventually(lambda: server.requests)
            await asyncio.sleep(0.05)  # for the part to have come
            go_on.set()
            pool = transport._session.connector._conns
            while not any(pool.values()) and not first.done():
                await asyncio.sleep(0)
            assert not first.done(), "its connection is in the pool, and it is yet to run on"
            first.cancel()
            assert (await client.c2b(**PAYMENT)).kind is Kind.SUCCESS
            with pytest.raises(asyncio.CancelledError):
                await first

    with faulty_server(in_two_parts) as server:
        asyncio.run(pay_twice(server))
    assert (server.connections, len(server.requests)) == (1, 2)


def test_one_call_that_breaks_or_is_cancelled_takes_no_other_with_it() -> None:
    def by_reference(connection: socket.socket, server: FaultyServer) -> None:
        while True:
            body = server.read_request(connection)
            if b"BREAKS" in body:
                reset(connection)
                return
            if b"GIVENUP" in body:
                server.stopping.wait(10)
                return
            connection.sendall(answer(SUCCESS))

    async def calls(server: FaultyServer) -> list[Any]:
        async with _client(server.port, timeout=(5, 10)) as client:

            def pay(reference: str) -> asyncio.Task[Any]:
                call = client.c2b(**PAYMENT, third_party_reference=reference)
                return asyncio.create_task(call)

            good = [pay(f"GOOD{number}") for number in range(10)]
            breaks = [pay(f"BREAKS{number}") for number in range(5)]
            given_up = [pay(f"GIVENUP{number}") for number in range(5)]
            await _eventually(lambda: sum(b"GIVENUP" in r for r in server.requests) == 5)
            for task in given_up:
                task.cancel()
            return await asyncio.gather(*good, *breaks, *given_up, return_exceptions=True)

    with faulty_server(by_reference) as server:
        found = asyncio.run(calls(server))
    assert [one.kind for one in found[:10]] == [Kind.SUCCESS] * 10
    assert {type(one) for one in found[10:15]} == {OutcomeUnknown}
    assert {type(one) for one in found[15:]} == {asyncio.CancelledError}


@pytest.mark.slow
def test_500_calls_wait_for_their_answers_at_once() -> None:
    """A customer takes a minute for the PIN: none of them may wait for another's connection."""

    async def run() -> list[Any]:
        everybody = asyncio.Event()
        arrived = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal arrived
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = [line.split(b":")[1] for line in head.lower().split(b"\r\n")
                         if line.startswith(b"content-length")]  # fmt: skip
            await reader.readexactly(int(length))
            arrived += 1
            if arrived == 500:
                everybody.set()
            await everybody.wait()
            writer.write(answer(SUCCESS))
            await writer.drain()
            writer.close()

        gateway = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=500)
        port = gateway.sockets[0].getsockname()[1]
        async with gateway, _client(port, timeout=(60, 60)) as client:
            calls = [client.c2b(**PAYMENT) for _ in range(500)]
            return list(await asyncio.gather(*calls))

    results = asyncio.run(run())
    assert {result.kind for result in results} == {Kind.SUCCESS}
    assert len({result.third_party_reference for result in results}) == 500


def test_another_event_loop_is_told_so_before_anything_is_sent() -> None:
    with faulty_server(_answering) as server:
        first = asyncio.new_event_loop()
        client = _client(server.port)
        first.run_until_complete(client.c2b(**PAYMENT))
        for call in (lambda: client.c2b(**PAYMENT), client.aclose):
            with pytest.raises(ConfigurationError, match="one per event loop"):
                asyncio.run(_run(call))
        assert len(server.requests) == 1
        first.run_until_complete(client.aclose())
        first.close()
        # Closed, it is free for another.
        asyncio.run(_run(lambda: _pay_and_close(client)))
        assert len(server.requests) == 2


async def _run(call: Callable[[], Awaitable[object]]) -> None:
    await call()


async def _pay_and_close(client: AsyncMpesaClient) -> None:
    assert (await client.c2b(**PAYMENT)).kind is Kind.SUCCESS
    await client.aclose()


def test_a_forked_process_does_not_share_its_parents_connection() -> None:
    with faulty_server(_answering) as server:
        loop = asyncio.new_event_loop()
        client = _client(server.port)
        loop.run_until_complete(client.c2b(**PAYMENT))
        child = os.fork()
        if child == 0:
            asyncio.run(_pay_and_close(client))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert server.connections == 2
        loop.run_until_complete(_pay_and_close(client))
        assert server.connections == 2
        loop.close()


def test_an_attempt_has_an_end_whatever_drips() -> None:
    def drip_headers(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server.stopping.wait(0.05):
            connection.sendall(b"X: y\r\n")

    async def call(server: FaultyServer) -> None:
        async with _client(server.port, timeout=(0.5, 0.3)) as client:
            started = time.monotonic()
            with pytest.raises(OutcomeUnknown):
                await client.c2b(**PAYMENT)
            assert time.monotonic() - started < client.longest_call.total_seconds() + 20

    with faulty_server(drip_headers) as server:
        asyncio.run(call(server))


def test_without_aiohttp_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mpesa_integrations.core.client.aiohttp_transport", False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mpesa-integrations\[async\]'"):
        AsyncMpesaClient(make_config())


@pytest.mark.slow
def test_who_does_not_await_imports_nothing_for_it() -> None:
    program = (
        "import sys, mpesa_integrations as m; m.MpesaClient; "
        "print({'asyncio', 'aiohttp', 'httpx'} & set(sys.modules)); "
        "m.AsyncMpesaClient; print({'aiohttp', 'httpx'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.split("\n")[:2] == ["set()", "set()"]


def test_both_clients_have_the_same_calls() -> None:
    def calls(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")} - {"close", "aclose"}

    assert calls(AsyncMpesaClient) == calls(MpesaClient)


def test_a_refusal_is_tried_again_after_a_pause_that_blocks_no_other_task() -> None:
    async def call() -> int:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.02)
                ticks += 1

        other = asyncio.create_task(tick())
        async with _client(port, retries=2) as client:
            with pytest.raises(GatewayUnavailable, match="was refused"):
                await client.c2b(**PAYMENT)
        other.cancel()
        return ticks

    assert asyncio.run(call()) > 5
