"""The commands of the local gateway: simulator, which runs it, and its ledger."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.markets.mozambique import LOCAL_PORT
from ..process_signals import told_to_stop
from .options import with_json
from .output import print_table

if TYPE_CHECKING:
    from ..simulator import Simulator

_STATE_DIR = ".mpesa-simulator"
_MOST_FILES = 10_240


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=LOCAL_PORT,
    show_default=True,
    help="Port; 0 takes a free one.",
)
@click.option(
    "--documented-ports",
    is_flag=True,
    help="Each operation on the real gateway's port; --port is then for the control interface.",
)
@click.option(
    "--hostname", "hostnames", multiple=True, help="Another name for the certificate; repeatable."
)
@click.option("--response-url", help="Begin in asynchronous mode, with this response URL.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=_STATE_DIR,
    show_default=True,
    help="Where keys, certificates and ledger are kept.",
)
@click.pass_context
def simulator(  # noqa: PLR0917 - click calls it by keyword
    context: click.Context,
    host: str,
    port: int,
    documented_ports: bool,
    hostnames: tuple[str, ...],
    response_url: str | None,
    state_dir: Path,
) -> None:
    """Run a local gateway to develop and test against, until Ctrl-C."""
    context.obj = state_dir
    if context.invoked_subcommand is not None:
        return
    _import_simulator()
    from ..simulator import PortTaken, Simulator

    gateway = Simulator(
        state_dir, host=host, port=port, documented_ports=documented_ports, hostnames=hostnames
    )
    try:
        gateway.response_url = response_url
        _serve(gateway)
    except PortTaken as error:
        raise click.ClickException(str(error.strerror)) from None
    except ValueError as error:
        gateway.stop()
        raise click.ClickException(str(error)) from None


def _allow_many_connections() -> None:
    """Let this process have as many files open as the system allows; Windows counts otherwise."""
    try:
        import resource
    except ModuleNotFoundError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = _MOST_FILES  # macOS says so, and allows a number
    with contextlib.suppress(ValueError, OSError):  # as few as before, then
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _serve(gateway: Simulator) -> None:
    _allow_many_connections()
    with told_to_stop() as stop, gateway:
        account_file = gateway.state_dir / "account.json"
        click.echo(
            f"Local M-Pesa gateway at {gateway.base_url}\n"
            f"  control   {gateway.control_url}/simulator\n"
            f"  shortcode {gateway.service_provider_code}\n"
            f"  account   {account_file}\n"
            f"  portal    {gateway.portal_url}\n"
            f"            sign in as {gateway.portal_account.email}, "
            f"password {gateway.portal_account.password}\n"
            "A first payment, in another terminal:\n"
            f"  mpesa c2b --account {account_file} --msisdn 841234567 --amount 10 --reference T1\n"
            "Ctrl-C stops it."
        )
        stop.wait()
    click.echo("Stopped.")


@simulator.command()
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The gateway's state directory.",
)
@with_json
@click.pass_obj
def ledger(parent_state_dir: Path, state_dir: Path | None, as_json: bool) -> None:
    """Show the ledger of a local gateway, running or not."""
    _import_simulator()
    from ..simulator import Ledger

    try:
        books = Ledger.open(state_dir or parent_state_dir)
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from None
    export = books.export()
    books.close()
    if as_json:
        click.echo(json.dumps(export, indent=2))
        return
    columns = ("operation", "amount", "reversed_amount", "status", "code", "transaction_id",
               "third_party_reference")  # fmt: skip
    rows = [tuple(str(t[column] or "") for column in columns) for t in export["transactions"]]
    print_table(tuple(column.replace("_", " ") for column in columns), rows)


def _import_simulator() -> None:
    try:
        from .. import simulator as _  # noqa: F401
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from None
