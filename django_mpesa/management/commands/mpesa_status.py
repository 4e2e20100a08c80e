"""`manage.py mpesa_status`: ask the gateway where a transaction stands."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_mpesa.management.account_command import AccountCommand
from mpesa_integrations.commands import ExitCode, show_status
from mpesa_integrations.core.payments.calls import Payments


class Command(AccountCommand):
    """Asks for one transaction, and moves its record on."""

    help = "Ask the gateway where a transaction stands; its record moves on by the answer."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add which transaction."""
        super().add_arguments(parser)
        parser.add_argument("reference", help="Third-party reference or transaction ID.")

    def run(self, payments: Payments[Any, Any], options: dict[str, Any]) -> ExitCode:
        """Ask, and show what is known now."""
        return show_status(payments, options["reference"], self.stdout.write)
