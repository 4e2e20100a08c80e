"""The commands `flask mpesa …`: their options. What they do is in `mpesa_integrations.commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from mpesa_integrations.background import check_task_queue
from mpesa_integrations.commands import (
    DECISIONS,
    ExitCode,
    apply_callback_again,
    check_accounts,
    exit_code_of,
    pay,
    readable_settings,
    reconcile,
    resolve,
    run_handlers_again,
    show_callbacks,
    show_handlers,
    show_status,
    work,
)
from mpesa_integrations.core.errors import ConfigurationError, MpesaError
from mpesa_integrations.worker.loops import Surroundings
from mpesa_integrations.worker.options import WorkerOptions
from mpesa_integrations.worker.run import Worker

from .callbacks import callback_path
from .current import accounts_of_current_app, log_doubts, records_of_current_app
from .login_walls import why_kept_out

mpesa_cli: AppGroup = AppGroup("mpesa", help="M-Pesa payments.")
_CHOSEN = WorkerOptions()
_account = click.option("--account", default="default", show_default=True)


@mpesa_cli.command()
@click.option("--offline", is_flag=True, help="Send nothing.")
def check(offline: bool) -> None:
    """Check the accounts' settings, and ask the gateway a harmless question with each."""
    accounts = accounts_of_current_app()
    production = not (current_app.debug or current_app.testing)

    def run() -> ExitCode:
        code = check_accounts(accounts, in_production=production, offline=offline, echo=click.echo)
        problems = [*_unfit_engine(), *_without_queue(), *_kept_out()]
        for problem in problems:
            click.echo(f"problem  {problem}")
        return code or (ExitCode.PROBLEM if problems else ExitCode.OK)

    _end(run)


@mpesa_cli.command()
@_account
@click.option("--msisdn", required=True, help="The customer's number, as 84 123 4567.")
@click.option("--amount", required=True, help="Meticais, as 150 or 99.50.")
@click.option("--order", help="What is sold: it is paid once, however often tried.")
@click.option("--reference", help="1 to 20 characters, for the statement; the order's if left out.")
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


@mpesa_cli.command("resolve")
@_account
@click.argument("reference")
@click.argument("state", type=click.Choice(DECISIONS))
@click.option("--by", required=True, help="Who decides.")
@click.option("--note", required=True, help="On what grounds.")
def resolve_command(account: str, **decision: str) -> None:
    """Decide what became of a payment that the gateway does not tell of, or contradicted.

    REFERENCE is the payment's third-party reference.
    """
    _end(lambda: resolve(accounts_of_current_app()[account], **decision, echo=click.echo))


@mpesa_cli.command("reconcile")
@click.option("--every", type=float, help="Go on, with this many seconds between.")
@click.option("--batch", default=100, show_default=True, help="Payments in memory at a time.")
@click.option("--workers", default=4, show_default=True, help="Questions at a time.")
@click.option("--rate", type=float, help="Questions a second at the most, for each account.")
@click.option("--now", is_flag=True, help="Ask for those, too, that are not due yet.")
def reconcile_command(
    every: float | None, batch: int, workers: int, rate: float | None, now: bool
) -> None:
    """Ask the gateway what became of payments whose outcome is open."""
    _end(
        lambda: reconcile(
            accounts_of_current_app(),
            every=every,
            batch=batch,
            workers=workers,
            rate=rate,
            now=now,
            echo=click.echo,
        )
    )


@mpesa_cli.command("worker")
@click.option("--account", help="All of them, if left out.")
@click.option(
    "--concurrency",
    default=_CHOSEN.concurrency,
    show_default=True,
    help="Prompts on customers' phones at a time, for each account.",
)
@click.option("--rate", type=float, help="Calls a second at the most, for each account.")
@click.option(
    "--batch", default=_CHOSEN.batch, show_default=True, help="Records in memory at a time."
)
@click.option(
    "--poll", default=_CHOSEN.poll, show_default=True, help="Seconds between two looks at the most."
)
@click.option(
    "--stop-within",
    default=_CHOSEN.stop_within,
    show_default=True,
    help="Seconds for what is under way, once told to stop.",
)
@click.option(
    "--health-file", type=click.Path(path_type=Path), help="Where to say how it is, as JSON."
)  # fmt: skip
def worker_command(account: str | None, **options: Any) -> None:
    """Do all there is to do for the payments, until told to stop."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def run() -> ExitCode:
        if records_of_current_app() is None:
            raise ConfigurationError(
                "this app has no records, so there is nothing that a worker could do",
                setting="records",
            )
        log_doubts(app)
        return work(
            Worker(
                accounts_of_current_app(),
                account=account,
                options=WorkerOptions(**options),
                around=Surroundings(context=app.app_context),
                echo=click.echo,
            )
        )

    _end(run)


@mpesa_cli.command()
@click.option("--run-again", metavar="ID", help="Run this one, as it is listed.")
@click.option("--all", "all_", is_flag=True, help="Run all that wait for a person.")
def handlers(run_again: str | None, all_: bool) -> None:
    """List the handlers that are still to be run, or run some of them again."""
    accounts = accounts_of_current_app()
    if run_again or all_:
        _end(lambda: run_handlers_again(accounts, run_again, click.echo))
    _end(lambda: show_handlers(accounts, click.echo))


@mpesa_cli.command()
@click.option("--apply-again", metavar="ID", type=int, help="Apply this one, as it is listed.")
def callbacks(apply_again: int | None) -> None:
    """List the callbacks that are of no payment or could not be applied, or apply one again."""
    accounts = accounts_of_current_app()
    if apply_again is not None:
        _end(lambda: apply_callback_again(accounts, apply_again, click.echo))
    _end(lambda: show_callbacks(accounts, click.echo))


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


def _unfit_engine() -> Iterator[str]:
    """Why the records' engine is not fit for payments, if it is not."""
    records = records_of_current_app()
    if records is None:
        return
    try:
        records.check()
    except ConfigurationError as error:
        yield f"records: {error}"
        return
    if records.pool_size() == 1:
        yield (
            "records: the engine's pool has one connection, so that a signal's receiver, which has "
            "a session of its own, waits in vain for the view's: raise pool_size or max_overflow"
        )


def _without_queue() -> Iterator[str]:
    """Which accounts' payments are to be tasks, where there is no queue for them."""
    for found in check_task_queue(readable_settings(accounts_of_current_app())):
        yield f"{found.text} {found.hint}"


def _kept_out() -> Iterator[str]:
    """Why callbacks would not come through, if they would not."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        why = why_kept_out(app, accounts_of_current_app())
    except ConfigurationError as error:
        why = str(error)
    if why is not None:
        yield f"callbacks: {why}"


def _end(command: Callable[[], ExitCode]) -> None:
    """Run a command, and end with the exit code that the `mpesa` command would."""
    try:
        code = command()
    except MpesaError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(exit_code_of(error))
    sys.exit(code)
