"""A request that can be sent as it stands: where to, with the account's own values."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.protocol.authentication import encrypt_api_key
from mpesa_integrations.core.protocol.operations import Operation
from mpesa_integrations.simulator.account_state import AccountState

from .documentation import example_body

METHODS = ("GET", "POST", "PUT")
_LOOKED_AT = 100


def prefilled(
    gateway: AccountState, operation: Operation, *, about: str = "", msisdn: str = ""
) -> dict[str, str]:
    """A form that can be sent as it is.

    Args:
        about: of a status query, the reference to ask for; empty for the latest payment.
        msisdn: the customer's number; empty for that of the documentation.
    """
    host, port = address_of(gateway, operation)
    account = gateway.account
    body = example_body(operation, account, latest_payment(gateway))
    if about and "input_QueryReference" in body:
        body["input_QueryReference"] = about
    if msisdn and "input_CustomerMSISDN" in body:
        body["input_CustomerMSISDN"] = msisdn
    return {
        "method": operation.method,
        "address": host,
        "port": str(port),
        "path": operation.path,
        "origin": MOZAMBIQUE.origin,
        "bearer": encrypt_api_key(account.api_key, account.public_key),
        "body": json.dumps(body, indent=2),
    }


def address_of(gateway: AccountState, operation: Operation) -> tuple[str, int]:
    """The host and port that an operation has at this gateway."""
    url = urlsplit(gateway.base_url)
    return url.hostname or "", url.port or operation.port


def latest_payment(gateway: AccountState) -> str | None:
    """ID of the latest transaction with money left to give back, None if there is none."""
    for transaction in gateway.ledger.latest(_LOOKED_AT):
        left = transaction.amount - transaction.reversed_amount
        if transaction.transaction_id and transaction.operation != "reversal" and left > 0:
            return transaction.transaction_id
    return None
