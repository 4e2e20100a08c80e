"""`manage.py mpesa_worker`: do all there is to do for the payments, until told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections, connections, reset_queries

from django_mpesa import mpesa
from mpesa_integrations.commands import exit_code_of, work
from mpesa_integrations.core.errors import MpesaError
from mpesa_integrations.worker.loops import Surroundings
from mpesa_integrations.worker.options import WorkerOptions
from mpesa_integrations.worker.run import Worker


class Command(BaseCommand):
    """Sends, asks, decides callbacks and dispatches events, as a process beside the site."""

    help = "Do all there is to do for the payments, until told to stop."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how much, and of which account."""
        chosen = WorkerOptions()
        parser.add_argument("--account", help="As named in MPESA; all of them, if left out.")
        parser.add_argument(
            "--concurrency", type=int, default=chosen.concurrency,
            help="Prompts on customers' phones at a time, for each account.",
        )  # fmt: skip
        parser.add_argument(
            "--rate", type=float, help="Calls a second at the most, for each account."
        )
        parser.add_argument(
            "--batch", type=int, default=chosen.batch, help="Records in memory at a time."
        )
        parser.add_argument(
            "--poll", type=float, default=chosen.poll, help="Seconds between two looks at the most."
        )
        parser.add_argument(
            "--stop-within", type=float, default=chosen.stop_within,
            help="Seconds for what is under way, once told to stop.",
        )  # fmt: skip
        parser.add_argument("--health-file", type=Path, help="Where to say how it is, as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until a signal."""
        names = WorkerOptions.__dataclass_fields__
        try:
            worker = Worker(
                mpesa,
                account=options["account"],
                options=WorkerOptions(**{name: options[name] for name in names}),
                around=Surroundings(at_rest=_at_rest, at_end=connections.close_all),
                echo=self._say,
            )
            code = work(worker)
        except MpesaError as error:
            raise CommandError(str(error), returncode=exit_code_of(error)) from error
        if code:
            sys.exit(code)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()  # it is the only line for days


def _at_rest() -> None:
    """Do what Django does at a request's end."""
    close_old_connections()
    reset_queries()
