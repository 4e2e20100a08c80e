"""Signing up, activating, signing in and out, a forgotten password; the outbox for e-mail."""

from __future__ import annotations

import ipaddress
import threading

from flask import (
    Blueprint,
    Response,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.core.masking import mask_msisdn, mask_msisdns_in
from mpesa_integrations.simulator.state import GatewayState

from .fields import SHORTEST_PASSWORD, email_problem, password_problem
from .store import Store
from .users import LINK_LIFE, NEW_EMAIL, NEW_PASSWORD, User

_OPEN = {
    "portal.sign_in", "portal.sign_up", "portal.activate", "portal.forgotten_password",
    "portal.new_password", "portal.confirm_email", "portal.language",
}  # fmt: skip
_OPEN_TO_THIS_MACHINE = {"portal.outbox"}
_ACTIVATION = "activation"
_SUBJECTS = {
    _ACTIVATION: (_("Activate your account"), _("Activate")),
    NEW_PASSWORD: (_("Choose a new password"), _("New password for")),
    NEW_EMAIL: (_("Confirm your e-mail address"), _("Confirm")),
}


def is_open(gateway: GatewayState) -> bool:
    """Whether the page of this request can be seen by somebody who has not signed in."""
    # The outbox activates accounts: shown to strangers, signing up would need no address at all.
    return request.endpoint in _OPEN or (
        request.endpoint in _OPEN_TO_THIS_MACHINE and is_local(gateway)
    )


def is_local(gateway: GatewayState) -> bool:
    """Whether the gateway serves this machine only, and this request comes from it."""
    return _is_loopback(gateway.addresses.host) and _is_loopback(request.remote_addr or "")


def shows_whole_numbers() -> bool:
    """Whether this request's pages show phone numbers whole: where all is local."""
    return bool(g.get("is_local"))


def shown_number(msisdn: str) -> str:
    """A phone number, masked unless numbers are shown whole."""
    return msisdn if shows_whole_numbers() or not msisdn else mask_msisdn(msisdn)


def shown_reference(text: str) -> str:
    """A reference; phone numbers in it are masked unless numbers are shown whole."""
    return text if shows_whole_numbers() else mask_msisdns_in(text)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def lead_to(endpoint: str) -> AnyResponse:
    """Send somebody to a page that comes first, and back afterwards."""
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    if "HX-Request" in request.headers:
        # A fragment's place is within a page: the page as a whole must go.
        return Response(status=401, headers={"HX-Redirect": url_for(endpoint)})
    return redirect(url_for(endpoint, next=back))


def inside(target: str | None) -> str:
    """A path of the portal to go on to; its first page in place of any other address."""
    safe = target and target.startswith("/portal/") and not set(target) & set("\\\r\n")
    return target if target and safe else url_for("portal.home")


def recognise(gateway: GatewayState, store: Store) -> None:
    """Put who makes this request into `g.user`, None for a stranger, and their account beside."""
    g.is_local = is_local(gateway)
    number = session.get("user")
    found = store.users.get(number) if isinstance(number, int) else None
    g.user = found if found and found.session_mark == session.get("mark") else None
    if g.user is not None:
        g.account = gateway.accounts[g.user.service_provider_code]


def begin_session(user: User) -> None:
    """Sign somebody in. The session ends when the password is changed elsewhere."""
    language = session.get("language")
    session.clear()
    session.permanent = True
    session.update(user=user.id, mark=user.session_mark)
    if language:
        session["language"] = language


def add_pages(blueprint: Blueprint, gateway: GatewayState, store: Store) -> None:
    """Add the pages for people who are not signed in yet."""
    users, opening = store.users, threading.Lock()

    def open_accounts() -> None:
        with opening:
            for number in users.without(gateway.accounts):
                users.assign(number, gateway.open_account().service_provider_code)

    open_accounts()  # for people of an older version, or of a lost directory

    @blueprint.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> AnyResponse | str | tuple[str, int]:
        if request.method == "GET":
            return render_template("sign_in.html", ready_made=store.ready_made)
        user = users.sign_in(request.form.get("email", ""), request.form.get("password", ""))
        if user is None:
            problem = gettext(
                "This name and password do not go together, or the account is not active yet."
            )
            page = render_template("sign_in.html", ready_made=store.ready_made, problem=problem)
            return page, 400
        begin_session(user)
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
        email, password = request.form.get("email", ""), request.form.get("password", "")
        problems = {"email": email_problem(email), "password": password_problem(password)}
        if any(problems.values()):
            page = render_template("sign_up.html", problems=problems, shortest=SHORTEST_PASSWORD)
            return page, 400
        made = users.sign_up(email, password)
        if made:
            number, token = made
            path = url_for("portal.activate", token=token)
            store.write_letter(_ACTIVATION, number, email, f"{gateway.control_url}{path}")
        # The same words for an address that is taken: strangers learn nothing of who has one.
        flash(gettext("Nearly done: open the link in the letter. It is in the outbox."))
        return redirect(url_for("portal.outbox"))

    @blueprint.get("/activate/<token>")
    def activate(token: str) -> AnyResponse:
        if users.activate(token):
            open_accounts()  # and not before: strangers can sign up
            flash(gettext("The account is active. Sign in, please."))
        else:
            flash(
                gettext("This link is not one of ours. Copy it from the outbox, whole."), "problem"
            )
        return redirect(url_for("portal.sign_in"))

    @blueprint.get("/outbox")
    def outbox() -> str:
        # Whoever reads a letter can take an account over: to others than the machine's own people
        # and those of the ready-made account, who run the gateway, it shows one's own letters.
        reads_all = is_local(gateway) or g.user.email == store.ready_made.email
        letters = [it for it in store.outbox() if reads_all or it.user_id == g.user.id]
        return render_template("outbox.html", letters=letters, subjects=_SUBJECTS)

    _add_password_pages(blueprint, gateway, store)


def _add_password_pages(blueprint: Blueprint, gateway: GatewayState, store: Store) -> None:
    """Add the pages for a forgotten password."""

    @blueprint.route("/forgotten-password", methods=["GET", "POST"])
    def forgotten_password() -> AnyResponse | str:
        if request.method == "GET":
            return render_template("forgotten_password.html")
        user = store.users.find(request.form.get("email", ""))
        if user and user.email != store.ready_made.email:
            token = store.users.new_token(user, NEW_PASSWORD)
            path = url_for("portal.new_password", token=token)
            store.write_letter(NEW_PASSWORD, user.id, user.email, f"{gateway.control_url}{path}")
        # The same words for all, as for signing up.
        flash(
            gettext(
                "If there is such an account, a letter with a link is in the outbox. The link is "
                "good for %(minutes)s minutes.",
                minutes=LINK_LIFE.seconds // 60,
            )
        )
        return redirect(url_for("portal.outbox" if is_local(gateway) else "portal.sign_in"))

    @blueprint.route("/new-password/<token>", methods=["GET", "POST"])
    def new_password(token: str) -> AnyResponse | str | tuple[str, int]:
        user = store.users.user_of_token(token, NEW_PASSWORD)
        if user is None:
            flash(gettext("This link is no longer good. Ask for another letter."), "problem")
            return redirect(url_for("portal.forgotten_password"))
        password = request.form.get("password", "")
        problem = password_problem(password) if request.method == "POST" else ""
        if request.method == "GET" or problem:
            page = render_template(
                "new_password.html", email=user.email, problem=problem, shortest=SHORTEST_PASSWORD
            )
            return page, 400 if problem else 200
        store.users.set_password(user, password)
        session.pop("user", None)
        flash(gettext("The password is changed. Sign in with it, please."))
        return redirect(url_for("portal.sign_in"))
