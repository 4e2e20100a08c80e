"""The options that several commands have, and the settings that they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ..core.settings.client import MpesaConfig, settings_in_account_file, settings_in_env

_Command = TypeVar("_Command", bound=Callable[..., Any])


def with_settings(command: _Command) -> _Command:
    """Add the options of a client's settings."""
    options = (
        click.option(
            "--account",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="MPESA_ACCOUNT",
            help="account.json of a local gateway.",
        ),
        click.option("--api-key", help="API key; better MPESA_API_KEY, which ps does not show."),
        click.option("--public-key", help="Base64, PEM, or a file with either."),
        click.option("--service-provider-code", "--shortcode", help="5 or 6 digits."),
        click.option("--environment", type=click.Choice(list(MpesaConfig.market.environments))),
        click.option("--host"),
        click.option("--port", type=int),
        click.option("--proxy", help="Way out; better MPESA_PROXY, which ps does not show."),
        click.option("--verify", help="CA bundle to check the gateway's certificate with."),
        click.option("--timeout", help="Seconds: READ or CONNECT,READ."),
        click.option("--initiator-identifier", help="For reversals."),
        click.option("--security-credential", help="For reversals."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def with_json(command: _Command) -> _Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")(
        command
    )


def read_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Put together the settings: options first, then the account file, then the environment.

    Raises:
        ConfigurationError: the account file cannot be read.
    """
    given = {key: value for key, value in options.items() if value is not None}
    account = given.pop("account", None)
    if account is not None:
        return {**settings_in_account_file(account), **given}
    return {**settings_in_env(), **given}
