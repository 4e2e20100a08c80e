"""The Account page: keys, and where the gateway posts results to."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.core.markets.mozambique import CALLBACK_PORTS
from mpesa_integrations.simulator.delivery import Delivery
from mpesa_integrations.simulator.masking import shorten_url, shown_body, shown_parameters
from mpesa_integrations.simulator.response_url import ResponseURLRefused
from mpesa_integrations.simulator.state import GatewayState


def add_pages(blueprint: Blueprint, gateway: GatewayState) -> None:
    """Add the Account page and what its buttons do."""

    def page(*, problem: str = "", url: str | None = None, delivery: Delivery | None = None) -> str:
        return render_template(
            "account.html",
            account=gateway.account,
            response_url=gateway.response_url,
            url=gateway.response_url if url is None else url,
            problem=problem,
            delivery=delivery,
            ports=CALLBACK_PORTS,
            shorten_url=shorten_url,
            as_json=shown_parameters,
            shown_body=shown_body,
        )

    @blueprint.get("/account")
    def account() -> str:
        return page()

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
    def test_callback() -> AnyResponse | str:
        if gateway.response_url is None:
            flash(gettext("Set an Asynchronous Response URL first."), "problem")
            return redirect(url_for("portal.account"))
        return page(delivery=gateway.callbacks.send_test())
