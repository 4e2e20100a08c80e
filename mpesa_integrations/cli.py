"""The `mpesa` command: payments, checks and the local gateway from a terminal.

It reads options and prints; what a payment is and what became of it is core's to say.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from . import __version__
from .commands import ExitCode, ask_harmlessly, exit_code_of
from .core.client.blocking import MpesaClient
from .core.errors import (
    AuthenticationError,
    ConfigurationError,
    DuplicateTransaction,
    MpesaError,
    OutcomeUnknown,
    ValidationError,
)
from .core.markets.mozambique import LOCAL_PORT
from .core.markets.mozambique.codes import CODES
from .core.protocol.authentication import bearer_token
from .core.protocol.codes import Kind
from .core.protocol.results import CustomerNameResult, Result, TransactionStatusResult
from .core.settings.client import MpesaConfig, settings_in_account_file, settings_in_env

if TYPE_CHECKING:
    from .simulator import Simulator

_Command = TypeVar("_Command", bound=Callable[..., Any])
_API_KEY_LENGTH = 32
_STATE_DIR = ".mpesa-simulator"
_RESULT_FIELDS = (
    "code",
    "description",
    "kind",
    "conversation_id",
    "transaction_id",
    "third_party_reference",
    "http_status",
    "elapsed",
)
# What lets the checks go on after a required setting was found wrong.
_STAND_INS = {"api_key": "x" * _API_KEY_LENGTH, "service_provider_code": "00000"}


_EXIT_CODES_HELP = """\b
Exit codes:
  0  the gateway said yes
  1  a problem was found (doctor), or the local gateway cannot run
  2  wrong usage or configuration; nothing was sent
  3  a value was refused; no money moved
  4  the credentials were refused; no money moved
  5  declined: failed or cancelled; no money moved
  6  the third-party reference was used before
  7  surely not accepted: safe to run again
  8  OUTCOME UNKNOWN: money may have moved; query it, do not run it again
"""
_HINTS: dict[type[MpesaError], str] = {
    ConfigurationError: "Options, --account FILE or MPESA_... variables set it; see --help.",
    AuthenticationError: "Check the API key and the shortcode with: mpesa doctor",
    DuplicateTransaction: "The first request with it decides: mpesa status --query-reference ...",
    OutcomeUnknown: "Ask what became of it with: mpesa status --query-reference {reference}",
}


@click.group(epilog=_EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mpesa")
@click.option("-v", "--verbose", is_flag=True, help="Show logs on standard error.")
def main(verbose: bool) -> None:
    """M-Pesa payments (Vodacom Mozambique).

    Settings come from options, from a file with --account (a local gateway writes one), or from
    MPESA_... environment variables, in that order. Try it without an account: mpesa simulator
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
    )


def _with_settings(command: _Command) -> _Command:
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


def _with_json(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")(
        command
    )


def _with_reference(command: _Command) -> _Command:
    return click.option(
        "--third-party-reference", help="1 to 20 letters and digits; made if left out."
    )(command)


@main.command()
@_with_settings
@_with_json
@click.option("--msisdn", required=True, help="The customer's number, as 84 123 4567.")
@click.option("--amount", required=True, help="Meticais, as 150 or 99.50.")
@click.option("--reference", required=True, help="1 to 20 characters, for the statement.")
@_with_reference
def c2b(as_json: bool, **options: Any) -> None:
    """Take a payment from a customer."""
    _call(as_json, options, MpesaClient.c2b)


@main.command()
@_with_settings
@_with_json
@click.option("--msisdn", required=True, help="The customer's number, as 84 123 4567.")
@click.option("--amount", required=True, help="Meticais, as 150 or 99.50.")
@click.option("--reference", required=True, help="1 to 20 characters, for the statement.")
@_with_reference
def b2c(as_json: bool, **options: Any) -> None:
    """Pay out to a customer."""
    _call(as_json, options, MpesaClient.b2c)


