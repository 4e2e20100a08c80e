"""`manage.py mpesa_c2b`: take a payment, recorded."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from django_mpesa.management.account_command import AccountCommand
from mpesa_integrations.commands import ExitCode, pay
from mpesa_integrations.core.payments.calls import Payments

_ARGUMENTS = ("msisdn", "amount", "order", "reference", "third_party_reference", "idempotency_key")


class Command(AccountCommand):
    """Takes a payment from a customer."""

    help = "Take a payment from a customer; it is recorded as any other."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the payment's."""
        super().add_arguments(parser)
        parser.add_argument("--msisdn", required=True, help="As 84 123 4567.")
        parser.add_argument("--amount", required=True, help="Meticais, as 150 or 99.50.")
        parser.add_argument("--order", help="What is sold: it is paid once, however often tried.")
        parser.add_argument(
            "--reference", help="1 to 20 characters, for the statement; the order's if left out."
        )
        parser.add_argument("--third-party-reference", help="Made if left out.")
        parser.add_argument("--idempotency-key", help="The same key pays once.")

    def run(self, payments: Payments[Any, Any], options: dict[str, Any]) -> ExitCode:
        """Pay, and show the record."""
        arguments = {name: options[name] for name in _ARGUMENTS}
        return pay(payments.c2b, arguments, self.stdout.write)
