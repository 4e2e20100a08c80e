"""The page at which a browser asks where a payment stands; what it is told is core's.

As JSON; under ASGI, where server-sent events are asked for, as events.
"""

from __future__ import annotations

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from mpesa_integrations.core.payments.public_status import HEADERS, answer_status, status_events

from .accounts import mpesa
from .connections import non_atomic
from .views import login_not_required

_EVENTS = "text/event-stream"
_AT_ONCE = {"Content-Encoding": "identity", "X-Accel-Buffering": "no"}
"""So that neither Django's GZipMiddleware nor nginx keeps events until they are many."""


@login_not_required
@non_atomic
@require_safe
def status(request: HttpRequest, token: str) -> HttpResponseBase:
    """Tell where a payment stands, by a token of `mpesa.status_token`; docs/waiting.md."""
    language = get_language()
    answer = answer_status(mpesa, token, language)
    if answer.status == 200 and _wants_events(request):
        return StreamingHttpResponse(
            status_events(mpesa, token, language),
            content_type=_EVENTS,
            headers={**HEADERS, **_AT_ONCE},
        )
    return HttpResponse(
        answer.content, status=answer.status, content_type=answer.content_type, headers=HEADERS
    )


def _wants_events(request: HttpRequest) -> bool:
    """Whether it is an EventSource that asks, of a server that can stream to many at once."""
    asked = _EVENTS in request.headers.get("Accept", "")
    return asked and request.method == "GET" and isinstance(request, ASGIRequest)
