"""What of the app must be open to strangers, and whether a hook of the app keeps the gateway out.

A `before_request` that asks for a sign-in runs before every view, so before the callback's, too.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from mpesa_integrations.commands import settings_with_callbacks
from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.registry import Accounts

from .callbacks import callback, callback_path, was_reached
from .status import status

logger: logging.Logger = logging.getLogger("mpesa_integrations")

_REMEDY = (
    "callbacks would be lost: let strangers pass where request.endpoint is in "
    "mpesa.public_endpoints, as docs/callbacks.md shows"
)


def public_endpoints(app: Flask) -> frozenset[str]:
    """The endpoints of the callback and of the status page, by whatever names they have."""
    ours = (callback, status)
    return frozenset(name for name, view in app.view_functions.items() if view in ours)


def why_kept_out(app: Flask, accounts: Accounts[Any, Any]) -> str | None:
    """What a hook of the app would answer to the gateway in the endpoint's place; None if nothing.

    The app's `before_request` functions are called for this as for a callback.

    Args:
        app: the app.
        accounts: its accounts; where none has a callback token, there are no callbacks.

    Raises:
        ConfigurationError: the endpoint is not registered.
    """
    settings = settings_with_callbacks(accounts)
    if settings is None:
        return None
    path = callback_path(app, "-")
    url = settings.callback_url(path) if settings.callback_base_url else f"https://localhost{path}"
    with app.test_request_context(url, method="POST", json={}):
        try:
            answer = app.preprocess_request()
            response = None if answer is None else app.make_response(answer)
        except HTTPException as error:
            response = Response(status=error.code)
        except Exception as error:  # noqa: BLE001 - the hook's own, whatever it is
            log_failure("check.hook_failed", error)
            return f"a before_request of the app raises {type(error).__name__}; {_REMEDY}"
    if response is None:
        return None
    to = f" (to {response.location.partition('?')[0]})" if response.location else ""
    return f"a before_request of the app answers the gateway {response.status_code}{to}; {_REMEDY}"


def log_what_is_kept_out(app: Flask) -> None:
    """Log each callback that a hook of the app answered in the endpoint's place."""

    def look(response: Response) -> Response:
        is_callback = app.view_functions.get(request.endpoint or "") is callback
        if is_callback and request.method == "POST" and not was_reached(request):
            logger.error("callback.kept_out status=%s %s", response.status_code, _REMEDY)
        return response

    app.after_request(look)
