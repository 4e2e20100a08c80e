"""Signing up, activating, signing in and out, and the outbox in place of e-mail."""

from __future__ import annotations

import ipaddress

from flask import Blueprint, Response, flash, redirect, render_template, request, session, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.simulator.state import GatewayState

from .store import SHORTEST_PASSWORD, Store, email_is_well_formed, phone_is_well_formed

_OPEN = {"portal.sign_in", "portal.sign_up", "portal.activate", "portal.language"}
_OPEN_TO_THIS_MACHINE = {"portal.outbox"}


def is_open(gateway: GatewayState) -> bool:
    """Whether the page of this request can be seen by somebody who has not signed in."""
    # The outbox activates accounts: shown to strangers, signing up would need no address at all.
    return request.endpoint in _OPEN or (
        request.endpoint in _OPEN_TO_THIS_MACHINE and is_local(gateway)
    )


def is_local(gateway: GatewayState) -> bool:
    """Whether the gateway serves this machine only, and this request comes from it."""
    return _is_loopback(gateway.host) and _is_loopback(request.remote_addr or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def ask_to_sign_in() -> AnyResponse:
    """Send somebody to the sign-in page, and back afterwards."""
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    if "HX-Request" in request.headers:
        # A fragment's place is within a page: the page as a whole must go.
        return Response(status=401, headers={"HX-Redirect": url_for("portal.sign_in")})
    return redirect(url_for("portal.sign_in", next=back))


def inside(target: str | None) -> str:
    """A path of the portal to go on to; its first page in place of any other address."""
    safe = target and target.startswith("/portal/") and not set(target) & set("\\\r\n")
    return target if target and safe else url_for("portal.home")


def add_pages(blueprint: Blueprint, gateway: GatewayState, store: Store) -> None:
    """Add the pages for people who are not signed in yet."""

    @blueprint.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> AnyResponse | str | tuple[str, int]:
        if request.method == "GET":
            return render_template("sign_in.html", ready_made=store.ready_made)
        user = store.sign_in(request.form.get("email", ""), request.form.get("password", ""))
        if user is None:
            problem = gettext(
                "This e-mail and password do not go together, or the account is not active yet."
            )
            page = render_template("sign_in.html", ready_made=store.ready_made, problem=problem)
            return page, 400
        language = session.get("language")
        session.clear()
        session.permanent = True
        session["user"] = user.id
        if language:
            session["language"] = language
        return redirect(inside(request.form.get("next")))

    @blueprint.post("/sign-out")
    def sign_out() -> AnyResponse:
        session.pop("user", None)
        flash(gettext("You are signed out."))
        return redirect(url_for("portal.sign_in"))

    @blueprint.route("/sign-up", methods=["GET", "POST"])
    def sign_up() -> AnyResponse | str | tuple[str, int]:
        if request.method == "GET":
            return render_template("sign_up.html", problems={}, shortest=SHORTEST_PASSWORD)
        form = {name: request.form.get(name, "") for name in ("email", "phone", "password")}
        problems = _problems(form)
        if problems:
            page = render_template("sign_up.html", problems=problems, shortest=SHORTEST_PASSWORD)
            return page, 400
        token = store.sign_up(form["email"], form["phone"], form["password"])
        if token:
            path = url_for("portal.activate", token=token)
            store.write_to(form["email"], f"{gateway.control_url}{path}")
        # The same words for an address that is taken: strangers learn nothing of who has one.
        flash(gettext("Nearly done: open the link in the letter. It is in the outbox."))
        return redirect(url_for("portal.outbox"))

    @blueprint.get("/activate/<token>")
    def activate(token: str) -> AnyResponse:
        if store.activate(token):
            flash(gettext("The account is active. Sign in, please."))
        else:
            flash(
                gettext("This link is not one of ours. Copy it from the outbox, whole."), "problem"
            )
        return redirect(url_for("portal.sign_in"))

    @blueprint.get("/outbox")
    def outbox() -> str:
        return render_template("outbox.html", messages=store.outbox())


def _problems(form: dict[str, str]) -> dict[str, str]:
    problems = {}
    if not email_is_well_formed(form["email"]):
        problems["email"] = gettext("Write an e-mail address, as in ana@example.com.")
    if not phone_is_well_formed(form["phone"]):
        problems["phone"] = gettext("Write a mobile number, as in 84 123 4567.")
    if len(form["password"]) < SHORTEST_PASSWORD:
        problems["password"] = gettext(
            "Use at least %(count)s characters.", count=SHORTEST_PASSWORD
        )
    return problems
