"""For a process of its own that sends queued payments, and prints its events."""

from __future__ import annotations

from pathlib import Path

from .worker import payments_at


def send_queued(kind: str, where: str, state_dir: Path) -> None:
    payments = payments_at(kind, where, state_dir)
    sender = payments.queue_sender(4)
    while sender.run_once() or sender.in_flight:
        sender.wait(5)
    sender.finish(timeout=60)
    payments.client.close()
