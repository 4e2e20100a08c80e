"""The application factory: extensions, pages, handlers and commands, put together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal

from flask import Flask, Response, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_babel import Babel, format_decimal, get_locale
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import HTTPException

from . import admin, cli, handlers, views  # noqa: F401 - the handlers register themselves
from .models import db, mpesa
from .settings import LANGUAGES, read_settings


def create_app(environment: Mapping[str, str] = os.environ) -> Flask:
    """Make the café's application.

    Args:
        environment: where the settings come from that differ between places; `settings` names them.
    """
    app = Flask(__name__)
    app.config.from_mapping(read_settings(environment))
    db.init_app(app)
    csrf = CSRFProtect(app)
    Babel(app, locale_selector=_language)
    app.add_template_global(get_locale)
    app.add_template_filter(_meticais, "meticais")
    mpesa.init_app(app)
    app.register_blueprint(views.pages)
    admin.mount(app, csrf)
    app.register_error_handler(HTTPException, _problem)
    app.after_request(_harden)
    for command in (cli.serve, cli.show):
        app.cli.add_command(command)
    with app.app_context():
        db.create_all()
    return app


def _language() -> str:
    """What the visitor chose; before that, what the browser asks for."""
    chosen = session.get("language") or request.accept_languages.best_match(LANGUAGES)
    return chosen or LANGUAGES[0]


def _meticais(amount: Decimal) -> str:
    return f"{format_decimal(amount, '#,##0.00')}\N{NO-BREAK SPACE}MZN"


def _problem(error: HTTPException) -> ResponseReturnValue:
    stale = isinstance(error, CSRFError)
    problem = "stale" if stale else "broken" if error.code == 500 else "missing"
    return render_template("cafe/problem.html", problem=problem), error.code or 500


def _harden(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = (
        admin.policy() or "default-src 'self'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response
