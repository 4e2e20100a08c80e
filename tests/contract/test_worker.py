"""Workers over every store: processes of their own, killed, stopped, and two at once."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.callbacks import accepted_payment, callback_body
from tests.support.waiting import until

from .backends import Backend
from .conftest import StartProcess
from .processes import Process
from .test_queue import sent_to
from .working import serve

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "ORDER 7"}
LONG = 60
"""Seconds of `poll`, where it is not by polling that something is done."""
Start = Callable[..., Process]


pytestmark = pytest.mark.slow


@pytest.fixture
def health_file(tmp_path: Path) -> Path:
    return tmp_path / "health.json"


@pytest.fixture
def start(
    backend: Backend, state_dir: Path, health_file: Path, start_process: StartProcess
) -> Start:
    """Starts a worker, and waits until it has looked once; options as `WorkerOptions`."""

    def begin(*, file: Path = health_file, **options: Any) -> Process:
        settings = {"CALLBACK_TOKEN": TOKEN, "APPLY_CALLBACKS": "worker"}
        given = {"poll": 0.1, **options, "health_file": file}
        worker = start_process(serve, *backend.address(), state_dir, given, settings)
        until(lambda: file.exists() or not worker.running)
        assert worker.running, worker.printed()
        if connection.vendor == "postgresql":
            until(lambda: _health(file)["listening"])
        return worker

    return begin


def _health(file: Path) -> Any:
    return json.loads(file.read_text())


def _end(worker: Process) -> list[str]:
    worker.send(signal.SIGTERM)
    return worker.lines()


def _queue(payments: Payments[Any, Any], count: int = 1) -> list[str]:
    made = [payments.c2b(**PAYMENT, send="worker") for _ in range(count)]
    assert {record.state for record in made} == {"queued"}
    return [record.third_party_reference for record in made]


def _states(backend: Backend) -> list[str]:
    return [record.state for record in backend.records()]


def _arrived_at(simulator: Simulator) -> int:
    """How many payments have come to the gateway, answered or not."""
    return len(simulator.ledger.transactions())


def _left_to_a_worker(payments: Payments[Any, Any], simulator: Simulator) -> Any:
    record = accepted_payment(payments, simulator, **PAYMENT)
    assert payments.receive(json.dumps(callback_body(record)).encode(), apply=False)[0] == 200
    return record


def test_callbacks_are_decided_while_a_broken_account_is_tried_again(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start,
    health_file: Path,
) -> None:  # fmt: skip
    worker = start()
    record = _left_to_a_worker(payments, mpesa_simulator)
    until(lambda: _states(backend) == ["completed"])
    until(lambda: _health(health_file)["accounts"]["default"]["done"].get("callbacks") == 1)
    health = _health(health_file)
    assert health["ok"] is False
    assert health["accounts"]["default"]["problems"] == {}
    assert health["accounts"]["broken"]["problems"]["send"] == "ConfigurationError"
    lines = _end(worker)
    assert f"payment_completed:{record.third_party_reference}" in lines
    assert "ending, since SIGTERM came" in lines
    assert not health_file.exists()


def test_what_is_committed_is_done_at_once_where_the_database_says_so(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL says when rows were written")
    start(poll=LONG)
    _left_to_a_worker(payments, mpesa_simulator)
    began = time.monotonic()
    until(lambda: _states(backend) == ["completed"], seconds=LONG)
    assert time.monotonic() - began < LONG / 2
    _queue(payments)
    began = time.monotonic()
    until(lambda: set(_states(backend)) == {"pending", "completed"}, seconds=LONG)
    assert time.monotonic() - began < LONG / 2


def test_two_at_once_send_each_payment_once(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start,
    tmp_path: Path,
) -> None:  # fmt: skip
    workers = [start(file=tmp_path / f"{number}.json", concurrency=5) for number in range(2)]
    queued = _queue(payments, 20)
    until(lambda: set(_states(backend)) == {"completed"})
    assert sorted(sent_to(mpesa_simulator)) == sorted(queued)
    lines = [line for worker in workers for line in _end(worker)]
    completed = [line for line in lines if line.startswith("payment_completed:")]
    assert sorted(completed) == sorted(f"payment_completed:{each}" for each in queued)


def test_one_that_is_killed_loses_nothing_and_sends_nothing_twice(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start,
    tmp_path: Path,
) -> None:  # fmt: skip
    worker = start(concurrency=3)
    for _ in range(3):
        mpesa_simulator.scenarios.queue("slow", delay=3, operation="c2b")
    queued = _queue(payments, 6)
    until(lambda: _arrived_at(mpesa_simulator) == 3)
    worker.send(signal.SIGKILL)
    assert worker.exit_code() == -signal.SIGKILL
    assert sorted(_states(backend)) == ["initiated"] * 3 + ["queued"] * 3
    another = start(file=tmp_path / "another.json", concurrency=3)
    # Those that nobody had taken are sent; of the others the gateway is asked, once it is time.
    until(lambda: _states(backend).count("completed") == 3)
    assert _states(backend).count("initiated") == 3
    backend.make_due()
    until(lambda: "initiated" not in _states(backend))
    # The gateway lists a call whose caller is gone when its time is up.
    until(lambda: sorted(sent_to(mpesa_simulator)) == sorted(queued))
    _end(another)


def test_told_to_stop_it_ends_what_is_under_way_and_takes_nothing_new(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start
) -> None:
    worker = start(concurrency=2)
    for _ in range(2):
        mpesa_simulator.scenarios.queue("slow", delay=2, operation="c2b")
    queued = _queue(payments, 5)
    until(lambda: _arrived_at(mpesa_simulator) == 2)
    lines = _end(worker)
    assert sorted(_states(backend)) == ["completed"] * 2 + ["queued"] * 3
    assert len([line for line in lines if line.startswith("payment_completed:")]) == 2
    assert set(sent_to(mpesa_simulator)) <= set(queued)


def test_what_takes_too_long_is_left_and_asked_for(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start,
    tmp_path: Path,
) -> None:  # fmt: skip
    worker = start(stop_within=0.5)
    mpesa_simulator.scenarios.queue("slow", delay=60, operation="c2b")
    _queue(payments)
    until(lambda: _arrived_at(mpesa_simulator))
    began = time.monotonic()
    _end(worker)
    assert time.monotonic() - began < 45, "the gateway takes a minute"
    assert _states(backend) == ["unknown"], "it is written down, though the time is over"
    start(file=tmp_path / "another.json")
    backend.make_due()
    until(lambda: backend.records()[0].checks)
    assert _arrived_at(mpesa_simulator) == 1


def test_a_second_signal_ends_it_at_once(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start
) -> None:
    worker = start(stop_within=300)
    mpesa_simulator.scenarios.queue("slow", delay=60, operation="c2b")
    _queue(payments)
    until(lambda: _arrived_at(mpesa_simulator))
    worker.send(signal.SIGTERM)
    until(lambda: "ending, since SIGTERM came" in worker.printed())
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == -signal.SIGTERM


def test_a_database_that_was_away_is_waited_for(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start,
    health_file: Path,
) -> None:  # fmt: skip
    if connection.vendor != "postgresql":
        pytest.skip("of a file, nobody hangs up, and the other server is not the test's own")
    worker = start()
    with _nobody_may_connect():
        until(lambda: _health(health_file)["accounts"]["default"]["problems"])
        assert worker.running
    _queue(payments)
    until(lambda: _states(backend) == ["completed"], seconds=60)
    until(lambda: not _health(health_file)["accounts"]["default"]["problems"])
    until(lambda: _health(health_file)["listening"])


def test_the_health_file_says_how_it_is(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, start: Start,
    health_file: Path,
) -> None:  # fmt: skip
    start(concurrency=2)
    for _ in range(2):
        mpesa_simulator.scenarios.queue("slow", delay=60, operation="c2b")
    _queue(payments, 5)
    # What is under way is counted at once, and what was sent, when the look has ended.
    until(lambda: _health(health_file)["accounts"]["default"]["done"].get("sent") == 2)
    text = health_file.read_text()
    assert text.count("\n") == 1
    assert "2588" not in text
    found = json.loads(text)
    account = found["accounts"]["default"]
    assert (account["queued"], account["done"]["sent"]) == (3, 2)
    assert 0 <= account["oldest_queued"] <= 30
    assert 0 <= account["oldest_open"] <= 30
    assert set(found) == {"time", "ok", "problem", "started", "pid", "listening", "accounts"}
    first = found["time"]
    until(lambda: _health(health_file)["time"] != first)


@contextmanager
def _nobody_may_connect() -> Iterator[None]:
    """Have the server of the test's database hang up on all but this process, and take nobody."""
    import psycopg  # only where there is PostgreSQL

    settings = connection.settings_dict
    connection.ensure_connection()
    ours = connection.connection.info.backend_pid
    allowed = f'ALTER DATABASE "{settings["NAME"]}" ALLOW_CONNECTIONS {{}}'
    with psycopg.connect(
        host=settings["HOST"], user=settings["USER"], dbname="postgres", autocommit=True
    ) as server:
        server.execute(allowed.format("false"))
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND pid <> %s", [settings["NAME"], ours]
            )  # fmt: skip
            yield
        finally:
            server.execute(allowed.format("true"))
