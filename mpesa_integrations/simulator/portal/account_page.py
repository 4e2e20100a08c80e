"""The Account page: keys, and where the gateway posts results to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.core.markets.mozambique import CALLBACK_PORTS
from mpesa_integrations.core.markets.mozambique.codes import ResponseCode
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.calls import CallFilter
from mpesa_integrations.simulator.response_url import ResponseURLRefused

from .call_texts import request_of

_LATELY = timedelta(days=7)


class KeyUser(NamedTuple):
    """A program that called with the account's API Key.

    Attributes:
        agent: its `User-Agent`, empty where it sent none.
        latest_at: when it called last, aware UTC.
    """

    agent: str
    calls: int
    latest_at: datetime


def add_pages(blueprint: Blueprint, gateway: AccountState) -> None:
    """Add the Account page and what its buttons do."""

    def page(*, problem: str = "", url: str | None = None) -> str:
        tried = gateway.calls.find(request.args.get("tried", 0, type=int))
        return render_template(
            "account.html",
            account=gateway.account,
            response_url=gateway.response_url,
            url=gateway.response_url if url is None else url,
            problem=problem,
            tried=tried if tried and tried.kind == "callback" else None,
            ports=CALLBACK_PORTS,
        )

    @blueprint.get("/account")
    def account() -> str:
        return page()

    @blueprint.get("/account/renew-api-key")
    def ask_to_renew() -> str:
        template = "_renew.html" if "HX-Request" in request.headers else "renew_api_key.html"
        return render_template(template, key_users=_key_users(gateway))

    @blueprint.post("/account/renew-api-key")
    def renew_api_key() -> AnyResponse:
        gateway.renew_api_key()
        flash(gettext("This is your new API Key. The old one no longer works."))
        return redirect(url_for("portal.account"))

    @blueprint.post("/account/response-url")
    def response_url() -> AnyResponse | tuple[str, int]:
        url = request.form.get("response_url", "").strip()
        try:
            gateway.response_url = url
        except ResponseURLRefused as error:
            return page(problem=gettext(error.text, **error.values), url=url), 400
        if url:
            flash(gettext("Results are now posted to your URL: you are in asynchronous mode."))
        else:
            flash(gettext("The URL is cleared: you are in synchronous mode."))
        return redirect(url_for("portal.account"))

    @blueprint.post("/account/test-callback")
    def test_callback() -> AnyResponse:
        if gateway.response_url is None:
            flash(gettext("Set an Asynchronous Response URL first."), "problem")
            return redirect(url_for("portal.account"))
        delivery = gateway.callbacks.send_test()
        (kept,) = gateway.calls.select(CallFilter(conversation_id=delivery.conversation_id))
        # So that a page that is loaded again sends nothing again.
        return redirect(url_for("portal.account", tried=kept.id, _anchor="delivery"))


def _key_users(gateway: AccountState) -> list[KeyUser]:
    """Who called with the right key lately, the last one first."""
    since = datetime.now(timezone.utc) - _LATELY
    found: dict[str, KeyUser] = {}
    for call in gateway.calls.select(CallFilter(kind="call", since=since)):
        if call.code == ResponseCode.INVALID_API_KEY:
            continue
        headers = request_of(call)["headers"]
        agent = headers.get("User-Agent", "")
        before = found.get(agent, KeyUser(agent, 0, call.at))
        found[agent] = before._replace(calls=before.calls + 1)
    return list(found.values())
