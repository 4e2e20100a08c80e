"""The APIs: a page for each operation, with its parameters, codes and code samples."""

from __future__ import annotations

from flask import Blueprint, abort, render_template, request

from mpesa_integrations.core.markets.mozambique.codes import CODES
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.simulator.account_state import AccountState

from .documentation import PURPOSES, TITLES, request_parameters, response_parameters
from .prefilled import METHODS, address_of, latest_payment, prefilled
from .samples import LANGUAGES, sample


def add_pages(blueprint: Blueprint, gateway: AccountState) -> None:
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
            name=name,
            operation=operation,
            form=prefilled(gateway, operation),
            methods=METHODS,
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
