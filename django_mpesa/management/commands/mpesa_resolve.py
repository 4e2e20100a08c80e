"""`manage.py mpesa_resolve`: decide what became of a payment that the gateway does not tell of."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_mpesa.management.account_command import AccountCommand
from mpesa_integrations.commands import DECISIONS, ExitCode, resolve
from mpesa_integrations.core.payments.calls import Payments


class Command(AccountCommand):
    """Decides what became of a payment."""

    help = "Decide what became of a payment that the gateway does not tell of, or contradicted."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add which payment, and what is decided."""
        super().add_arguments(parser)
        parser.add_argument("reference", help="The payment's third-party reference.")
        parser.add_argument("state", choices=DECISIONS)
        parser.add_argument("--by", required=True, help="Who decides.")
        parser.add_argument("--note", required=True, help="On what grounds.")

    def run(self, payments: Payments[Any, Any], options: dict[str, Any]) -> ExitCode:
        """Decide, and show the record."""
        named = {name: options[name] for name in ("reference", "state", "by", "note")}
        return resolve(payments, **named, echo=self.stdout.write)
