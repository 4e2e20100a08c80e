"""The customers' side: their phones with PIN prompts, and their balances."""

from __future__ import annotations

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import LazyString, get_locale, gettext
from flask_babel import lazy_gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.core.markets.mozambique import normalise_msisdn
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.messages import in_language
from mpesa_integrations.core.protocol.msisdn import MsisdnError
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.scenarios import SCENARIOS

from .documentation import TITLES
from .live_parts import unless_seen, version_of

STATUSES: dict[str, LazyString] = {
    "Pending": _("Pending"),
    "Completed": _("Completed"),
    "Failed": _("Failed"),
    "Cancelled": _("Cancelled"),
    "Expired": _("Expired"),
}
# What happens anyway needs no arranging.
_ARRANGED = [row for row in SCENARIOS.values() if row.msisdn]
PAYMENTS = [name for name, operation in OPERATIONS.items() if operation.moves_money]
_WITH_A_NUMBER = ("c2b", "b2c")
_CUSTOMERS_SHOWN = 200
_PROMPTS_SHOWN = 100
_TRANSACTIONS_SHOWN = 20


def add_pages(blueprint: Blueprint, gateway: AccountState) -> None:
    """Add the Customers page and what its buttons do."""

    def version() -> str:
        """Changes whenever the live part does; a page that has this one is left as it is."""
        waiting = [prompt.transaction.conversation_id for prompt in gateway.phones.waiting]
        latest = [
            (transaction.conversation_id, transaction.status, str(transaction.reversed_amount))
            for transaction in gateway.ledger.latest(_TRANSACTIONS_SHOWN)
        ]
        queued = [(row.number, row.left) for row in gateway.scenarios.queued]
        return version_of(gateway.auto_approve, waiting, latest, queued)

    def live_part() -> str:
        seen = version()  # first, so that what changes meanwhile is fetched again
        prompts, balances = gateway.phones.waiting, gateway.ledger.customers()
        return render_template(
            "_customers.html",
            version=seen,
            prompts=prompts[:_PROMPTS_SHOWN],
            hidden_prompts=max(0, len(prompts) - _PROMPTS_SHOWN),
            auto_approve=gateway.auto_approve,
            queued=gateway.scenarios.queued,
            shortcode=gateway.service_provider_code,
            balances=list(balances.items())[:_CUSTOMERS_SHOWN],
            hidden_balances=max(0, len(balances) - _CUSTOMERS_SHOWN),
            latest=[
                transaction
                for transaction in gateway.ledger.latest(_TRANSACTIONS_SHOWN)
                if transaction.msisdn
            ],
            operations=TITLES,
            statuses=STATUSES,
        )

    def page(*, problem: str = "") -> str:
        return render_template(
            "customers.html",
            live_part=live_part(),
            auto_approve=gateway.auto_approve,
            pin_timeout=gateway.phones.pin_timeout,
            scenarios=_ARRANGED,
            operations={name: TITLES[name] for name in PAYMENTS},
            problem=problem,
        )

    @blueprint.get("/customers")
    def customers() -> str:
        return page()

    @blueprint.post("/customers/next")
    def next_payment() -> AnyResponse | tuple[str, int]:
        name, operation = request.form.get("scenario", ""), request.form.get("operation", "")
        msisdn = request.form.get("msisdn", "").strip()
        if name not in {row.name for row in _ARRANGED} or operation not in PAYMENTS:
            abort(400)
        try:
            wanted = normalise_msisdn(msisdn) if msisdn else None
        except MsisdnError as error:
            return page(problem=in_language(error.problem, str(get_locale()))), 400
        if wanted and operation not in _WITH_A_NUMBER:
            text = gettext("No phone number takes part in this operation: leave it empty.")
            return page(problem=text), 400
        gateway.scenarios.queue(name, operation=operation, msisdn=wanted)
        flash(gettext("The next payment that fits ends so."))
        return redirect(url_for("portal.customers", _anchor="next"))

    @blueprint.post("/customers/next/<int:number>/drop")
    def drop_next(number: int) -> AnyResponse | str:
        gateway.scenarios.drop(number)
        if "HX-Request" in request.headers:
            return live_part()
        return redirect(url_for("portal.customers", _anchor="next"))

    @blueprint.get("/customers/live")
    def customers_live() -> str | Response:
        return unless_seen(version(), live_part)

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
