"""The portal put together: sessions, sign-in everywhere, CSRF, headers, languages and its pages."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NoReturn, cast

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import Babel, format_decimal, get_locale, gettext
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.local import LocalProxy
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.core.messages import in_language
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.state import GatewayState

from . import (
    account_page,
    api_pages,
    bearers,
    customers,
    go_live,
    library_page,
    live_log,
    people,
    phone,
    profile,
    reports,
    request_box,
)
from .call_texts import answer_text, request_text
from .periods import as_moment
from .store import Store

LANGUAGES = {"en": "English", "pt": "Português"}
_SESSION_LIFE = timedelta(hours=12)
_STATIC_AGE = timedelta(hours=1)
_CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # CSRFProtect compares the Referer of a form over HTTPS, so it must be sent to this site itself.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


# The account of whoever made this request, as pages that need signing in see the gateway.
_own_account = cast("AccountState", LocalProxy(lambda: g.account))


def install_portal(app: Flask, gateway: GatewayState, store: Store) -> None:
    """Add the portal to the gateway's application, under `/portal/`."""
    app.secret_key = store.secret_key
    # Browsers send a cookie to all ports of a host: two gateways must not take each other's.
    suffix = hashlib.sha256(store.secret_key.encode()).hexdigest()[:8]
    app.config.update(
        SESSION_COOKIE_NAME=f"__Host-mpesa-portal-{suffix}",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=_SESSION_LIFE,
        WTF_CSRF_CHECK_DEFAULT=False,  # the gateway's own paths take JSON with bearers
        WTF_CSRF_TIME_LIMIT=None,
        BABEL_TRANSLATION_DIRECTORIES=str(Path(__file__).parent / "translations"),
    )
    csrf = CSRFProtect(app)
    Babel(app, locale_selector=_language)
    blueprint = Blueprint(
        "portal",
        __name__,
        url_prefix="/portal",
        template_folder="templates",
        static_folder="static",
    )

    @blueprint.before_request
    def _gate() -> AnyResponse | None:
        people.recognise(gateway, store)
        if request.endpoint == "portal.static":
            return None
        csrf.protect()
        if g.user is None and not people.is_open(gateway):
            return people.lead_to("portal.sign_in")
        return phone.ask_for_phone() if g.user else None

    @blueprint.after_request
    def _harden(response: Response) -> Response:
        response.headers.update(_HEADERS)
        if request.endpoint == "portal.static":
            response.cache_control.max_age = int(_STATIC_AGE.total_seconds())
        else:
            response.headers["Cache-Control"] = "no-store"
        return response

    @blueprint.errorhandler(CSRFError)
    def _stale(error: CSRFError) -> tuple[str, int]:
        text = gettext("This page was open for too long. Go back, reload it, and try again.")
        return render_template("error.html", title=gettext("Please try again"), text=text), 400

    @blueprint.errorhandler(HTTPException)
    def _problem(error: HTTPException) -> tuple[str, int]:
        if error.code == 404:
            title = gettext("Not found")
            text = gettext("There is nothing here. The menu leads to all pages.")
        elif error.code == 500:
            title = gettext("A fault of this gateway")
            text = gettext("The terminal where the gateway runs says what happened.")
        else:
            title = gettext("That could not be read")
            text = gettext("Go back, reload the page, and try again.")
        return render_template("error.html", title=title, text=text), error.code or 500

    @blueprint.context_processor
    def _for_every_page() -> dict[str, object]:
        return {
            "languages": LANGUAGES,
            "language": str(get_locale()),
            "user": g.get("user"),
            "is_local": people.is_local(gateway),
        }

    @blueprint.post("/language")
    def language() -> AnyResponse:
        chosen = request.form.get("language", "")
        if chosen in LANGUAGES:
            session["language"] = chosen
        return redirect(people.inside(request.form.get("next")))

    @blueprint.get("/")
    def home() -> AnyResponse:
        return redirect(url_for("portal.account"))

    @blueprint.get("/<path:_rest>")
    def nowhere(_rest: str) -> NoReturn:
        abort(404)

    for page in (go_live, account_page, api_pages, reports, customers, live_log):
        page.add_pages(blueprint, _own_account)
    people.add_pages(blueprint, gateway, store)
    bearers.add_pages(blueprint, _own_account, gateway.key)
    library_page.add_pages(blueprint)
    profile.add_pages(blueprint, gateway, store)
    phone.add_pages(blueprint, store)
    request_box.add_pages(blueprint, _own_account, store)
    app.register_blueprint(blueprint)
    for shown in (
        _moment,
        _time_of_day,
        _money,
        _explained,
        as_moment,
        in_language,
        request_text,
        answer_text,
    ):
        app.add_template_filter(shown, shown.__name__.lstrip("_"))
    app.add_template_filter(people.shown_number, "number")
    app.add_template_filter(people.shown_reference, "reference")

    @app.get("/")
    def root() -> AnyResponse:
        return redirect(url_for("portal.home"))


def _language() -> str | None:
    chosen = session.get("language")
    if chosen in LANGUAGES:
        return str(chosen)
    return request.accept_languages.best_match(list(LANGUAGES), "en")


def _moment(at: datetime) -> str:
    day = "%d/%m/%Y" if str(get_locale()) == "pt" else "%Y-%m-%d"
    return f"{at.strftime(day)} {_time_of_day(at)}"


def _time_of_day(at: datetime) -> str:
    return f"{at:%H:%M:%S}"


def _money(amount: Decimal) -> str:
    return str(format_decimal(amount, "#,##0.00"))


def _explained(problem: str) -> str:
    """A problem that was written down, in the reader's language; the part after its colon stays."""
    text, colon, detail = problem.partition(": ")
    return f"{gettext(text)}{colon}{detail}"
