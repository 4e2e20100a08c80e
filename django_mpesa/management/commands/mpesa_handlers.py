"""`manage.py mpesa_handlers`: which handlers are still to be run, and run them again."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_mpesa import mpesa
from mpesa_integrations.commands import exit_code_of, run_handlers_again, show_handlers
from mpesa_integrations.core.errors import MpesaError


class Command(BaseCommand):
    """Lists handlers that are still to be run, or runs them again."""

    help = "List the handlers that are still to be run, or run some of them again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add which are to be run."""
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--run-again", metavar="ID", help="Run this one, as it is listed.")
        which.add_argument("--all", action="store_true", help="Run all that wait for a person.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print them; exit code 1 if one needs a person, or was not done."""
        try:
            if options["all"] or options["run_again"]:
                code = run_handlers_again(mpesa, options["run_again"], self.stdout.write)
            else:
                code = show_handlers(mpesa, self.stdout.write)
        except MpesaError as error:
            raise CommandError(str(error), returncode=exit_code_of(error)) from error
        if code:
            sys.exit(code)
