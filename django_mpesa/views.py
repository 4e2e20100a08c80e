"""The callback endpoint; who may call, what it says and changes, is core's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseNotFound,
    JsonResponse,
)
from django.urls import get_resolver, get_urlconf
from django.views.decorators.csrf import csrf_exempt

from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.endpoint import CallbackRequest, answer_callback, wsgi_reader
from mpesa_integrations.core.redaction import hide_token, hide_token_in

from .accounts import mpesa
from .background import enqueue_callbacks
from .connections import non_atomic

_REACHED = "mpesa_integrations.callback_reached"


def login_not_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let strangers call a view, also where LoginRequiredMiddleware keeps them out."""
    # What django.contrib.auth.decorators.login_not_required sets, which came with Django 5.1.
    view.login_required = False  # type: ignore[attr-defined]
    return view


@login_not_required
@csrf_exempt
@non_atomic
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """Take in an asynchronous result; docs/protocol.md, "Answers".

    A wrong token, or a stranger's address, is answered 404 with no detail.
    """
    request.META[_REACHED] = True
    try:
        response = (
            _answer(request, token) if request.method == "POST" else HttpResponseNotAllowed("POST")
        )
    except Exception as error:  # noqa: BLE001 - Django would show the path, and the token with it
        log_failure("callback.not_answered", error)
        response = HttpResponse(status=500)
    finally:
        _forget_token(request, token)
    # Django would log the path of what was not answered 200, and the token with it.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def was_reached(request: HttpRequest) -> bool:
    """Whether the endpoint has been called for a request, and no middleware in its place."""
    return _REACHED in request.META


def _forget_token(request: HttpRequest, token: str) -> None:
    """Hide the token in the request, which logs, error reports and middleware show after this."""
    request.path = hide_token(request.path, token)
    request.path_info = hide_token(request.path_info, token)
    hide_token_in(request.META, token)
    match: Any = request.resolver_match
    for found in (getattr(match, name, None) for name in ("kwargs", "captured_kwargs")):
        hide_token_in(found or {}, token)


def _answer(request: HttpRequest, token: str) -> HttpResponse:
    answer = answer_callback(
        mpesa,
        CallbackRequest(
            token=token,
            content_type=request.META.get("CONTENT_TYPE", ""),
            content_length=request.META.get("CONTENT_LENGTH"),
            remote_address=request.META.get("REMOTE_ADDR", ""),
            forwarded_for=request.META.get("HTTP_X_FORWARDED_FOR", ""),
            read=_reader(request),
        ),
    )
    if answer.status == 404:
        return _not_found(request)
    if answer.waiting_in is not None:
        enqueue_callbacks(answer.waiting_in)
    return JsonResponse(dict(answer.body), status=answer.status)


def _not_found(request: HttpRequest) -> HttpResponse:
    """The site's own page for what there is not."""
    page: Any = get_resolver(get_urlconf()).resolve_error_handler(404)
    try:
        found: HttpResponse = page(request, exception=Http404())
    except Exception as error:  # noqa: BLE001 - Django would log the path
        log_failure("callback.no_404_page", error)
        return HttpResponseNotFound()
    return found


def _reader(request: HttpRequest) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        try:
            if request.META.get("CONTENT_LENGTH"):
                _ = request.body  # kept, for middleware that looks at it afterwards
        except RequestDataTooBig:
            return b"x" * limit
        return request.read(limit)

    # Only a WSGI request has an environment; an ASGI request's body is there, whole.
    return wsgi_reader(getattr(request, "environ", {}), read)
