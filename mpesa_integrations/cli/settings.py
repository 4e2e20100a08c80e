"""The commands about settings, which move no money: doctor, bearer, and the table of codes."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from ..commands import ExitCode, ask_harmlessly
from ..core.client.blocking import MpesaClient
from ..core.errors import ConfigurationError
from ..core.markets.mozambique.codes import CODES
from ..core.settings.client import MpesaConfig
from ..core.settings.public_key import bearer_token
from .options import read_settings, with_json, with_settings
from .output import fail, print_table

_API_KEY_LENGTH = 32
# What lets the checks go on after a required setting was found wrong.
_STAND_INS = {"api_key": "x" * _API_KEY_LENGTH, "service_provider_code": "00000"}


@click.command()
@click.option("--api-key", envvar="MPESA_API_KEY", required=True, help="- reads standard input.")
@click.option(
    "--public-key", envvar="MPESA_PUBLIC_KEY", required=True, help="Base64, PEM, or a file."
)
def bearer(api_key: str, public_key: str) -> None:
    """Print the bearer token of an API key, and nothing else."""
    try:
        click.echo(bearer_token(sys.stdin.read() if api_key == "-" else api_key, public_key))
    except ConfigurationError as error:
        fail(error, as_json=False)


@click.command()
@with_json
def codes(as_json: bool) -> None:
    """Print the gateway's response codes."""
    if as_json:
        click.echo(
            json.dumps(
                {
                    code: {**row._asdict(), "kind": row.kind.value, "advice": row.advice.value}
                    for code, row in CODES.items()
                },
                indent=2,
            )
        )
        return
    rows = [
        (code, str(row.http_status), row.kind.value, row.meaning) for code, row in CODES.items()
    ]
    print_table(("Code", "HTTP", "Kind", "Meaning"), rows)


@click.command()
@with_settings
@click.option("--offline", is_flag=True, help="Check the settings only, send nothing.")
def doctor(offline: bool, **options: Any) -> None:
    """Check a configuration, and say what is wrong with it."""
    try:
        config, problems = _diagnose(read_settings(options))
    except ConfigurationError as error:
        fail(error, as_json=False)
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
