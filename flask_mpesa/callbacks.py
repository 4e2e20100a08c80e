"""The callback endpoint as a blueprint, its path, and its way past a CSRF check.

Who may call it, what it answers and what a callback changes is in core.
"""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, Flask, Request, abort, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BuildError

from mpesa_integrations.background import enqueue
from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.endpoint import CallbackRequest, answer_callback, wsgi_reader
from mpesa_integrations.core.redaction import hide_token, hide_token_in

from .current import accounts_of_current_app

_REACHED = "mpesa_integrations.callback_reached"


def callback_blueprint() -> Blueprint:
    """A blueprint with one rule, `/<token>/`, below the prefix that it is registered at."""
    blueprint = Blueprint("mpesa", __name__)
    # Without its last slash, too: a redirect would lose the body of a caller that follows none.
    blueprint.add_url_rule(
        "/<token>/", "callback", callback, methods=["POST"], strict_slashes=False
    )
    return blueprint


def callback_path(app: Flask, token: str) -> str:
    """The endpoint's path on the site, by whatever name its blueprint was registered.

    Raises:
        ConfigurationError: it is not registered, or below a prefix with variables.
    """
    urls = app.url_map.bind("")
    for endpoint, view in app.view_functions.items():
        if view is callback:
            try:
                return urls.build(endpoint, {"token": token})
            except BuildError:
                continue
    raise ConfigurationError(
        "the callback endpoint is not registered, or below a prefix with variables",
        setting="MPESA_CALLBACK_PATH",
    )


def exempt_from_csrf(app: Flask) -> None:
    """Exempt the endpoint from Flask-WTF's CSRFProtect, set up before or after this."""

    def exempt() -> None:
        csrf: Any = app.extensions.get("csrf")
        if csrf is not None and app.view_functions.get(request.endpoint or "") is callback:
            csrf.exempt(callback)

    csrf: Any = app.extensions.get("csrf")
    if csrf is not None:
        # The view, since the blueprint can be registered inside another, or by another name.
        csrf.exempt(callback)
    else:
        # Runs before CSRFProtect's own check, which is registered later.
        app.before_request(exempt)


def callback(token: str) -> ResponseReturnValue:
    """Take in an asynchronous result; docs/protocol.md, "Answers".

    A wrong token, or a stranger's address, is answered 404 with no detail.
    """
    request.environ[_REACHED] = True
    try:
        return _answer(token)
    except HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - Flask would show the path, and the token with it
        log_failure("callback.not_answered", error)
        return "", 500
    finally:
        _forget_token(token)


def was_reached(request: Request) -> bool:
    """Whether the endpoint has been called for a request, and no hook in its place."""
    return _REACHED in request.environ


def _forget_token(token: str) -> None:
    """Hide the token in the request, which logs, error reports and handlers show after this."""
    shown = cast("Request", request._get_current_object())  # type: ignore[attr-defined]
    for name in ("url", "base_url", "full_path"):
        vars(shown).pop(name, None)  # cached properties, with the token
    shown.path = hide_token(shown.path, token)
    hide_token_in(shown.environ, token)
    hide_token_in(shown.view_args or {}, token)


def _answer(token: str) -> ResponseReturnValue:
    answer = answer_callback(
        accounts_of_current_app(),
        CallbackRequest(
            token=token,
            content_type=request.content_type or "",
            content_length=request.headers.get("Content-Length"),
            remote_address=request.remote_addr or "",
            forwarded_for=request.headers.get("X-Forwarded-For", ""),
            read=_read,
        ),
    )
    if answer.status == 404:
        abort(404)
    if answer.waiting_in is not None:
        enqueue("flask_mpesa.tasks", "apply_callbacks", answer.waiting_in)
    return jsonify(answer.body), answer.status


def _read(limit: int) -> bytes:
    read = wsgi_reader(request.environ, request.stream.read)
    # If a hook of the app has read the body, the stream is at its end, and the request has it.
    return read(limit) or request.get_data()
