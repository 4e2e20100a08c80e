"""The callback URL: with and without its last slash, in chunks, and wherever it is included."""

from __future__ import annotations

import asyncio
import json
import logging
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf.urls.i18n import i18n_patterns
from django.core.checks import run_checks
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse
from django.utils import translation
from pytest_django import Settings

from django_mpesa import mpesa
from django_mpesa.models import CallbackLog
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN, account_settings
from tests.support.chunked import KINDS, SERVERS_OWN, post_in_chunks, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings(SERVERS_OWN)]
URL = f"/mpesa/callback/{TOKEN}/"
BODY: dict[str, str] = {
    "input_OriginalConversationID": "AG_1",
    "input_ThirdPartyReference": "NOBODYS",
    "input_TransactionID": "N/A",
    "input_ResultCode": "INS-5",
    "input_ResultDesc": "said the callback",
}
GOOD = {"ENVIRONMENT": "production", "CALLBACK_BASE_URL": "https://shop.example:12000"}


class _Closing(WSGIHandler):
    """As a server's thread, whose connections a test's database would wait for."""

    def __call__(self, *args: Any) -> Any:
        try:
            return super().__call__(*args)
        finally:
            connections.close_all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_in_chunks_is_taken_in(simulator: Simulator, kind: str) -> None:
    with serving(_Closing(), kind) as port:
        assert post_in_chunks(port, URL, json.dumps(BODY).encode()) == 200
        assert post_in_chunks(port, URL, b"x" * 70_000, size=8000) == 413
        assert post_in_chunks(port, "/mpesa/callback/another-token/", b"{}") == 404
    assert [bytes(entry.body) for entry in CallbackLog.objects.all()] == [json.dumps(BODY).encode()]


def test_a_callback_in_chunks_is_taken_in_with_asgi(simulator: Simulator) -> None:
    for body, status in ((json.dumps(BODY).encode(), 200), (b"x" * 70_000, 413)):
        parts = [body[start : start + 100] for start in range(0, len(body), 100)]
        waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        waiting.append({"type": "http.request", "body": b"", "more_body": False})
        answers: list[dict[str, Any]] = []

        async def receive(waiting: list[Any] = waiting) -> Any:
            if waiting:
                return waiting.pop(0)
            return await asyncio.Event().wait()

        async def send(message: Any, answers: list[Any] = answers) -> None:
            answers.append(message)

        scope = {
            "type": "http", "method": "POST", "path": URL, "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"host", b"127.0.0.1"),
                        (b"transfer-encoding", b"chunked")],
        }  # fmt: skip
        async_to_sync(ASGIHandler())(scope, receive, send)
        assert answers[0]["status"] == status


def _reads_it_first(get_response: Any) -> Any:
    def middleware(request: HttpRequest) -> HttpResponse:
        _ = request.body
        response: HttpResponse = get_response(request)
        assert request.body is not None
        return response

    return middleware


def test_middleware_may_read_the_body_before_and_after(
    simulator: Simulator, settings: Settings
) -> None:
    settings.MIDDLEWARE = [f"{__name__}._reads_it_first"]
    assert Client().post(URL, BODY, content_type="application/json").status_code == 200
    with serving(_Closing()) as port:
        assert post_in_chunks(port, URL, json.dumps(BODY).encode()) == 200


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("append_slash", [True, False])
@pytest.mark.parametrize("slash", ["/", ""])
def test_both_forms_of_the_url_work_and_no_log_has_the_token(
    simulator: Simulator, settings: Settings, caplog: pytest.LogCaptureFixture,
    slash: str, append_slash: bool, debug: bool,
) -> None:  # fmt: skip
    settings.DEBUG, settings.APPEND_SLASH = debug, append_slash
    settings.MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
        *settings.MIDDLEWARE,
    ]
    url = URL.rstrip("/") + slash
    client = Client()
    with caplog.at_level(logging.DEBUG):
        assert client.post(url, BODY, content_type="application/json").status_code == 200
        assert client.get(url).status_code == 405
        assert client.post(url, b"no JSON", content_type="application/json").status_code == 400
        assert client.post(url, b"a=b", content_type="text/plain").status_code == 415
    assert TOKEN not in caplog.text
    assert reverse("django_mpesa:callback", args=[TOKEN]) == URL


