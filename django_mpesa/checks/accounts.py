"""Checks of the MPESA setting, and of the URL at which callbacks arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.payments.registry import DEFAULT
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.core.settings.account_checks import (
    SettingsMessage,
    check_account,
    check_callback_tokens,
)

from ..accounts import account_options
from ..routing import callback_path


def check_accounts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check the MPESA setting and what belongs to it."""
    accounts = account_options()
    if not isinstance(accounts, Mapping) or DEFAULT not in accounts:
        return [
            Error(
                "The MPESA setting has no account called 'default'.",
                hint='Set MPESA = {"default": {"API_KEY": …, "PUBLIC_KEY": …, '
                '"SERVICE_PROVIDER_CODE": …}}.',
                id="mpesa.E001",
            )
        ]
    found = {alias: _read(options) for alias, options in accounts.items()}
    usable = {alias: read for alias, read in found.items() if isinstance(read, AccountSettings)}
    return [
        *(message for alias, read in found.items() for message in _check_account(alias, read)),
        *map(_message, check_callback_tokens(usable)),
        *_check_url(usable),
    ]


def _read(options: Mapping[str, Any]) -> AccountSettings | ConfigurationError:
    try:
        return AccountSettings.from_mapping(options)
    except ConfigurationError as error:
        return error


def _check_account(
    alias: str, found: AccountSettings | ConfigurationError
) -> Iterator[CheckMessage]:
    if isinstance(found, ConfigurationError):
        networks = found.setting in ("callback_networks", "trusted_proxies")
        yield Error(
            f"The M-Pesa account {alias!r} is not usable: {found}.",
            hint=f"Correct {found.setting.upper()} in MPESA[{alias!r}].",
            id="mpesa.E006" if networks else "mpesa.E002",
        )
        return
    yield from map(_message, check_account(alias, found, in_production=not settings.DEBUG))


def _message(found: SettingsMessage) -> CheckMessage:
    level, letter = (Error, "E") if found.serious else (Warning, "W")
    return level(found.text, hint=found.hint, id=f"mpesa.{letter}{found.number:03}")


def _check_url(accounts: Mapping[str, AccountSettings]) -> Iterator[CheckMessage]:
    tokens = [found.config.callback_token for found in accounts.values()]
    token = next((token for token in tokens if token is not None), None)
    if token is None:
        return
    try:
        callback_path(token)
    except ConfigurationError as error:
        yield Warning(
            f"The callback URL of M-Pesa was not found: {error}.",
            hint='Add path("mpesa/", include("django_mpesa.urls")) to the urlpatterns. If it is '
            "routed in a way that cannot be found, name it in MPESA_CALLBACK_URL_NAME.",
            id="mpesa.W009",
        )
