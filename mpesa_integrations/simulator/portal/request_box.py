"""The Request Box: a request as the developer edits it, what was answered, and what came of it."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, abort, g, redirect, render_template, request, url_for
from flask_babel import get_locale
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.core.client.references import new_third_party_reference
from mpesa_integrations.core.markets.mozambique.codes import ResponseCode
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.protocol.codes import Kind
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.calls import Call, CallFilter

from .call_texts import to_send_again
from .documentation import TITLES
from .live_parts import unless_seen, version_of
from .prefilled import METHODS, prefilled
from .reports import OUTCOMES
from .sending import for_history, from_history, send, with_reference
from .store import SentRequest, Store
from .verdicts import verdict_on

_FIELDS = ("method", "address", "port", "path", "origin", "bearer", "body")


def add_pages(blueprint: Blueprint, gateway: AccountState, store: Store) -> None:
    """Add the Request Box."""

    @blueprint.get("/request-box")
    def request_box() -> AnyResponse:
        return redirect(url_for("portal.request_box_of", name="c2b"))

    @blueprint.route("/request-box/<name>", methods=["GET", "POST"])
    def request_box_of(name: str) -> str:
        if name not in OPERATIONS:
            abort(404)
        sent, next_reference = None, new_third_party_reference()
        if request.method == "POST":
            form = {field: request.form.get(field, "").strip() for field in _FIELDS}
            sent = send(gateway, OPERATIONS[name], form)
            if not sent["problem"]:
                store.keep_request(g.user, for_history(sent))
                # What was sent pays once; what is sent next is another payment.
                form["body"] = with_reference(form["body"], next_reference)
        else:
            form = prefilled(
                gateway,
                OPERATIONS[name],
                about=request.args.get("about", ""),
                msisdn=request.args.get("msisdn", ""),
            )
            replayed = gateway.calls.find(request.args.get("replay", 0, type=int))
            if replayed is not None and replayed.operation == name:
                again = to_send_again(replayed, gateway)
                form["body"] = json.dumps(again, indent=2, ensure_ascii=False)
        is_fragment = request.method == "POST" and "HX-Request" in request.headers
        return render_template(
            "_answer.html" if is_fragment else "request_box.html",
            name=name,
            methods=METHODS,
            form=form,
            sent=sent,
            next_reference=next_reference if is_fragment else "",
            history=_history(store),
            **_explaining(gateway, sent),
        )

    @blueprint.get("/request-box/history/<int:number>")
    def sent_request(number: int) -> str:
        found = next((kept for kept in _history(store) if kept.id == number), None)
        if found is None:
            abort(404)
        template = "_answer.html" if "HX-Request" in request.headers else "sent_request.html"
        sent = from_history(found.content)
        return render_template(template, sent=sent, at=found.at, **_explaining(gateway, sent))

    @blueprint.get("/request-box/result/<conversation_id>")
    def result_of(conversation_id: str) -> str | Response:
        shown = _result(gateway, conversation_id)
        if not shown:
            abort(404)
        return unless_seen(
            shown["version"],
            lambda: render_template("_result.html", result=shown, outcomes=OUTCOMES),
        )


def _history(store: Store) -> list[SentRequest]:
    """What the user sent, but for what an earlier version kept without saying what it proved."""
    return [kept for kept in store.sent_requests(g.user) if "kind" in kept.content]


def _explaining(gateway: AccountState, sent: dict[str, Any] | None) -> dict[str, Any]:
    """What the templates show beside an answer: in words what it says, and what came of it."""
    shown: dict[str, Any] = {
        "verdict_on": verdict_on,
        "meaning_of": lambda code: ResponseCode(code).meaning_in(str(get_locale())),
        "outcomes": OUTCOMES,
        "titles": TITLES,
        "operations": OPERATIONS,
    }
    if sent and not sent["problem"]:
        if sent["kind"] == Kind.DUPLICATE:
            shown["first"] = _first_with(gateway, sent["inputs"].get("input_ThirdPartyReference"))
        if sent["kind"] == Kind.ACCEPTED:
            shown["result"] = _result(gateway, sent["conversation_id"])
    return shown


def _first_with(gateway: AccountState, reference: str | None) -> Call | None:
    """The call that began the payment with this reference, if the journal still has it."""
    known = gateway.ledger.find(reference) if reference else None
    if known is None:
        return None
    same = CallFilter(kind="call", conversation_id=known.conversation_id)
    found = gateway.calls.select(same, descending=False, limit=1)
    return found[0] if found else None


def _result(gateway: AccountState, conversation_id: str) -> dict[str, Any] | None:
    """Where an accepted payment stands, and what its callbacks were answered; None if unknown."""
    same = CallFilter(conversation_id=conversation_id)
    together = gateway.calls.select(same, descending=False) if conversation_id else []
    if not together:
        return None
    callbacks = [call for call in together if call.kind == "callback"]
    shown: dict[str, Any] = {
        "conversation_id": conversation_id,
        "call": together[0],
        "callbacks": callbacks,
        "waits_for_pin": gateway.phones.is_asked(conversation_id),
        "is_final": any(not call.problem or call.attempt == call.attempts for call in callbacks),
    }
    version = version_of(shown["waits_for_pin"], together[0].ended, [call.id for call in callbacks])
    return {**shown, "version": version}
