"""What the commands about one account have in common: which account, and how they end."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_mpesa import mpesa
from mpesa_integrations.commands import ExitCode, exit_code_of
from mpesa_integrations.core.errors import MpesaError
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.redaction import forgetful


class AccountCommand(BaseCommand):
    """A command about one account's payments; errors and outcomes become exit codes."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add which account."""
        parser.add_argument("--account", default="default", help="As named in MPESA.")

    @forgetful  # a phone number is among the options
    def handle(self, *args: Any, **options: Any) -> None:
        """Run it; the exit codes are those of the `mpesa` command."""
        try:
            code = self.run(mpesa[options.pop("account")], options)
        except MpesaError as error:
            raise CommandError(str(error), returncode=exit_code_of(error)) from error
        if code is not ExitCode.OK:
            sys.exit(code)

    def run(self, payments: Payments[Any, Any], options: dict[str, Any]) -> ExitCode:
        """Do what the command is for."""
        raise NotImplementedError
