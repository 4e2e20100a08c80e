"""The callback endpoint as a blueprint; who may call, what it says and changes, is core's."""

from __future__ import annotations

from typing import Any, cast

from flask import Blueprint, Flask, Request, abort, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from mpesa_integrations.core.endpoint import CallbackRequest, answer_callback
from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.redaction import hide_token, hide_token_in


def callback_blueprint() -> Blueprint:
    """A blueprint with one rule, `/<token>/`, below the prefix that it is registered at."""
    blueprint = Blueprint("mpesa", __name__)
    blueprint.add_url_rule("/<token>/", "callback", _callback, methods=["POST"])
    return blueprint


def exempt_from_csrf(app: Flask, blueprint: Blueprint) -> None:
    """Have Flask-WTF's CSRFProtect, set up before or after, let the gateway in."""

    def exempt() -> None:
        csrf: Any = app.extensions.get("csrf")
        if csrf is not None and request.blueprint == blueprint.name:
            csrf.exempt(blueprint)

    csrf: Any = app.extensions.get("csrf")
    if csrf is not None:
        csrf.exempt(blueprint)
    else:
        # Runs before CSRFProtect's own check, which is registered later.
        app.before_request(exempt)


def _callback(token: str) -> ResponseReturnValue:
    """Take in an asynchronous result; PROTOCOL.md, "Answers".

    A wrong token, or a stranger's address, is answered 404 with no detail.
    """
    try:
        return _answer(token)
    except HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - Flask would show the path, and the token with it
        log_failure("callback.not_answered", error)
        return "", 500
    finally:
        _forget_token(token)


def _forget_token(token: str) -> None:
    """Hide the token in the request, which logs, error reports and handlers show after this."""
    shown = cast("Request", request._get_current_object())  # type: ignore[attr-defined]
    for name in ("url", "base_url", "full_path"):
        vars(shown).pop(name, None)  # kept from when it was first asked for
    shown.path = hide_token(shown.path, token)
    hide_token_in(shown.environ, token)
    hide_token_in(shown.view_args or {}, token)


def _answer(token: str) -> ResponseReturnValue:
    from .extension import accounts_of_current_app

    answer = answer_callback(
        accounts_of_current_app(),
        CallbackRequest(
            token=token,
            content_type=request.content_type or "",
            content_length=request.headers.get("Content-Length"),
            remote_address=request.remote_addr or "",
            forwarded_for=request.headers.get("X-Forwarded-For", ""),
            read=request.stream.read,
        ),
    )
    if answer.status == 404:
        abort(404)
    if answer.waiting_in is not None:
        from mpesa_integrations.tasks import enqueue

        from . import tasks

        enqueue(tasks.apply_callbacks, answer.waiting_in)
    return jsonify(answer.body), answer.status
