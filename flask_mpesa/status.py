"""The page at which a browser asks where a payment stands, as a blueprint, and its path.

What it is told is core's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask import Blueprint, Flask, Response, current_app, has_request_context, request, url_for
from werkzeug.routing import BuildError

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.payments.public_status import HEADERS, answer_status

from .current import accounts_of_current_app

_LANGUAGES = ("en", "pt")


def status_blueprint() -> Blueprint:
    """A blueprint with one rule, `/<token>/`, below the prefix that it is registered at."""
    blueprint = Blueprint("mpesa_status", __name__)
    blueprint.add_url_rule("/<token>/", "status", status)
    return blueprint


def secret_keys(app: Flask) -> list[str | bytes]:
    """The app's SECRET_KEY, if it has one, and those that were it before."""
    return [app.secret_key or "", *(app.config.get("SECRET_KEY_FALLBACKS") or ())]


def status_path(app: Flask, token: str) -> str:
    """The status page's path on the site, by whatever name its blueprint was registered.

    Raises:
        ConfigurationError: it is not registered, or below a prefix with variables.
    """
    build: Callable[..., str] = url_for if has_request_context() else partial(_built, app)
    for endpoint, view in app.view_functions.items():
        if view is status:
            try:
                return build(endpoint, token=token)
            except BuildError:
                continue
    raise ConfigurationError(
        "the status page is not registered, or below a prefix with variables",
        setting="MPESA_STATUS_PATH",
    )


def status(token: str) -> Response:
    """Tell where a payment stands, by a token of `mpesa.status_token`; docs/waiting.md."""
    answer = answer_status(accounts_of_current_app(), token, _language())
    return Response(
        answer.content, answer.status, headers=HEADERS, content_type=answer.content_type
    )


def _built(app: Flask, endpoint: str, **values: str) -> str:
    """A path outside of a request, as in a worker that writes a mail."""
    return app.url_map.bind("", app.config["APPLICATION_ROOT"]).build(endpoint, values)


def _language() -> str | None:
    """The page's language where Flask-Babel says it, else the one that the browser asks for."""
    if "babel" in current_app.extensions:
        from flask_babel import get_locale

        return str(get_locale())
    asked = request.accept_languages.values()  # the most wanted first
    return next((tag for tag in asked if tag[:2].lower() in _LANGUAGES), None)
