"""`manage.py mpesa_reconcile`: ask for the payments whose outcome is open."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_mpesa import mpesa


class Command(BaseCommand):
    """Asks the gateway what became of payments that are open, and moves their records on."""

    help = "Ask the gateway what became of payments whose outcome is open."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how often and how much."""
        parser.add_argument("--every", type=float, help="Go on, with this many seconds between.")
        parser.add_argument("--once", action="store_true", help="Do it once; the default.")
        parser.add_argument("--batch", type=int, default=100, help="Payments at a time.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until nothing is due, and again where that was asked for."""
        stop = threading.Event()
        if options["every"]:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            for alias in mpesa:
                self._reconcile(alias, options["batch"], stop)
            if not options["every"] or stop.wait(options["every"]):
                return

    def _reconcile(self, alias: str, batch: int, stop: threading.Event) -> None:
        total = 0
        while not stop.is_set():
            looked_at = mpesa[alias].reconcile(batch)
            total += looked_at
            if looked_at < batch:
                break
            self.stdout.write(f"{alias}: {total} so far")
        if total:
            self.stdout.write(f"{alias}: {total} looked at")
