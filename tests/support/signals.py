"""Signals that come while a test's own process is at work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .waiting import until


@contextmanager
def sigterm_once(condition: Callable[[], object]) -> Iterator[None]:
    """Send SIGTERM to this process as soon as something is so."""

    def wait() -> None:
        until(condition)
        os.kill(os.getpid(), signal.SIGTERM)

    waiting = threading.Thread(target=wait)
    waiting.start()
    yield
    waiting.join()
