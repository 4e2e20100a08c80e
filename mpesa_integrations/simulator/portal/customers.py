"""The customers' side: their phones with PIN prompts, and their balances."""

from __future__ import annotations

import hashlib

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.core.masking import mask_msisdn
from mpesa_integrations.simulator.scenarios import SCENARIOS
from mpesa_integrations.simulator.state import GatewayState

from .documentation import TITLES

STATUSES = {
    "Pending": _("Pending"),
    "Completed": _("Completed"),
    "Failed": _("Failed"),
    "Cancelled": _("Cancelled"),
    "Expired": _("Expired"),
}
_CUSTOMERS_SHOWN = 200
_TRANSACTIONS_SHOWN = 20


def add_pages(blueprint: Blueprint, gateway: GatewayState) -> None:
    """Add the Customers page and what its buttons do."""

    def version() -> str:
        """Changes whenever the live part does; a page that has this one is left as it is."""
        waiting = [prompt.transaction.conversation_id for prompt in gateway.phones.waiting]
        latest = [
            (transaction.conversation_id, transaction.status, str(transaction.reversed_amount))
            for transaction in gateway.ledger.latest(_TRANSACTIONS_SHOWN)
        ]
        shown = repr((gateway.auto_approve, waiting, latest))
        return hashlib.sha256(shown.encode()).hexdigest()[:16]

    def live_part() -> str:
        seen = version()  # first, so that what changes meanwhile is fetched again
        balances = gateway.ledger.customers()
        return render_template(
            "_customers.html",
            version=seen,
            prompts=gateway.phones.waiting,
            auto_approve=gateway.auto_approve,
            shortcode=gateway.service_provider_code,
            balances=list(balances.items())[:_CUSTOMERS_SHOWN],
            hidden=max(0, len(balances) - _CUSTOMERS_SHOWN),
            latest=[
                transaction
                for transaction in gateway.ledger.latest(_TRANSACTIONS_SHOWN)
                if transaction.msisdn
            ],
            operations=TITLES,
            statuses=STATUSES,
            mask=mask_msisdn,
        )

    @blueprint.get("/customers")
    def customers() -> str:
        return render_template(
            "customers.html",
            live_part=live_part(),
            auto_approve=gateway.auto_approve,
            pin_timeout=gateway.phones.pin_timeout,
            scenarios=[row for row in SCENARIOS.values() if row.msisdn],
        )

    @blueprint.get("/customers/live")
    def customers_live() -> str | Response:
        if request.args.get("seen") == version():
            return Response(status=204)
        return live_part()

    @blueprint.post("/customers/prompts/<conversation_id>")
    def answer_prompt(conversation_id: str) -> AnyResponse | str:
        phones = gateway.phones
        decide = {"approve": phones.approve, "refuse": phones.refuse}
        decision = request.form.get("decision", "")
        if decision not in decide:
            abort(400)
        try:
            decide[decision](conversation_id)
        except LookupError:
            flash(gettext("This payment no longer waits."), "problem")
        if "HX-Request" in request.headers:
            return live_part()
        return redirect(url_for("portal.customers"))

    @blueprint.post("/customers/auto-approve")
    def auto_approve() -> AnyResponse:
        gateway.auto_approve = request.form.get("auto_approve") == "on"
        return redirect(url_for("portal.customers"))
