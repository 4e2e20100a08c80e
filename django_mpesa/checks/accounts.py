"""Checks of the MPESA setting, and of the URL at which callbacks arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from mpesa_integrations.background import check_task_queue
from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.payments.registry import DEFAULT
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.core.settings.account_checks import (
    SettingsMessage,
    check_account,
    check_callback_tokens,
)

from ..accounts import account_source
from ..background import uses_django_tasks
from ..routing import callback_path

_LOADER = (
    'Set MPESA = "shop.accounts.AccountLoader", and write that class as docs/accounts.md does.'
)


def check_accounts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check the MPESA setting and what belongs to it."""
    try:
        accounts = account_source()
    except ConfigurationError as error:
        return [Error(f"{error}.", hint=_LOADER, id="mpesa.E013")]
    if not isinstance(accounts, Mapping):
        return []  # what they have is in a database, which a check at start leaves alone
    if DEFAULT not in accounts:
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
        *map(_message, () if uses_django_tasks() else check_task_queue(usable)),
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
    yield from (_message(each) for each in _look_at(alias, found) if not each.of_place)


def check_deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check what is well on a developer's machine, or in a test, and wrong where customers pay."""
    try:
        accounts = account_source()
    except ConfigurationError:
        return []  # said by `check_accounts`, as what cannot be read is
    if not isinstance(accounts, Mapping):
        return []
    found = {alias: _read(options) for alias, options in accounts.items()}
    return [
        _message(each)
        for alias, read in found.items()
        if isinstance(read, AccountSettings)
        for each in _look_at(alias, read)
        if each.of_place
    ]


def _look_at(alias: str, found: AccountSettings) -> Iterator[SettingsMessage]:
    return check_account(alias, found, in_production=not settings.DEBUG)


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
