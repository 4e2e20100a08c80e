"""The commands that make one call each: c2b, b2c, b2b, reverse, status and name."""

from __future__ import annotations

import json
from typing import Any

import click

from ..core.client.blocking import MpesaClient
from ..core.errors import MpesaError
from ..core.protocol.http import NoAnswer
from ..core.protocol.outcomes import unanswered
from ..core.protocol.requests import PreparedRequest
from ..core.protocol.results import Result
from ..core.settings.client import MpesaConfig
from .options import read_settings, with_json, with_settings
from .output import fail, print_result, result_fields

_msisdn = click.option("--msisdn", required=True, help="The customer's number, as 84 123 4567.")
_amount = click.option("--amount", required=True, help="Meticais, as 150 or 99.50.")
_reference = click.option(
    "--reference", required=True, help="1 to 20 characters, for the statement."
)
_third_party_reference = click.option(
    "--third-party-reference", help="1 to 20 letters and digits; made if left out."
)


@click.command()
@with_settings
@with_json
@_msisdn
@_amount
@_reference
@_third_party_reference
def c2b(as_json: bool, **options: Any) -> None:
    """Take a payment from a customer."""
    _call(as_json, options, "c2b")


@click.command()
@with_settings
@with_json
@_msisdn
@_amount
@_reference
@_third_party_reference
def b2c(as_json: bool, **options: Any) -> None:
    """Pay out to a customer."""
    _call(as_json, options, "b2c")


@click.command()
@with_settings
@with_json
@click.option("--receiver-shortcode", required=True, help="The other business's, 5 or 6 digits.")
@_amount
@_reference
@_third_party_reference
def b2b(as_json: bool, **options: Any) -> None:
    """Pay another business."""
    _call(as_json, options, "b2b")


@click.command()
@with_settings
@with_json
@click.argument("transaction_id")
@click.option("--amount", help="Meticais to give back; all if left out.")
@_third_party_reference
def reverse(as_json: bool, **options: Any) -> None:
    """Give a payment's money back, all of it or a part.

    TRANSACTION_ID is the payment's, as 4XDF12345.
    """
    _call(as_json, options, "reversal")


@click.command()
@with_settings
@with_json
@click.argument("reference")
@_third_party_reference
def status(as_json: bool, reference: str, **options: Any) -> None:
    """Ask where a transaction stands.

    REFERENCE is its transaction ID, conversation ID or third-party reference.
    """
    _call(as_json, {**options, "query_reference": reference}, "query_transaction_status")


@click.command()
@with_settings
@with_json
@_msisdn
@_third_party_reference
def name(as_json: bool, **options: Any) -> None:
    """Ask for the name that a number is registered under."""
    _call(as_json, options, "query_customer_name")


def _call(as_json: bool, options: dict[str, Any], operation: str) -> None:
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
        with MpesaClient(MpesaConfig(**read_settings(options))) as client:
            result = _send(client, client.prepare(operation, **arguments))
    except MpesaError as error:
        fail(error, as_json=as_json)
    if as_json:
        click.echo(json.dumps(result_fields(result), indent=2, ensure_ascii=False))
    else:
        print_result(result)


def _send(client: MpesaClient, request: PreparedRequest) -> Result:
    """Send a request; with Ctrl-C, the customer may be typing the PIN all the same."""
    try:
        return client.send(request)
    except KeyboardInterrupt:
        if not request.operation.moves_money:
            raise
        interrupted = NoAnswer("it was interrupted")
        raise unanswered(
            interrupted, request.operation, request.third_party_reference
        ) from interrupted
