"""What SIGINT and SIGTERM do while a command works: it ends in its own time, and none is lost."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def heeding(heed: Callable[[int, object], object]) -> Iterator[None]:
    """Have both signals heeded meanwhile, where signals come to this thread.

    Args:
        heed: called with the signal's number, in the middle of whatever this thread does. So it
            must wait for no lock, which this very thread may hold: an event's has one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, heed)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextlib.contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """Give an event that SIGINT or SIGTERM sets, where signals come to this thread."""
    stop = threading.Event()
    told: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def set_once_told() -> None:
        if told.get():
            stop.set()

    setting = threading.Thread(target=set_once_told, name="mpesa-signals", daemon=True)
    setting.start()
    try:
        with heeding(lambda *_: told.put(True)):
            yield stop
    finally:
        told.put(False)
        setting.join()
