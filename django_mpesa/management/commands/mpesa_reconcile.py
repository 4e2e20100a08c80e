"""`manage.py mpesa_reconcile`: ask for the payments whose outcome is open."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_mpesa import mpesa
from mpesa_integrations.commands import ExitCode, exit_code_of, reconcile
from mpesa_integrations.core.errors import MpesaError


class Command(BaseCommand):
    """Asks the gateway what became of payments that are open, and moves their records on."""

    help = "Ask the gateway what became of payments whose outcome is open."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how often and how much."""
        often = parser.add_mutually_exclusive_group()
        often.add_argument("--every", type=float, help="Go on, with this many seconds between.")
        often.add_argument("--once", action="store_true", help="Do it once; the default.")
        parser.add_argument("--batch", type=int, default=100, help="Payments in memory at a time.")
        parser.add_argument("--workers", type=int, default=4, help="Questions at a time.")
        parser.add_argument(
            "--rate", type=float, help="Questions a second at the most, for each account."
        )
        parser.add_argument(
            "--now", action="store_true", help="Ask for those, too, that are not due yet."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until nothing is due, and again where that was asked for."""
        try:
            code = reconcile(
                mpesa,
                every=options["every"],
                batch=options["batch"],
                workers=options["workers"],
                rate=options["rate"],
                now=options["now"],
                echo=self.stdout.write,
            )
        except MpesaError as error:
            raise CommandError(str(error), returncode=exit_code_of(error)) from error
        if code is not ExitCode.OK:
            sys.exit(code)
