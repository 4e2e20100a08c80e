"""The APIs: a page for each operation, with its parameters, codes and code samples."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, abort, render_template, request

from mpesa_integrations.core.markets.mozambique.codes import CODES
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.protocol.operations import Operation

from .documentation import PURPOSES, TITLES, request_parameters, response_parameters
from .samples import LANGUAGES, sample

if TYPE_CHECKING:
    from mpesa_integrations.simulator.server import Simulator

_LOOKED_AT = 100


def add_pages(blueprint: Blueprint, simulator: Simulator) -> None:
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
        host, port = address_of(simulator, operation)
        paid = latest_payment(simulator)
        return render_template(
            "api.html",
            operation=operation,
            title=TITLES[name],
            purpose=PURPOSES[name],
            host=host,
            port=port,
            parameters=request_parameters(operation, simulator.account, paid),
            responses=response_parameters(operation),
            codes=CODES,
            sample_languages=LANGUAGES,
            sample_language=language,
            needs_payment=name == "reversal" and paid is None,
            sample=sample(language, operation, simulator.account, host=host, port=port, paid=paid),
        )


def address_of(simulator: Simulator, operation: Operation) -> tuple[str, int]:
    """The host and port that an operation has at this gateway."""
    url = urlsplit(simulator.base_url)
    return url.hostname or "", url.port or operation.port


def latest_payment(simulator: Simulator) -> str | None:
    """ID of the latest transaction with money left to give back, None if there is none."""
    for transaction in simulator.ledger.latest(_LOOKED_AT):
        left = transaction.amount - transaction.reversed_amount
        if transaction.transaction_id and transaction.operation != "reversal" and left > 0:
            return transaction.transaction_id
    return None
