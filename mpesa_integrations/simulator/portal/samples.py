"""Code samples of the API pages: one template per language, filled with the account's values."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mpesa_integrations.core.protocol.operations import Operation
from mpesa_integrations.simulator.account import Account

from .documentation import example_arguments, example_body

LANGUAGES = {
    "python": "Python",
    "flask": "Flask",
    "django": "Django",
    "requests": "requests",
    "curl": "curl",
    "java": "Java",
}
_METHODS = {"reversal": "reverse"}


def _make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates" / "samples"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - not HTML
    )
    # Quoted as the language quotes text; a JSON string is one of Python and of Java too.
    environment.filters.update(text=json.dumps, shell=shlex.quote)
    return environment


_ENVIRONMENT = _make_environment()


def sample(
    language: str, operation: Operation, account: Account, *, host: str, port: int, paid: str | None
) -> str:
    """Write a program that makes one call.

    Args:
        language: a key of `LANGUAGES`.
        operation: a row of core's table.
        account: whose credentials are put in.
        host: where the gateway is.
        port: the operation's.
        paid: ID of a transaction that there is, None if there is none.
    """
    return _ENVIRONMENT.get_template(f"{language}.txt").render(
        operation=operation,
        method=_METHODS.get(operation.name, operation.name),
        arguments=example_arguments(operation, account, paid),
        parameters=example_body(operation, account, paid),
        account=account,
        host=host,
        configured_port=urlsplit(account.base_url).port,
        url=f"https://{f'[{host}]' if ':' in host else host}:{port}{operation.path}",
        reversal=operation.name == "reversal",
    )
