"""`manage.py mpesa_reverse`: give a recorded payment's money back."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_mpesa.management.account_command import AccountCommand
from mpesa_integrations.commands import ExitCode, pay
from mpesa_integrations.core.payments.calls import Payments

_ARGUMENTS = ("transaction_id", "amount", "idempotency_key")


class Command(AccountCommand):
    """Reverses a payment, all of it or a part."""

    help = "Give a recorded payment's money back, all of it or a part."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add which payment, and how much."""
        super().add_arguments(parser)
        parser.add_argument("transaction_id", help="As 4XDF12345.")
        parser.add_argument("--amount", help="Meticais; all that is left, if left out.")
        parser.add_argument("--idempotency-key", help="The same key gives back once.")

    def run(self, payments: Payments[Any, Any], options: dict[str, Any]) -> ExitCode:
        """Reverse, and show the reversal's record."""
        arguments = {name: options[name] for name in _ARGUMENTS}
        return pay(payments.reverse, arguments, self.stdout.write)
