"""System checks: what is wrong with the settings is said at start, not at the first payment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.db import connections, router
from django.urls import NoReverseMatch, reverse

from mpesa_integrations.core.account_settings import AccountSettings, find_problems
from mpesa_integrations.core.accounts import DEFAULT
from mpesa_integrations.core.errors import ConfigurationError

from .accounts import account_options
from .store import get_transaction_model


def register_checks() -> None:
    """Register the checks; called once by the app."""
    register(check_accounts, "mpesa")
    register(check_database, "mpesa")


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
    return [
        message for alias, options in accounts.items() for message in _check_account(alias, options)
    ]


def check_database(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check that payments can be recorded where they are usually made; nothing is connected to."""
    alias = router.db_for_write(get_transaction_model())
    connection = connections[alias]
    options = connection.settings_dict
    atomic = [
        name
        for name, within in (
            ("ATOMIC_REQUESTS = True", options["ATOMIC_REQUESTS"]),
            ("AUTOCOMMIT = False", not options["AUTOCOMMIT"]),
        )
        if within
    ]
    if connection.vendor == "sqlite" and atomic:
        return [
            Warning(
                f"With {atomic[0]} on SQLite, each M-Pesa payment made in a view is refused: it "
                "must be committed before it is sent, and SQLite has one writer at a time.",
                hint="Take it away, mark the views that pay with "
                "django.db.transaction.non_atomic_requests, or use PostgreSQL or MariaDB.",
                id="mpesa.W021",
            )
        ]
    if options["OPTIONS"].get("pool") and atomic:
        return [
            Info(
                f"With {atomic[0]}, each M-Pesa payment made in a view has, while it is recorded, "
                "one connection besides that of the pool.",
                hint="Let the server take more connections than the pools have, or mark the views "
                "that pay with django.db.transaction.non_atomic_requests.",
                id="mpesa.I022",
            )
        ]
    return []


def _check_account(alias: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    try:
        found = AccountSettings.from_mapping(options)
    except ConfigurationError as error:
        networks = error.setting in ("callback_networks", "trusted_proxies")
        yield Error(
            f"The M-Pesa account {alias!r} is not usable: {error}.",
            hint=f"Correct {error.setting.upper()} in MPESA[{alias!r}].",
            id="mpesa.E006" if networks else "mpesa.E002",
        )
        return
    for problem in find_problems(alias, found, in_production=not settings.DEBUG):
        level, letter = (Error, "E") if problem.serious else (Warning, "W")
        yield level(problem.text, hint=problem.hint, id=f"mpesa.{letter}{problem.number:03}")
    if found.config.callback_token is not None and not _is_routed(found.config.callback_token):
        yield Error(
            "The callback URL of M-Pesa is not in the URLconf.",
            hint='Add path("mpesa/", include("django_mpesa.urls")) to the urlpatterns.',
            id="mpesa.E009",
        )


def _is_routed(token: str) -> bool:
    try:
        reverse("django_mpesa:callback", args=[token])
    except NoReverseMatch:
        return False
    return True
