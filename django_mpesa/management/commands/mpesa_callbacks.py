"""`manage.py mpesa_callbacks`: which callbacks are of no payment, and have one applied again."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_mpesa import mpesa
from mpesa_integrations.commands import apply_callback_again, exit_code_of, show_callbacks
from mpesa_integrations.core.errors import MpesaError


class Command(BaseCommand):
    """Lists callbacks that are of no payment or could not be applied, or applies one again."""

    help = "List the callbacks that are of no payment or could not be applied, or apply one again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add which is to be applied."""
        text = "Apply this one, as it is listed."
        parser.add_argument("--apply-again", type=int, metavar="ID", help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print them; exit code 1 if there is one, or if it is still of no payment."""
        try:
            if options["apply_again"] is not None:
                code = apply_callback_again(mpesa, options["apply_again"], self.stdout.write)
            else:
                code = show_callbacks(mpesa, self.stdout.write)
        except MpesaError as error:
            raise CommandError(str(error), returncode=exit_code_of(error)) from error
        if code:
            sys.exit(code)
