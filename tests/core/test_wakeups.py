"""A listener over a connection of the test's own: what it hears is always told on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mpesa_integrations.core.payments import wakeups
from mpesa_integrations.core.payments.wakeups import Listener
from tests.support.waiting import until


class Quiet:
    """A connection on which nothing comes, but for what a driver reads while it is asked."""

    def __init__(self) -> None:
        self.drained = threading.Event()
        self.goes_on = threading.Semaphore(0)

    def wait(self, seconds: float) -> bool:
        self.goes_on.acquire(timeout=30)
        return False

    def drain(self) -> None:
        self.drained.set()

    def close(self) -> None:
        pass


def test_what_comes_while_a_connection_is_asked_whether_it_is_there_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeups, "_IDLE", -1.0)
    quiet: Any = Quiet()
    rung: list[bool] = []
    listener = Listener(lambda: quiet, lambda: rung.append(quiet.drained.is_set()))
    listener.start()
    try:
        until(lambda: rung == [False])
        quiet.goes_on.release()
        until(lambda: True in rung, seconds=5)
    finally:
        quiet.goes_on.release(100)
        listener.stop()
