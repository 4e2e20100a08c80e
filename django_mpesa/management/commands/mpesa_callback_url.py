"""`manage.py mpesa_callback_url`: the URL to paste into the developer portal."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_mpesa import mpesa
from django_mpesa.routing import callback_path
from mpesa_integrations.core.errors import ConfigurationError


class Command(BaseCommand):
    """Prints an account's asynchronous response URL, its secret token included."""

    help = "Print the asynchronous response URL of an account, for the developer portal."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add which account."""
        parser.add_argument("account", nargs="?", default="default")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it, or say which setting is missing."""
        try:
            account = mpesa[options["account"]]
            path = callback_path(account.client.config.callback_token)
            url = account.settings.callback_url(path)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(url)