@main.command()
@_with_settings
@_with_json
@click.option("--receiver-shortcode", required=True, help="The other business's, 5 or 6 digits.")
@click.option("--amount", required=True, help="Meticais, as 150 or 99.50.")
@click.option("--reference", required=True, help="1 to 20 characters, for the statement.")
@_with_reference
def b2b(as_json: bool, **options: Any) -> None:
    """Pay another business."""
    _call(as_json, options, MpesaClient.b2b)


@main.command()
@_with_settings
@_with_json
@click.option("--transaction-id", required=True, help="The payment to reverse, as 4XDF12345.")
@click.option("--amount", help="Meticais to give back; all if left out.")
@_with_reference
def reverse(as_json: bool, **options: Any) -> None:
    """Give a payment's money back, all of it or a part."""
    _call(as_json, options, MpesaClient.reverse)


@main.command()
@_with_settings
@_with_json
@click.option(
    "--query-reference", required=True, help="Transaction ID, conversation ID or reference."
)
@_with_reference
def status(as_json: bool, **options: Any) -> None:
    """Ask where a transaction stands."""
    _call(as_json, options, MpesaClient.query_transaction_status)


@main.command()
@_with_settings
@_with_json
@click.option("--msisdn", required=True, help="The customer's number, as 84 123 4567.")
@_with_reference
def name(as_json: bool, **options: Any) -> None:
    """Ask for the name that a number is registered under."""
    _call(as_json, options, MpesaClient.query_customer_name)


@main.command()
@click.option("--api-key", envvar="MPESA_API_KEY", required=True, help="- reads standard input.")
@click.option(
    "--public-key", envvar="MPESA_PUBLIC_KEY", required=True, help="Base64, PEM, or a file."
)
def bearer(api_key: str, public_key: str) -> None:
    """Print the bearer token of an API key, and nothing else."""
    try:
        click.echo(bearer_token(sys.stdin.read() if api_key == "-" else api_key, public_key))
    except ConfigurationError as error:
        _fail(error, as_json=False)


@main.command()
@_with_json
def codes(as_json: bool) -> None:
    """Print the gateway's response codes."""
    if as_json:
        click.echo(
            json.dumps(
                {code: {**row._asdict(), "kind": row.kind.value} for code, row in CODES.items()},
                indent=2,
            )
        )
        return
    rows = [
        (code, str(row.http_status), row.kind.value, row.meaning) for code, row in CODES.items()
    ]
    _print_table(("Code", "HTTP", "Kind", "Meaning"), rows)


@main.command()
@_with_settings
@click.option("--offline", is_flag=True, help="Check the settings only, send nothing.")
def doctor(offline: bool, **options: Any) -> None:
    """Check a configuration, and say what is wrong with it."""
    try:
        config, problems = _diagnose(_settings(options))
    except ConfigurationError as error:
        _fail(error, as_json=False)
    for problem in problems:
        click.echo(f"problem  {problem}")
    if config is None:
        sys.exit(ExitCode.PROBLEM)
    click.echo(f"ok       settings for {config.service_provider_code} at {config.address}")
    if not offline:
        with MpesaClient(config) as client:
            problem_online = ask_harmlessly(client)
        if problem_online:
            click.echo(f"problem  {problem_online}")
            problems.append(problem_online)
        else:
            click.echo("ok       the gateway answers, and accepts the API key")
    sys.exit(ExitCode.PROBLEM if problems else ExitCode.OK)


def _diagnose(settings: dict[str, Any]) -> tuple[MpesaConfig | None, list[str]]:
    """Find every wrong setting, not only the first; the configuration if there is none."""
    problems: list[str] = []
    left = dict(settings)
    while True:
        try:
            config = MpesaConfig(**left)
        except ConfigurationError as error:
            problems.append(str(error))
            stand_in = _STAND_INS.get(error.setting)
            if stand_in and left.get(error.setting) != stand_in:
                left[error.setting] = stand_in
            elif left.pop(error.setting, None) is None or error.setting == "public_key":
                return None, problems
            continue
        if not problems and len(config.api_key) != _API_KEY_LENGTH:
            problems.append(
                f"api_key has {len(config.api_key)} characters; the portal's have {_API_KEY_LENGTH}"
            )
        return (None if left != settings else config), problems


