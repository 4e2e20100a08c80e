"""System checks: what is wrong with the settings is said at start, not at the first payment."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.urls import NoReverseMatch, reverse

from mpesa_integrations.core.callbacks import PORT_RANGE
from mpesa_integrations.core.config import MpesaConfig
from mpesa_integrations.core.errors import ConfigurationError

from .accounts import DEFAULT, account_settings, core_config

_SHORT_TOKEN = 32
_API_KEY_LENGTH = 32


def register_checks() -> None:
    """Register the checks; called once by the app."""
    register(check_accounts, "mpesa")


def check_accounts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check the MPESA setting and what belongs to it."""
    accounts = account_settings()
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


def _check_account(alias: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    try:
        config = core_config(options)
    except ConfigurationError as error:
        yield Error(
            f"The M-Pesa account {alias!r} is not usable: {error}.",
            hint=f"Correct {error.setting.upper()} in MPESA[{alias!r}].",
            id="mpesa.E002",
        )
        return
    yield from _check_networks(alias, options)
    yield from _check_callback(alias, options, config)
    if len(config.api_key) != _API_KEY_LENGTH:
        yield Warning(
            f"The API_KEY of the M-Pesa account {alias!r} has {len(config.api_key)} characters; "
            f"the portal's have {_API_KEY_LENGTH}.",
            hint="Copy it again from the account page.",
            id="mpesa.W003",
        )
    if not settings.DEBUG and config.environment != "production":
        yield Warning(
            f"The M-Pesa account {alias!r} uses the {config.environment} gateway with DEBUG off.",
            hint='Set ENVIRONMENT to "production" where customers pay.',
            id="mpesa.W004",
        )
    if not settings.DEBUG and config.verify is False:
        yield Error(
            f"The M-Pesa account {alias!r} does not check the gateway's certificate.",
            hint="Set VERIFY to True, or to the path of a CA bundle.",
            id="mpesa.E005",
        )


def _check_networks(alias: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name in ("CALLBACK_NETWORKS", "TRUSTED_PROXIES"):
        try:
            for network in options.get(name) or ():
                ipaddress.ip_network(network)
        except (ValueError, TypeError):
            yield Error(
                f"{name} of the M-Pesa account {alias!r} is no list of networks.",
                hint='Write networks as "10.0.0.0/8".',
                id="mpesa.E006",
            )


def _check_callback(
    alias: str, options: Mapping[str, Any], config: MpesaConfig
) -> Iterator[CheckMessage]:
    base = options.get("CALLBACK_BASE_URL")
    if config.callback_token is None:
        if base:
            yield Error(
                f"The M-Pesa account {alias!r} has a CALLBACK_BASE_URL and no CALLBACK_TOKEN.",
                hint="Make a token with: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"',
                id="mpesa.E007",
            )
        return
    if len(config.callback_token) < _SHORT_TOKEN:
        yield Warning(
            f"The CALLBACK_TOKEN of the M-Pesa account {alias!r} is short.",
            hint=f"Use at least {_SHORT_TOKEN} characters, as secrets.token_urlsafe(32) gives.",
            id="mpesa.W008",
        )
    try:
        path = reverse("django_mpesa:callback", args=[config.callback_token])
    except NoReverseMatch:
        yield Error(
            "The callback URL of M-Pesa is not in the URLconf.",
            hint='Add path("mpesa/", include("django_mpesa.urls")) to the urlpatterns.',
            id="mpesa.E009",
        )
        return
    if base:
        yield from _check_callback_url(alias, str(base).rstrip("/") + path)


def _check_callback_url(alias: str, url: str) -> Iterator[CheckMessage]:
    try:
        parts = urlsplit(url)
        right = parts.scheme == "https" and bool(parts.hostname) and parts.port in PORT_RANGE
    except ValueError:
        right = False
    if not right:
        yield Error(
            f"The gateway would not call the callback URL of the M-Pesa account {alias!r}.",
            hint="CALLBACK_BASE_URL must be https with a port from "
            f"{PORT_RANGE[0]} to {PORT_RANGE[-1]}, as in https://shop.example:{PORT_RANGE[0]}.",
            id="mpesa.E010",
        )
