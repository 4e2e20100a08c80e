"""Whether a store's LISTEN hears, at once, that there is something to do for a worker."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.wakeups import Listener, Listening
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import accepted_payment, callback_body
from tests.support.waiting import until

from .backends import Backend

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "ORDER 7"}


def _listening(backend: Backend) -> Listening:
    found = backend.store().listen()
    if connection.vendor != "postgresql":
        assert found is None
        pytest.skip("only PostgreSQL says when rows were written")
    assert isinstance(found, Listening)
    return found


def test_a_callback_that_is_left_to_a_worker_is_heard_of(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    record = accepted_payment(payments, mpesa_simulator, **PAYMENT)
    listening = _listening(backend)
    try:
        assert not listening.wait(0.05)
        assert payments.receive(_body(record), apply=False)[0] == 200
        assert listening.wait(5)
        listening.drain()
        assert not listening.wait(0.05)
        # One that is applied at once wakes nobody.
        payments.apply_callbacks()
        assert payments.receive(_body(record))[0] == 200
    finally:
        listening.close()


def test_a_listener_connects_anew_and_looks_then(backend: Backend) -> None:
    _listening(backend).close()
    opened: list[Listening] = []
    rung = threading.Semaphore(0)

    def connect() -> Listening | None:
        opened.append(_listening(backend))
        return opened[-1]

    listener = Listener(connect, rung.release)
    listener.start()
    try:
        assert rung.acquire(timeout=5)
        assert listener.is_listening()
        backend.execute(_HANG_UP)
        assert rung.acquire(timeout=10)
        until(lambda: len(opened) > 1 and listener.is_listening())
    finally:
        listener.stop()
    assert not listener.is_listening()


_HANG_UP = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN%%' AND pid <> pg_backend_pid()
"""


def _body(record: Any) -> bytes:
    import json

    return json.dumps(callback_body(record)).encode()
