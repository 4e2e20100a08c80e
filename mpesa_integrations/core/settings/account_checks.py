"""What is doubtful in an account's settings, for a framework's checks. Reading is `account`'s."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from .account import AccountSettings

logger: logging.Logger = logging.getLogger("mpesa_integrations")

_SHORT_TOKEN = 32
_API_KEY_LENGTH = 32


@dataclass(frozen=True, slots=True)
class SettingsMessage:
    """Something wrong with an account's settings, and what to do.

    Attributes:
        number: by which a framework's check names it.
        text: what is wrong.
        hint: what would be right.
        serious: whether payments or callbacks would not work, or would not be safe.
        of_place: whether it is well elsewhere, and wrong only where customers pay.
    """

    number: int
    text: str
    hint: str
    serious: bool
    of_place: bool = False


def check_account(
    alias: str, settings: AccountSettings, *, in_production: bool
) -> Iterator[SettingsMessage]:
    """Say what is doubtful in settings that can be read.

    Args:
        alias: the account's name, for the texts.
        settings: what was read.
        in_production: whether real customers are meant to pay.
    """
    config = settings.config
    account = f"the M-Pesa account {alias!r}"
    if len(config.api_key) != _API_KEY_LENGTH:
        yield SettingsMessage(
            3,
            f"The API_KEY of {account} has {len(config.api_key)} characters; "
            f"the portal's have {_API_KEY_LENGTH}.",
            "Copy it again from the account page.",
            serious=False,
        )
    if in_production and config.environment != "production":
        yield SettingsMessage(
            4,
            f"{account} uses the {config.environment} gateway in production.",
            'Set ENVIRONMENT to "production" where customers pay.',
            serious=False,
            of_place=True,
        )
    if in_production and config.verify is False:
        yield SettingsMessage(
            5,
            f"{account} does not check the gateway's certificate.",
            "Set VERIFY to True, or to the path of a CA bundle.",
            serious=True,
        )
    right = config.market.sandbox_shortcode
    if right not in (None, config.service_provider_code) and config.calls("sandbox"):
        yield SettingsMessage(
            12,
            f"{account} uses a shortcode of its own at the sandbox, which refuses all but "
            f"{right} (INS-13).",
            f'Set SERVICE_PROVIDER_CODE to "{right}" there, or ENVIRONMENT to "production".',
            serious=False,
        )
    yield from _check_callbacks(account, settings)


def check_callback_tokens(accounts: Mapping[str, AccountSettings]) -> Iterator[SettingsMessage]:
    """Say which accounts have one callback token: it is the password of an account's URL."""
    aliases: dict[str, list[str]] = {}
    for alias, settings in accounts.items():
        if settings.config.callback_token is not None:
            aliases.setdefault(settings.config.callback_token, []).append(alias)
    for sharing in aliases.values():
        if len(sharing) > 1:
            yield SettingsMessage(
                11,
                f"The M-Pesa accounts {' and '.join(map(repr, sharing))} have one CALLBACK_TOKEN, "
                f"so that whoever may call one of them may call all.",
                "Give each account a token of its own, and paste its URL into its portal.",
                serious=True,
            )


def refuse_serious(
    accounts: Mapping[str, AccountSettings], *, in_production: bool
) -> list[SettingsMessage]:
    """Refuse what would not work of accounts' settings.

    Args:
        accounts: the settings by the accounts' names.
        in_production: as for `check_account`.

    Returns:
        What is doubtful, for `log_doubtful`.

    Raises:
        ConfigurationError: payments or callbacks would not work, or would not be safe.
    """
    faults = [
        *(
            fault
            for alias, settings in accounts.items()
            for fault in check_account(alias, settings, in_production=in_production)
        ),
        *check_callback_tokens(accounts),
    ]
    for fault in faults:
        if fault.serious:
            raise ConfigurationError(f"{fault.text} {fault.hint}", setting="MPESA")
    return faults


def log_doubtful(found: Iterable[SettingsMessage]) -> None:
    """Log what is doubtful."""
    for fault in found:
        logger.warning("config.doubtful %s %s", fault.text, fault.hint)


def _check_callbacks(account: str, settings: AccountSettings) -> Iterator[SettingsMessage]:
    token = settings.config.callback_token
    if token is None and settings.callback_base_url:
        yield SettingsMessage(
            7,
            f"{account} has a CALLBACK_BASE_URL and no CALLBACK_TOKEN.",
            'Make a token with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            serious=True,
        )
    if token is not None and len(token) < _SHORT_TOKEN:
        yield SettingsMessage(
            8,
            f"The CALLBACK_TOKEN of {account} is short.",
            f"Use at least {_SHORT_TOKEN} characters, as secrets.token_urlsafe(32) gives.",
            serious=False,
        )
    if settings.callback_base_url:
        yield from _check_callback_url(account, settings)


def _check_callback_url(account: str, settings: AccountSettings) -> Iterator[SettingsMessage]:
    ports = settings.config.market.callback_ports
    some = f" with a port from {ports[0]} to {ports[-1]}" if ports else ""
    example = f"https://shop.example:{ports[0] if ports else 443}"
    port = _port_of(settings.callback_base_url or "")
    if port is None or (ports is not None and port not in ports):
        yield SettingsMessage(
            10,
            f"The gateway would not call the callback URL of {account}.",
            f"CALLBACK_BASE_URL must be https{some}, as in {example}.",
            # Some say that the gateway calls other ports, too.
            serious=port is None,
        )


def _port_of(url: str) -> int | None:
    """The port of an https URL; None where it is no such URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        return None
    return port if parts.scheme == "https" and parts.hostname else None