def _call(as_json: bool, options: dict[str, Any], method: Callable[..., Result]) -> None:
    """Make a call with the options that are its arguments, the others being settings."""
    names = {
        "msisdn",
        "amount",
        "reference",
        "third_party_reference",
        "receiver_shortcode",
        "transaction_id",
        "query_reference",
    }
    arguments = {key: options.pop(key) for key in list(options) if key in names}
    try:
        with MpesaClient(MpesaConfig(**_settings(options))) as client:
            result = method(client, **arguments)
    except MpesaError as error:
        _fail(error, as_json=as_json)
    if as_json:
        click.echo(json.dumps(_result_fields(result), indent=2, ensure_ascii=False))
    else:
        _print_result(result)


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Put together the settings: options first, then the account file, then the environment.

    Raises:
        ConfigurationError: the account file cannot be read.
    """
    given = {key: value for key, value in options.items() if value is not None}
    account = given.pop("account", None)
    if account is not None:
        return {**settings_in_account_file(account), **given}
    return {**settings_in_env(), **given}


def _fail(error: MpesaError, *, as_json: bool) -> Any:
    """Say what went wrong and what to do, and end with the exit code that fits."""
    if as_json:
        fields: dict[str, Any] = dict.fromkeys(_RESULT_FIELDS)
        if error.result:
            fields = _result_fields(error.result)
        fields["third_party_reference"] = error.third_party_reference
        fields["error"] = {"type": type(error).__name__, "message": str(error)}
        if isinstance(error, ValidationError):
            fields["error"]["fields"] = error.errors
        click.echo(json.dumps(fields, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        hint = _HINTS.get(type(error))
        if hint:
            click.echo(hint.format(reference=error.third_party_reference), err=True)
    sys.exit(exit_code_of(error))


def _result_fields(result: Result) -> dict[str, Any]:
    fields: dict[str, Any] = {
        **{key: getattr(result, key) for key in _RESULT_FIELDS},
        "code": result.code.value if result.code else None,
        "kind": result.kind.value,
        "elapsed": round(result.elapsed, 6),
    }
    if isinstance(result, TransactionStatusResult):
        found = result.transaction_status
        fields["transaction_status"] = found.value if found else None
    if isinstance(result, CustomerNameResult):
        fields["customer_name"] = result.customer_name
    return fields


def _print_result(result: Result) -> None:
    shown = _result_fields(result)
    table = Table.grid(padding=(0, 2))
    for key, value in shown.items():
        if key not in ("kind", "http_status", "elapsed"):
            table.add_row(key.replace("_", " "), "N/A" if value is None else str(value))
    table.add_row("took", f"{result.elapsed:.2f} s")
    Console(highlight=False).print(table)
    if result.kind is Kind.ACCEPTED:
        click.echo("Accepted; the result is to come by callback.")


def _print_table(columns: Sequence[str], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a file or pipe has no edge to break lines at
    console.print(table)


@main.group(invoke_without_command=True)
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
    from .simulator import PortTaken, Simulator

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


def _serve(gateway: Simulator) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with gateway:
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
@_with_json
@click.pass_obj
def ledger(parent_state_dir: Path, state_dir: Path | None, as_json: bool) -> None:
    """Show the ledger of a local gateway, running or not."""
    _import_simulator()
    from .simulator import Ledger

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
    _print_table(tuple(column.replace("_", " ") for column in columns), rows)


def _import_simulator() -> None:
    try:
        from . import simulator as _  # noqa: F401
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"The local gateway needs {error.name}: pip install 'mpesa-integrations[simulator]'"
        ) from None


if __name__ == "__main__":
    main()
