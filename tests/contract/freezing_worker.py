"""A process of its own that sends queued payments, and stops itself on the way, the first time.

Whoever started it lets it go on (SIGCONT), as a laptop does that was closed meanwhile.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
import django

from mpesa_integrations.core.client.in_flight import InThreads
from mpesa_integrations.core.client.transport import _ProvesNotConnected
from mpesa_integrations.core.payments import queue_claims
from mpesa_integrations.core.payments.queue_claims import QueueClaim

CLAIM_HOLDS = 2.0
"""Seconds, in place of half a minute."""
_stops = [signal.SIGSTOP]
_step = threading.RLock()
"""Held by who works with the database: else SQLite's file may stay locked while all stand still."""


def _stop_once() -> None:
    with _step:
        if _stops:
            # To this thread, which else runs on until the others have stopped.
            signal.pthread_kill(threading.get_ident(), _stops.pop())


def _run_once(sender: Any) -> Any:
    with _step:
        return sender.run_once()


def main(kind: str, where: str, state_dir: str, at: str, by: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.settings"
    django.setup()
    from .worker import payments_at

    payments = payments_at(kind, where, Path(state_dir))
    sender = payments.queue_sender(4)
    if by == "threads":
        sender._calls = InThreads(payments.client)
    take = QueueClaim.take
    connect, connect_awaited = _ProvesNotConnected.connect, aiohttp.TCPConnector.connect

    def taken(claim: QueueClaim[Any, Any]) -> Any:
        found = take(claim)
        _stop_once()
        return found

    def connected(self: Any) -> None:
        connect(self)
        _stop_once()

    async def connected_in_loop(*args: Any, **kwargs: Any) -> Any:
        connection = await connect_awaited(*args, **kwargs)
        _stop_once()
        return connection

    stop: Any = {
        "claimed": lambda: patch.object(QueueClaim, "take", taken),
        "connected threads": lambda: patch.object(_ProvesNotConnected, "connect", connected),
        "connected loop": lambda: patch.object(aiohttp.TCPConnector, "connect", connected_in_loop),
    }["claimed" if at == "claimed" else f"connected {by}"]
    with stop(), patch.object(queue_claims, "FIRST_CHECK", timedelta(seconds=CLAIM_HOLDS)):
        while _run_once(sender) or sender.in_flight:
            sender.wait(5)
    sender.finish(timeout=60)
    payments.client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
