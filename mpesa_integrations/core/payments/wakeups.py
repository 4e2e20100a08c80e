"""How a worker hears at once of what was committed: by LISTEN, on a connection of its own.

What is heard says only that there may be something to do; the rows say what. So where a database
is not PostgreSQL, or something between drops what it says, a worker that looks now and then
is late, and misses nothing. Who says it is the stores, in the transaction that writes the row.
"""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any

from ..failures import log_failure
from .schedule import jittered

logger: logging.Logger = logging.getLogger("mpesa_integrations")

CHANNEL = "mpesa_integrations"
"""Of NOTIFY and LISTEN; what is sent along is the account's name."""
LISTEN = f"LISTEN {CHANNEL}"
_SLICE = 0.5
"""Seconds after which a listener looks whether it is to end."""
_IDLE = 30.0
"""Seconds after which a connection on which nothing came is asked whether it is still there."""
_LONGEST_PAUSE = 30.0
"""Seconds between two tries to connect, at the most."""


class Listening:
    """A connection to the database on which LISTEN was executed.

    Args:
        connection: the driver's, as PEP 249 says, with autocommit; its `fileno()` is its socket's.
        close: closes it.
    """

    def __init__(self, connection: Any, close: Callable[[], object]) -> None:
        self._connection = connection
        self._socket: int = connection.fileno()
        self.close = close
        if hasattr(connection, "add_notify_handler"):
            connection.add_notify_handler(_ignore)  # psycopg 3 else keeps them all

    def wait(self, seconds: float) -> bool:
        """Wait until something comes, so long at the most; whether it did."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return bool(selector.select(seconds))

    def drain(self) -> None:
        """Have the driver read what came; what it raises says that the server hung up."""
        cursor = self._connection.cursor()
        try:
            cursor.execute("SELECT 1")
            cursor.fetchall()
        finally:
            cursor.close()
        kept = getattr(self._connection, "notifies", None)
        if isinstance(kept, list):
            kept.clear()  # so does psycopg2


def can_listen(connection: Any) -> bool:
    """Whether a driver's connection shows its socket; not all do."""
    try:
        return isinstance(connection.fileno(), int)
    except Exception:  # noqa: BLE001 - whatever a driver has in its place
        return False


def _ignore(notify: object) -> None:
    pass


class Listener:
    """A thread that rings whenever something was heard, and connects anew by itself.

    Args:
        connect: gives a connection that listens, as `Store.listen`; None ends the thread, since
            the database has none.
        ring: called when something was heard, and after each connecting: what was said before,
            nobody heard.
    """

    def __init__(self, connect: Callable[[], Listening | None], ring: Callable[[], object]) -> None:
        self._connect = connect
        self._ring = ring
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mpesa-listen", daemon=True)
        self._listening = False

    def is_listening(self) -> bool:
        """Whether there is a connection that listens, as far as is known."""
        return self._listening

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, and close the connection."""
        self._stop.set()
        self._thread.join(5 * _SLICE)

    def _run(self) -> None:
        pause = 0.5
        while not self._stop.is_set():
            try:
                listening = self._connect()
                if listening is None:
                    return
                pause = 0.5
                self._listen(listening)
            except Exception as error:  # noqa: BLE001 - whatever a database or a setting does
                log_failure("worker.not_listening", error)
                self._stop.wait(jittered(pause))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _listen(self, listening: Listening) -> None:
        try:
            self._listening = True
            self._ring()
            asked = time.monotonic()
            while not self._stop.is_set():
                if listening.wait(_SLICE) or time.monotonic() - asked > _IDLE:
                    # Before the ring: an end of the connection is heard, too, and of what comes
                    # while the server is asked nothing is to be heard later.
                    listening.drain()
                    asked = time.monotonic()
                    self._ring()
        finally:
            self._listening = False
            listening.close()
