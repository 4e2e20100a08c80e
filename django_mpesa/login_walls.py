"""Whether the project's middleware lets the gateway in: one that asks for a sign-in may not."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.test import RequestFactory

from mpesa_integrations.commands import settings_with_callbacks
from mpesa_integrations.core.payments.registry import Accounts

from .routing import callback_path
from .views import was_reached


def why_kept_out(accounts: Accounts[Any, Any]) -> str | None:
    """What middleware would answer to the gateway in the endpoint's place; None if nothing.

    The project's middleware is called for this, with a token that is nobody's.

    Args:
        accounts: the project's; where none has a callback token, there are no callbacks.

    Raises:
        ConfigurationError: the URLconf does not have the endpoint.
    """
    found = settings_with_callbacks(accounts)
    if found is None:
        return None
    path = callback_path(None)
    request = _request(found.callback_url(path) if found.callback_base_url else None, path)
    handler = BaseHandler()
    handler.load_middleware()
    response = handler.get_response(request)
    if was_reached(request):
        return None
    to = (
        f" (to {response['Location'].partition('?')[0]})" if response.has_header("Location") else ""
    )
    return (
        f"the middleware answers the gateway {response.status_code}{to}, so that callbacks would "
        "be lost: let strangers call views whose login_required is False, as docs/callbacks.md "
        "shows"
    )


def _request(url: str | None, path: str) -> HttpRequest:
    """A callback as it would come, of a host that the project has."""
    allowed = next((host for host in settings.ALLOWED_HOSTS if not host.startswith(("*", "."))), "")
    host = url.split("/")[2] if url else allowed or "localhost"
    factory = RequestFactory(SERVER_NAME=host.partition(":")[0], HTTP_HOST=host)
    return factory.post(path, "{}", content_type="application/json", secure=True)