def test_a_caller_that_goes_away_puts_no_token_into_a_log(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    class Gone:
        def read(self, *args: Any) -> bytes:
            raise OSError("gone away")

        readline = read

    environ: dict[str, Any] = {"wsgi.input": Gone(), "CONTENT_LENGTH": "100"}
    answer = Client().generic("POST", URL, CONTENT_TYPE="application/json", **environ)
    assert answer.status_code == 400
    assert "UnreadablePostError" in caplog.text
    assert TOKEN not in caplog.text


def _urlconf(patterns: list[Any]) -> ModuleType:
    module = ModuleType("a_urlconf_of_a_test")
    module.urlpatterns = patterns  # type: ignore[attr-defined]
    return module


OURS = "django_mpesa.urls"
SHOP = include(([path("pay/", include(OURS))], "shop"))
URLCONFS: dict[str, tuple[list[Any], str]] = {
    "plain": ([path("mpesa/", include(OURS))], "/mpesa/callback/"),
    "nested": (
        [path("p/", include(([path("s/", SHOP)], "plugins")))],
        "/p/s/pay/callback/",
    ),
    "an instance": ([path("m/", include(OURS, namespace="another"))], "/m/callback/"),
    "instances of both": (
        [path("s/", include(([path("pay/", include(OURS, namespace="b"))], "a"), namespace="c"))],
        "/s/pay/callback/",
    ),
    "twice": (
        [path(f"{name}/", include(OURS, namespace=name)) for name in ("one", "two")],
        "/one/callback/",
    ),
    "languages": (i18n_patterns(path("mpesa/", include(OURS))), "/pt/mpesa/callback/"),
    "no namespace": (
        [
            path("other/<str:token>/", lambda request, token: HttpResponse(), name="callback"),
            path("in/", include([path("mpesa/", include("django_mpesa.urls"))])),
        ],
        "/in/mpesa/callback/",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(URLCONFS))
def test_the_url_is_found_wherever_it_is_included(
    simulator: Simulator, settings: Settings, name: str
) -> None:
    patterns, prefix = URLCONFS[name]
    settings.ROOT_URLCONF = _urlconf(patterns)
    settings.MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware"]
    settings.MPESA = {"default": account_settings(simulator, **GOOD)}
    out = StringIO()
    with translation.override("pt"):
        assert run_checks(tags=["mpesa"]) == []
        call_command("mpesa_callback_url", stdout=out)
    assert out.getvalue() == f"https://shop.example:12000{prefix}{TOKEN}/\n"
    mpesa.forget()


def test_a_test_gateway_delivers_to_a_nested_url(settings: Settings) -> None:
    from django_mpesa.test import mpesa_gateway

    settings.ROOT_URLCONF = _urlconf(URLCONFS["nested"][0])
    with mpesa_gateway(asynchronous=True) as gateway:
        paid = mpesa.c2b(msisdn="84 123 4567", amount=150, reference="ORDER 7")
        assert gateway.deliver("INS-0") == 1
        assert mpesa.check(paid).state == "completed"


def _own_view(request: HttpRequest, token: str) -> HttpResponse:
    from django_mpesa.views import callback

    found: HttpResponse = callback(request, token)
    return found


def test_a_url_that_cannot_be_found_is_a_warning_and_can_be_named(
    simulator: Simulator, settings: Settings
) -> None:
    settings.ROOT_URLCONF = _urlconf([path("mine/<str:token>/", _own_view, name="mine")])
    settings.MPESA = {"default": account_settings(simulator, **GOOD)}
    (warning,) = run_checks(tags=["mpesa"])
    assert (warning.id, warning.is_serious()) == ("mpesa.W009", False)
    assert "MPESA_CALLBACK_URL_NAME" in str(warning.hint)
    settings.MPESA_CALLBACK_URL_NAME = "mine"
    assert run_checks(tags=["mpesa"]) == []
    out = StringIO()
    call_command("mpesa_callback_url", stdout=out)
    assert out.getvalue() == f"https://shop.example:12000/mine/{TOKEN}/\n"
    settings.MPESA_CALLBACK_URL_NAME = "another"
    (warning,) = run_checks(tags=["mpesa"])
    assert "another" in warning.msg
