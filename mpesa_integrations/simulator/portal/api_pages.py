"""The APIs: a page for each operation, with its parameters, codes and code samples."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, abort, render_template, request

from mpesa_integrations.core.markets.mozambique.codes import CODES
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.protocol.operations import Operation
from mpesa_integrations.simulator.state import GatewayState

from .documentation import PURPOSES, TITLES, request_parameters, response_parameters
from .samples import LANGUAGES, sample

_LOOKED_AT = 100


def add_pages(blueprint: Blueprint, gateway: GatewayState) -> None:
    """Add the list of APIs and their pages."""

    @blueprint.get("/apis")
    def apis() -> str:
        return render_template(
            "apis.html", operations=OPERATIONS.values(), titles=TITLES, purposes=PURPOSES
        )

    @blueprint.get("/apis/<name>")
    def api(name: str) -> str:
        if name not in OPERATIONS:
            abort(404)
        operation = OPERATIONS[name]
        language = request.args.get("sample", "python")
        if language not in LANGUAGES:
            abort(404)
        host, port = address_of(gateway, operation)
        paid = latest_payment(gateway)
        return render_template(
            "api.html",
            operation=operation,
            title=TITLES[name],
            purpose=PURPOSES[name],
            host=host,
            port=port,
            parameters=request_parameters(operation, gateway.account, paid),
            responses=response_parameters(operation),
            codes=CODES,
            sample_languages=LANGUAGES,
            sample_language=language,
            needs_payment=name == "reversal" and paid is None,
            sample=sample(language, operation, gateway.account, host=host, port=port, paid=paid),
        )


def address_of(gateway: GatewayState, operation: Operation) -> tuple[str, int]:
    """The host and port that an operation has at this gateway."""
    url = urlsplit(gateway.base_url)
    return url.hostname or "", url.port or operation.port


def latest_payment(gateway: GatewayState) -> str | None:
    """ID of the latest transaction with money left to give back, None if there is none."""
    for transaction in gateway.ledger.latest(_LOOKED_AT):
        left = transaction.amount - transaction.reversed_amount
        if transaction.transaction_id and transaction.operation != "reversal" and left > 0:
            return transaction.transaction_id
    return None
