"""Waiting for what another thread or process does, without knowing how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


def until(condition: Callable[[], object], *, seconds: float = 30) -> None:
    """Ask until it is so; fails the test if it is not by then."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def meanwhile(call: Callable[[], object], *, at_end: Callable[[], object]) -> Iterator[None]:
    """Do something in another thread, and wait for that at the end.

    Args:
        call: what is done.
        at_end: closes what the thread has opened.
    """

    def work() -> None:
        try:
            call()
        finally:
            at_end()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result()
