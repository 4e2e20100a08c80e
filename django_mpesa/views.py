"""The callback endpoint: lets a request in or not; what it says and changes is core's."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from mpesa_integrations.core.callbacks import MAX_BODY

from .accounts import Account, mpesa


def _login_not_required(view: Callable[..., Any]) -> Callable[..., Any]:
    # What django.contrib.auth.decorators.login_not_required sets, which came with Django 5.1.
    view.login_required = False  # type: ignore[attr-defined]
    return view


@_login_not_required
@csrf_exempt
@require_POST
@transaction.non_atomic_requests
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """Take in an asynchronous result; PROTOCOL.md, "Answers".

    A wrong token, or a stranger's address, is answered 404 with no detail.
    """
    account = _account_of(token)
    if account is None or not _may_call(account, request):
        raise Http404
    if request.content_type != "application/json":
        return JsonResponse({"output_ResponseDesc": "Send application/json"}, status=415)
    try:
        length = int(request.headers.get("Content-Length") or 0)
        body = b"" if length > MAX_BODY else request.body
    except (ValueError, RequestDataTooBig):
        length, body = MAX_BODY + 1, b""
    if length > MAX_BODY:
        return JsonResponse({"output_ResponseDesc": "The body is too large"}, status=413)
    answer = account.payments.receive(body, remote_address=_remote_address(account, request))
    return JsonResponse(dict(answer.body), status=answer.status)


def _account_of(token: str) -> Account | None:
    # All are compared, so that the time taken tells nothing of which one came close.
    matching = [alias for alias in mpesa if mpesa[alias].payments.accepts(token)]
    return mpesa[matching[0]] if matching else None


def _may_call(account: Account, request: HttpRequest) -> bool:
    networks = account.options.get("CALLBACK_NETWORKS")
    return not networks or _within(_remote_address(account, request), networks)


def _remote_address(account: Account, request: HttpRequest) -> str | None:
    """The caller's address: X-Forwarded-For counts only as far as trusted proxies wrote it."""
    address = _address(request.META.get("REMOTE_ADDR", ""))
    proxies = account.options.get("TRUSTED_PROXIES") or ()
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    while hops and _within(address, proxies):
        address = _address(hops.pop())
    return address


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _within(address: str | None, networks: Iterable[str]) -> bool:
    if address is None:
        return False
    found = ipaddress.ip_address(address)
    return any(found in ipaddress.ip_network(network) for network in networks)
