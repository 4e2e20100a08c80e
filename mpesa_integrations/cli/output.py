"""What the commands print: results, errors with a hint and an exit code, and tables."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ..commands import exit_code_of
from ..core.errors import (
    AuthenticationError,
    ConfigurationError,
    DuplicateTransaction,
    MpesaError,
    OutcomeUnknown,
    ValidationError,
)
from ..core.protocol.codes import Kind
from ..core.protocol.results import CustomerNameResult, Result, TransactionStatusResult

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
_HINTS: dict[type[MpesaError], str] = {
    ConfigurationError: "Options, --account FILE or MPESA_... variables set it; see --help.",
    AuthenticationError: "Check the API key and the shortcode with: mpesa doctor{account}",
    DuplicateTransaction: "The first request with it decides: mpesa status{account} {reference}",
    OutcomeUnknown: "Ask what became of it with: mpesa status{account} {reference}",
}


def fail(error: MpesaError, *, as_json: bool) -> Any:
    """Say what went wrong and what to do, and end with the exit code that fits."""
    if as_json:
        fields: dict[str, Any] = dict.fromkeys(_RESULT_FIELDS)
        if error.result:
            fields = result_fields(error.result)
        fields["third_party_reference"] = error.third_party_reference
        fields["error"] = {"type": type(error).__name__, "message": str(error)}
        if isinstance(error, ValidationError):
            fields["error"]["fields"] = error.errors
        click.echo(json.dumps(fields, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        hint = _HINTS.get(type(error))
        if hint:
            named = click.get_current_context().params.get("account")
            account = f" --account {shlex.quote(str(named))}" if named else ""
            words = hint.format(reference=error.third_party_reference, account=account)
            click.echo(words, err=True)
    sys.exit(exit_code_of(error))


def result_fields(result: Result) -> dict[str, Any]:
    """A result for `--json`."""
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


def print_result(result: Result) -> None:
    """Print a result for people."""
    shown = result_fields(result)
    table = Table.grid(padding=(0, 2))
    for key, value in shown.items():
        if key not in ("kind", "http_status", "elapsed"):
            table.add_row(key.replace("_", " "), "N/A" if value is None else str(value))
    table.add_row("took", f"{result.elapsed:.2f} s")
    Console(highlight=False).print(table)
    if result.kind is Kind.ACCEPTED:
        click.echo("Accepted; the result is to come by callback.")


def print_table(columns: Sequence[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows under the names of their columns."""
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a file or pipe has no edge to break lines at
    console.print(table)
