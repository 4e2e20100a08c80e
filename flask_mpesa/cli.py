"""The commands `flask mpesa …`: their options. What they do is in `mpesa_integrations.commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from mpesa_integrations.commands import (
    ExitCode,
    check_accounts,
    exit_code_of,
    pay,
    reconcile,
    show_status,
)
from mpesa_integrations.core.errors import ConfigurationError, MpesaError

from .callbacks import callback_path
from .current import accounts_of_current_app, records_of_current_app

mpesa_cli = AppGroup("mpesa", help="M-Pesa payments.")
_account = click.option("--account", default="default", show_default=True)


@mpesa_cli.command()
@click.option("--offline", is_flag=True, help="Send nothing.")
def check(offline: bool) -> None:
    """Check the accounts' settings, and ask the gateway a harmless question with each."""
    production = not (current_app.debug or current_app.testing)
    code = check_accounts(
        accounts_of_current_app(), in_production=production, offline=offline, echo=click.echo
    )
    problem = _unfit_engine()
    if problem:
        click.echo(f"problem  records: {problem}")
    sys.exit(code or (ExitCode.PROBLEM if problem else ExitCode.OK))


@mpesa_cli.command()
@_account
@click.option("--msisdn", required=True, help="The customer's number, as 84 123 4567.")
@click.option("--amount", required=True, help="Meticais, as 150 or 99.50.")
@click.option("--reference", required=True, help="1 to 20 characters, for the statement.")
@click.option("--third-party-reference", help="Made if left out.")
@click.option("--idempotency-key", help="The same key pays once.")
def c2b(account: str, **arguments: Any) -> None:
    """Take a payment from a customer; it is recorded as any other."""
    _end(lambda: pay(accounts_of_current_app()[account].c2b, arguments, click.echo))


@mpesa_cli.command()
@_account
@click.argument("reference")
def status(account: str, reference: str) -> None:
    """Ask the gateway where a transaction stands; its record moves on by the answer."""
    _end(lambda: show_status(accounts_of_current_app()[account], reference, click.echo))


@mpesa_cli.command()
@_account
@click.argument("transaction_id")
@click.option("--amount", help="Meticais; all that is left, if left out.")
@click.option("--idempotency-key", help="The same key gives back once.")
def reverse(account: str, **arguments: Any) -> None:
    """Give a recorded payment's money back, all of it or a part."""
    _end(lambda: pay(accounts_of_current_app()[account].reverse, arguments, click.echo))


@mpesa_cli.command("reconcile")
@click.option("--every", type=float, help="Go on, with this many seconds between.")
@click.option("--batch", default=100, show_default=True, help="Payments in memory at a time.")
@click.option("--workers", default=4, show_default=True, help="Questions at a time.")
@click.option("--rate", type=float, help="Questions a second at the most.")
def reconcile_command(every: float | None, batch: int, workers: int, rate: float | None) -> None:
    """Ask the gateway what became of payments whose outcome is open."""
    _end(
        lambda: reconcile(
            accounts_of_current_app(),
            every=every,
            batch=batch,
            workers=workers,
            rate=rate,
            echo=click.echo,
        )
    )


@mpesa_cli.command("callback-url")
@click.argument("account", default="default")
def callback_url(account: str) -> None:
    """Print the asynchronous response URL of an account, for the developer portal."""

    def show() -> ExitCode:
        settings = accounts_of_current_app()[account].settings
        path = callback_path(current_app, settings.config.callback_token or "-")
        click.echo(settings.callback_url(path))
        return ExitCode.OK

    _end(show)


def _unfit_engine() -> str | None:
    """Why the records' engine is not fit for payments; None where it is, or there is none."""
    records = records_of_current_app()
    if records is None:
        return None
    try:
        records.check()
    except ConfigurationError as error:
        return str(error)
    if records.pool_size() == 1:
        return (
            "the engine's pool has one connection, so that a signal's receiver, which has a "
            "session of its own, waits in vain for the view's: raise pool_size or max_overflow"
        )
    return None


def _end(command: Callable[[], ExitCode]) -> None:
    """Run a command, and end with the exit code that the `mpesa` command would."""
    try:
        code = command()
    except MpesaError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(exit_code_of(error))
    sys.exit(code)
