"""The live log: calls as they happen, each with the callbacks of its payment."""

from __future__ import annotations

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.calls import Call, CallFilter, Group

from .call_texts import as_curl, group_as_json
from .documentation import TITLES
from .live_parts import unless_seen, version_of
from .reports import OUTCOMES, call_or_404

_SHOWN = 50
_MOST_SHOWN = 1000


def add_pages(blueprint: Blueprint, gateway: AccountState) -> None:
    """Add the live log, and what can be done with one of its lines."""

    def asked_for() -> list[Group]:
        """The lines that are asked for, and one more if there is one."""
        wanted = CallFilter(
            search=request.args.get("search", "").strip(),
            operation=request.args.get("operation", ""),
            ended=request.args.get("ended", ""),
        )
        return gateway.calls.groups(wanted, limit=_shown() + 1)

    def entries(groups: list[Group]) -> str:
        shown = _shown()
        return render_template(
            "_entries.html",
            groups=groups[:shown],
            kept=_kept_arguments(),
            more=min(_MOST_SHOWN, shown + _SHOWN) if len(groups) > shown else 0,
            version=_version(groups),
            operations=TITLES,
            outcomes=OUTCOMES,
            in_async_mode=gateway.response_url is not None,
        )

    @blueprint.get("/log")
    def live_log() -> str:
        return render_template(
            "log.html",
            entries=entries(asked_for()),
            operations=TITLES,
            outcomes=OUTCOMES,
            is_narrowed=bool(_kept_arguments()),
        )

    @blueprint.get("/log/entries")
    def log_entries() -> str | Response:
        groups = asked_for()
        return unless_seen(_version(groups), lambda: entries(groups))

    @blueprint.get("/log/<int:number>.json")
    def logged_as_json(number: int) -> Response:
        call = call_or_404(gateway, number)
        text = group_as_json(_group_of(gateway, call))
        return Response(text, content_type="application/json")

    @blueprint.get("/log/<int:number>.sh")
    def logged_as_curl(number: int) -> Response:
        text = as_curl(call_or_404(gateway, number), gateway)
        return Response(text, content_type="text/plain; charset=utf-8")

    @blueprint.post("/log/<int:number>/send-again")
    def send_again(number: int) -> AnyResponse:
        call = call_or_404(gateway, number)
        payment = gateway.ledger.find(call.conversation_id) if call.kind == "callback" else None
        if payment is None:
            abort(404)
        if gateway.response_url is None:
            flash(gettext("Set an Asynchronous Response URL first."), "problem")
            return redirect(url_for("portal.account"))
        delivery = gateway.callbacks.send_again(payment)
        if delivery.acknowledged:
            flash(gettext("The callback was sent again, and delivered."))
        else:
            flash(gettext("The callback was sent again, and not delivered."), "problem")
        return redirect(url_for("portal.report", number=number))


def _shown() -> int:
    """How many lines are asked for."""
    return min(_MOST_SHOWN, max(_SHOWN, request.args.get("shown", _SHOWN, type=int)))


def _kept_arguments() -> dict[str, str]:
    names = ("search", "operation", "ended")
    return {name: request.args[name] for name in names if request.args.get(name)}


def _version(groups: list[Group]) -> str:
    return version_of([(call.id, call.ended, [row.id for row in rows]) for call, rows in groups])


def _group_of(gateway: AccountState, call: Call) -> Group:
    if call.kind == "callback" or not call.conversation_id:
        return Group(call, [])
    same = CallFilter(kind="callback", conversation_id=call.conversation_id)
    return Group(call, gateway.calls.select(same, descending=False))
