"""`manage.py mpesa_check`: are the accounts' settings right, and does the gateway take them?"""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_mpesa import mpesa
from django_mpesa.login_walls import why_kept_out
from mpesa_integrations.commands import ExitCode, check_accounts, exit_code_of
from mpesa_integrations.core.errors import ConfigurationError, MpesaError


class Command(BaseCommand):
    """Checks all accounts."""

    help = "Check the accounts' settings, and ask the gateway a harmless question with each."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add whether to ask."""
        parser.add_argument("--offline", action="store_true", help="Send nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what is wrong; exit code 1 if anything is."""
        try:
            code = check_accounts(
                mpesa,
                in_production=not settings.DEBUG,
                offline=options["offline"],
                echo=self.stdout.write,
            )
            problem = _kept_out()
        except MpesaError as error:
            raise CommandError(str(error), returncode=exit_code_of(error)) from error
        if problem is not None:
            self.stdout.write(f"problem  callbacks: {problem}")
        if code or problem:
            sys.exit(code or ExitCode.PROBLEM)


def _kept_out() -> str | None:
    """Why callbacks would not come through, if they would not."""
    try:
        return why_kept_out(mpesa)
    except ConfigurationError as error:
        return str(error)
