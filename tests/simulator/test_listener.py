"""What reaches the gateway besides well-behaved calls, and what it holds without a thread."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mpesa_integrations.simulator import Simulator, listener
from mpesa_integrations.simulator.application import Application
from mpesa_integrations.simulator.background import Background
from mpesa_integrations.simulator.calls import CallFilter
from tests.support.endpoint import listening
from tests.support.raw import PATHS, RawClient, new_reference
from tests.support.waiting import until

_HEAD = f"POST {PATHS['c2b'][2]} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
_TOO_LONG = b"x" * (1024 * 1024 + 1)


@contextmanager
def _connection(simulator: Simulator) -> Iterator[ssl.SSLSocket]:
    address = urlsplit(simulator.control_url)
    context = ssl.create_default_context(cafile=simulator.account.ca_file)
    with (
        socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=address.hostname) as secured,
    ):
        yield secured


def _closed(connection: ssl.SSLSocket) -> bool:
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", ["", "POST /ipg", _HEAD, f"{_HEAD}\r\n{{"])
def test_a_request_that_does_not_come_to_an_end_is_dropped(
    mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(listener, "_REQUEST_SECONDS", 0.2)
    with _connection(mpesa_simulator) as connection:
        connection.sendall(sent.encode())
        assert _closed(connection)
    assert mpesa_simulator.calls.select(CallFilter()) == []


def test_a_call_may_last_longer_than_a_request_may_take(
    mpesa_simulator: Simulator, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_REQUEST_SECONDS", 0.2)
    mpesa_simulator.scenarios.queue("slow", delay=0.5)
    assert raw.code("c2b") == "INS-0"
    time.sleep(0.3)  # idle, as between two calls of a shop: no request is under way
    assert raw.code("c2b") == "INS-0"


def test_what_is_no_request_is_answered_and_ends_nothing(
    mpesa_simulator: Simulator, raw: RawClient
) -> None:
    with _connection(mpesa_simulator) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    address = urlsplit(mpesa_simulator.control_url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert not plain.recv(1000).startswith(b"HTTP")
    assert raw.code("c2b") == "INS-0"


@pytest.mark.parametrize("path", [PATHS["c2b"][2], "/simulator/reset", "/portal/sign-in"])
def test_a_body_that_is_too_long_is_refused(raw: RawClient, path: str) -> None:
    answer = raw.session.post(raw.account.base_url + path, data=_TOO_LONG, timeout=10)
    assert answer.status_code == 413


def test_customers_wait_with_no_thread_each_in_asynchronous_mode_too(
    mpesa_simulator: Simulator, raw: RawClient, tmp_path: Path
) -> None:
    count = 40  # more than callbacks have threads
    with listening(tmp_path) as endpoint:
        mpesa_simulator.response_url = endpoint.url
        mpesa_simulator.auto_approve = False
        threads = threading.active_count()
        references = [new_reference() for _ in range(count)]
        for reference in references:
            assert raw.code("c2b", input_ThirdPartyReference=reference) == "INS-0"
            mpesa_simulator.phones.wait(reference)
        assert threading.active_count() - threads < 20
        for prompt in mpesa_simulator.phones.waiting:
            mpesa_simulator.phones.approve(prompt.transaction.conversation_id)
        mpesa_simulator.callbacks.drain()
        delivered = {body["input_ThirdPartyReference"] for body in endpoint.bodies}
        assert delivered == set(references)
        mpesa_simulator.reset()


def test_stopping_ends_many_prompts_and_gives_up_their_callbacks(
    state_dir: Path, tmp_path: Path
) -> None:
    with listening(tmp_path) as endpoint, Simulator(state_dir) as simulator:
        simulator.response_url = endpoint.url
        simulator.auto_approve = False
        raw = RawClient(simulator)
        for _ in range(50):
            raw.code("c2b")
        raw.session.close()
        started = time.monotonic()
        simulator.stop()
        assert time.monotonic() - started < 10
        assert endpoint.bodies == []


def test_what_is_stopped_before_it_serves_leaves_nothing_open(mpesa_simulator: Simulator) -> None:
    background, busy = Background(), threading.Event()
    background.start()
    background.call(busy.wait)  # so that the server's start and its stop come together
    started = listener.Listener(
        Application(mpesa_simulator, mpesa_simulator._portal),
        background,
        host="127.0.0.1",
        ports=[0],
        certificate=mpesa_simulator._certificate,
    )
    stopping = threading.Thread(target=started.stop)
    stopping.start()
    until(lambda: started._server.should_exit)
    busy.set()
    stopping.join(timeout=10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", started.ports[0]), timeout=10).close()
    background.stop()
