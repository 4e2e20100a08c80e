"""What is particular to calls that are awaited: cancelling, event loops, threads, and the extra."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import socket
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from mpesa_integrations import ConfigurationError, RequestsTransport
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.records import OutboxEntry
from mpesa_integrations.simulator import Simulator
from tests.core.faulty import FaultyServer, faulty_server, paid_answer
from tests.support.awaited import cancel_during

from .backends import Backend
from .conftest import Heard, MakePayments
from .test_payments import PAYMENT

PAYMENT_OF_AN_ORDER = {**PAYMENT, "order": "ORDER-7"}


def test_each_twin_takes_what_its_blocking_call_takes() -> None:
    names = {name for name in vars(Payments) if hasattr(Payments, f"a{name}")}
    assert names >= {"c2b", "b2c", "b2b", "reverse", "check", "attempts", "paid", "standing"}
    for name in names:
        blocking, twin = getattr(Payments, name), getattr(Payments, f"a{name}")
        assert inspect.iscoroutinefunction(twin)
        assert inspect.signature(twin) == inspect.signature(blocking)
        assert name in (twin.__doc__ or "")


async def _eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def _holding(connection: socket.socket, server: FaultyServer) -> None:
    """A gateway that has the request, and never answers."""
    server.read_request(connection)
    server.stopping.wait(30)


def _of(make_payments: MakePayments, port: int, **settings: Any) -> Payments[Any, Any]:
    return make_payments(**{"host": "127.0.0.1", "port": port, "ssl": False, **settings})


async def _cancelled(call: Awaitable[Any], when: Callable[[], object]) -> None:
    """Cancel a call once something is so, and see that the cancellation goes on."""
    task = asyncio.ensure_future(call)
    await _eventually(when)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("operation", ["ac2b", "areverse"])
def test_cancelled_once_a_byte_may_have_left_it_is_unknown_at_once(
    payments: Payments[Any, Any], make_payments: MakePayments, backend: Backend, heard: Heard,
    mpesa_simulator: Simulator, operation: str,
) -> None:  # fmt: skip
    paid = payments.c2b(**PAYMENT)
    given = PAYMENT if operation == "ac2b" else {"payment": paid}
    with faulty_server(_holding) as server:
        cut_off = _of(make_payments, server.port)

        async def pay() -> Any:
            await _cancelled(getattr(cut_off, operation)(**given), lambda: server.requests)
            return await cut_off.store.in_thread(lambda: backend.records()[-1])

        record = backend.run(pay())
        assert len(server.requests) == 1
    assert record.state == "unknown"
    assert record.response_description == "Cancelled while the answer was waited for"
    assert heard.names[-1].endswith("unknown")
    assert record.next_check_at is not None


def test_cancelled_while_no_connection_comes_about_nothing_was_sent(
    make_payments: MakePayments, backend: Backend
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    payments = _of(make_payments, port, retries=10)

    async def pay() -> None:
        task = asyncio.ensure_future(payments.ac2b(**PAYMENT_OF_AN_ORDER))
        while not await payments.store.in_thread(backend.records):
            pass
        await _cancelled(task, lambda: True)

    backend.run(pay())
    (record,) = backend.records()
    assert (record.state, record.may_retry) == ("failed", True)
    assert record.response_description == "Cancelled before it was sent"


@contextmanager
def _paused(store: Any, method: str) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Have a method of the store begin, and go on when it is told to."""
    begun, go_on = threading.Event(), threading.Event()
    original = getattr(store, method)

    def paused(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return original(*args, **kwargs)

    vars(store)[method] = paused
    yield begun, go_on
    del vars(store)[method]


def test_a_check_that_is_cancelled_while_its_answer_is_written_is_written_to_the_end(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue("cut_after")
    record = payments.c2b(**PAYMENT)
    asking = partial(payments.acheck, record)
    backend.run(cancel_during(monkeypatch, payments._checks, "answered", asking))
    assert [kept.state for kept in backend.records()] == ["completed"]


@pytest.mark.parametrize(("method", "state"), [("create", "failed"), ("change", "completed")])
def test_cancelled_while_it_is_written_down_it_is_written_down_to_the_end(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, method: str,
    state: str,
) -> None:  # fmt: skip
    with _paused(payments.store, method) as (begun, go_on):

        async def pay() -> None:
            task = asyncio.ensure_future(payments.ac2b(**PAYMENT))
            await _eventually(begun.is_set)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
            assert not task.done()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task

        backend.run(pay())
    (record,) = backend.records()
    assert record.state == state
    assert len(mpesa_simulator.ledger.transactions()) == (1 if state == "completed" else 0)


def test_what_is_under_way_when_the_loop_ends_is_recorded(
    make_payments: MakePayments, backend: Backend
) -> None:
    """As where a server shuts down: asyncio.run cancels all tasks that are left."""
    under_way: set[asyncio.Future[Any]] = set()
    with faulty_server(_holding) as server:
        payments = _of(make_payments, server.port)

        async def begin() -> None:
            under_way.update(asyncio.ensure_future(payments.ac2b(**PAYMENT)) for _ in range(5))
            await _eventually(lambda: len(server.requests) == 5)

        backend.run(begin())
    assert [record.state for record in backend.records()] == ["unknown"] * 5


def test_a_time_out_of_the_callers_own_leaves_the_payment_unknown(
    make_payments: MakePayments, backend: Backend
) -> None:
    with faulty_server(_holding) as server:
        payments = _of(make_payments, server.port)

        async def pay() -> None:
            call = asyncio.ensure_future(payments.ac2b(**PAYMENT))
            await _eventually(lambda: server.requests)
            with pytest.raises((TimeoutError, asyncio.TimeoutError)):
                await asyncio.wait_for(call, timeout=0.05)

        backend.run(pay())
    assert [record.state for record in backend.records()] == ["unknown"]


def _cut(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)


def _half(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)
    connection.sendall(paid_answer(1)[:-5])


def _refused(connection: socket.socket, server: FaultyServer) -> None:
    """A port that nobody listens on."""


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [(_refused, "failed"), (_cut, "unknown"), (_half, "unknown"), (_holding, "unknown")],
)
def test_each_fault_is_recorded_as_the_blocking_call_records_it(
    make_payments: MakePayments, backend: Backend, heard: Heard, behaviour: Any, state: str
) -> None:
    with faulty_server(behaviour) as server:
        if behaviour is _refused:
            server.close()
        payments = _of(make_payments, server.port, timeout=(0.5, 0.5), retries=1)
        payments.c2b(**PAYMENT)
        backend.run(payments.ac2b(**PAYMENT))
    blocking, awaited = backend.records()
    assert blocking.state == state
    for column in ("state", "response_code", "conversation_id", "transaction_id"):
        assert getattr(awaited, column) == getattr(blocking, column)
    assert (awaited.next_check_at is None) == (blocking.next_check_at is None)
    assert heard.names == ["initiated", state] * 2


def test_what_breaks_outside_the_library_is_an_outcome_unknown(
    make_payments: MakePayments, backend: Backend
) -> None:
    class Broken(RequestsTransport):
        def send(self, request: Any) -> Any:
            raise ZeroDivisionError

    payments = make_payments(transport=Broken())
    record = backend.run(payments.ac2b(**PAYMENT))
    assert (record.state, record.response_description) == ("unknown", "Interrupted by an error")


def test_without_the_extra_nothing_is_recorded(
    payments: Payments[Any, Any], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "mpesa_integrations.core.client.aiohttp_transport", False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigurationError, match=r"mpesa-integrations\[async\]"):
        backend.run(payments.ac2b(**PAYMENT))
    assert backend.records() == []


def test_with_a_transport_of_ones_own_the_extra_is_not_needed(
    make_payments: MakePayments, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "mpesa_integrations.core.client.aiohttp_transport", False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    payments = make_payments(transport=RequestsTransport())

    async def calls() -> Any:
        paid = await payments.ac2b(**PAYMENT)
        status = await payments.aquery_transaction_status(query_reference=paid.transaction_id)
        return paid, status, await payments.acheck(paid)

    paid, status, checked = backend.run(calls())
    assert (paid.state, status.transaction_status, checked.pk) == (
        "completed",
        "Completed",
        paid.pk,
    )


def test_each_event_loop_has_a_client_that_is_closed_with_it(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    clients = payments._async_sender.clients
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(3):
            assert backend.run(payments.ac2b(**PAYMENT, order=number)).state == "completed"
            assert clients._kept == {}
        gc.collect()


def test_closed_in_the_middle_its_loop_closes_it_and_makes_another(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    clients = payments._async_sender.clients

    async def calls() -> None:
        first = await clients.of_running_loop()
        assert await clients.of_running_loop() is first
        await payments.ac2b(**PAYMENT)
        session: Any = first._transport._session  # type: ignore[attr-defined]
        assert not session.closed
        payments.close()
        await _eventually(lambda: session.closed)
        assert await clients.of_running_loop() is not first
        await payments.ac2b(**PAYMENT)

    backend.run(calls())
    assert [record.state for record in backend.records()] == ["completed"] * 2
    assert clients._kept == {}


def test_a_renewed_key_is_used_from_the_next_call_on(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    async def calls() -> list[str]:
        good = await payments.ac2b(**PAYMENT)
        payments.client.renew(api_key="wrong")
        return [good.state, (await payments.ac2b(**PAYMENT)).response_code]

    assert backend.run(calls()) == ["completed", "INS-2"]


def test_many_customers_hold_no_thread_each(
    make_payments: MakePayments, backend: Backend, heard: Heard
) -> None:
    customers = 40
    everybody = threading.Event()
    numbers = itertools.count(1)

    def together(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        number = next(numbers)
        if number == customers:
            everybody.set()
        everybody.wait(30)
        connection.sendall(paid_answer(number))

    ours: list[int] = []
    with faulty_server(together) as server:
        payments = _of(make_payments, server.port, timeout=(30, 30))

        async def pay() -> list[Any]:
            calls = [payments.ac2b(**PAYMENT, order=number) for number in range(customers)]
            tasks = asyncio.gather(*calls)
            await _eventually(everybody.is_set)
            names = [thread.name for thread in threading.enumerate()]
            ours.append(sum("asyncio" in name or "Pool" in name for name in names))
            return list(await tasks)

        records = backend.run(pay())
    assert len({record.pk for record in records}) == customers
    assert {record.state for record in records} == {"completed"}
    assert ours[0] <= 34  # those that asyncio has for all of its work
    assert len(heard.names) == 2 * customers


def test_a_receiver_that_is_slow_holds_up_no_other_payment(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receivers run in the step's thread; the loop goes on."""
    ticks: list[int] = []
    notify = heard.notify
    released = threading.Event()

    def slow(entry: OutboxEntry, record: Any, dispatched: Callable[[], None]) -> None:
        assert released.wait(20)
        notify(entry, record, dispatched)

    monkeypatch.setattr(heard, "notify", slow)

    async def pay() -> Any:
        task = asyncio.ensure_future(payments.ac2b(**PAYMENT))
        for tick in range(20):
            ticks.append(tick)
            await asyncio.sleep(0.001)
        released.set()
        return await task

    assert backend.run(pay()).state == "completed"
    assert len(ticks) == 20
