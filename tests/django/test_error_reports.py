"""Django's error page, the report mailed to ADMINS and diffsettings show no secret, no number."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.handlers.wsgi import WSGIRequest
from django.core.management import call_command
from django.db import IntegrityError
from django.http import HttpResponse, UnreadablePostError
from django.test import Client
from django.utils.log import AdminEmailHandler
from django.views.debug import SafeExceptionReporterFilter
from pytest_django import Settings

from django_mpesa import mpesa, signals
from django_mpesa.models import Transaction
from django_mpesa.routing import callback_path
from django_mpesa.store import DjangoStore
from mpesa_integrations import ConfigurationError
from mpesa_integrations.core.client import base as core_base
from mpesa_integrations.core.client import blocking as core_client
from mpesa_integrations.core.client.transport import RequestsTransport
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.protocol import outcomes
from mpesa_integrations.core.protocol.schemas import RequestSchema
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN, account_settings
from tests.support.reports import NUMBER, frames, leaks

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Django 2028 will not have a default mailer"),
]
PROXY = "http://someone:proxy-password@127.0.0.1:3128"
Broken = Callable[[pytest.MonkeyPatch], None]


class Everything(SafeExceptionReporterFilter):
    """A project's own filter, that hides nothing."""

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        return value


@pytest.fixture(autouse=True)
def _site(simulator: Simulator, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.django.reporting_urls"
    owner = "owner@shop.example"
    settings.ADMINS = [owner if django.VERSION >= (6, 0) else ("Owner", owner)]
    settings.INTERNAL_IPS = ["127.0.0.1"]


@pytest.fixture
def secrets(simulator: Simulator, _site: None) -> list[str]:
    credentials = simulator.credentials
    bearer = mpesa["default"].client._bearer_for(simulator.config)
    return [
        credentials.api_key, credentials.security_credential, credentials.initiator_identifier,
        TOKEN, bearer,
    ]  # fmt: skip


@pytest.fixture
def reported(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """What was mailed to ADMINS and what was logged."""
    handler = AdminEmailHandler(include_html=True)
    root = logging.getLogger()
    handler.setLevel(logging.ERROR)
    root.addHandler(handler)

    def text() -> str:
        formatter = logging.Formatter()
        parts = [formatter.format(record) for record in caplog.records]
        for message in mail.outbox:
            parts += [str(message.subject), str(message.body)]
            parts += [str(part) for part in getattr(message, "alternatives", [])]
        return "\n".join(parts)

    yield text
    root.removeHandler(handler)


def _raising(error: BaseException) -> Any:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def _with_row() -> Exception:
    """As a database words it."""
    return IntegrityError(f"it violates a constraint\nDETAIL: Failing row (1, 258{NUMBER}, c2b)")


BREAKS: dict[str, tuple[str, Broken]] = {
    "schema": ("/pay/", lambda m: m.setattr(RequestSchema, "load", _raising(TypeError("x")))),
    "store": ("/pay/", lambda m: m.setattr(DjangoStore, "create", _raising(_with_row()))),
    "saving": ("/pay/", lambda m: m.setattr(Transaction, "save", _raising(_with_row()))),
    "database": ("/pay/", lambda m: m.setattr(
        "django.db.backends.utils.CursorWrapper._execute", _raising(RuntimeError("x")))),
    "headers": ("/name/", lambda m: m.setattr(
        core_base, "http_request", _raising(RuntimeError("x")))),
    "transport": ("/name/", lambda m: m.setattr(
        RequestsTransport, "send", _raising(RuntimeError("x")))),
    "session": ("/name/", lambda m: m.setattr(
        "urllib3.connectionpool.HTTPConnectionPool.urlopen", _raising(RuntimeError("x")))),
    "answer": ("/name/", lambda m: m.setattr(outcomes, "read_answer", _raising(KeyError("x")))),
    "reversal": ("/reverse/", lambda m: m.setattr(DjangoStore, "find_paid", _raising(KeyError(1)))),
    "shop": ("/fail/", lambda m: None),
}  # fmt: skip


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("broken", sorted(BREAKS))
def test_no_report_of_a_failed_call_shows_a_secret(
    settings: Settings, secrets: list[str], monkeypatch: pytest.MonkeyPatch,
    reported: Callable[[], str], broken: str, debug: bool,
) -> None:  # fmt: skip
    settings.DEBUG = debug
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = f"{__name__}.Everything"
    page, brk = BREAKS[broken]
    brk(monkeypatch)
    answer = Client(raise_request_exception=False).get(page)
    assert answer.status_code == 500
    seen = answer.content.decode() + reported()
    assert ("Traceback" in seen) or ("frame" in seen)
    assert len(mail.outbox) >= 1
    assert leaks(seen, secrets) == []


@pytest.mark.parametrize("broken", sorted(set(BREAKS) - {"shop"}))
def test_no_frame_of_an_error_shows_a_secret(
    secrets: list[str], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    page, brk = BREAKS[broken]
    brk(monkeypatch)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever was broken
        Client().get(page)
    assert leaks(frames(caught.value), secrets) == []
    named = [entry.name for entry in caught.traceback]
    assert "forgetting" in named
    # What breaks below the transport is told as what it says of the request, by the client.
    assert named[-1] == ("result" if broken == "session" else "fail")


def test_what_breaks_while_a_payment_is_sent_is_logged_without_secrets(
    secrets: list[str], monkeypatch: pytest.MonkeyPatch, reported: Callable[[], str]
) -> None:
    for name in ("_begin", "_run"):
        with monkeypatch.context() as context:
            words = f"{secrets[0]} for {NUMBER}"
            context.setattr(core_client.MpesaClient, name, _raising(RuntimeError(words)))
            record = mpesa.c2b(msisdn=NUMBER, amount=1, reference="X")
            assert record.state == "unknown"
    assert "payment.interrupted" in reported()
    assert leaks(reported(), secrets) == []


def test_a_receiver_that_raises_is_reported_without_secrets(
    secrets: list[str], reported: Callable[[], str]
) -> None:
    receiver = _raising(RuntimeError("of the receiver"))
    signals.payment_completed.connect(receiver)
    try:
        mpesa.c2b(msisdn=NUMBER, amount=1, reference="X")
    finally:
        signals.payment_completed.disconnect(receiver)
    assert "of the receiver" in reported()
    assert leaks(reported(), secrets) == []


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (lambda m: m.setattr(WSGIRequest, "body", property(_raising(UnreadablePostError()))), 400),
        (lambda m: m.setattr(Payments, "receive", _raising(RuntimeError("x"))), 500),
        (lambda m: m.setattr(DjangoStore, "store_callback", _raising(_with_row())), 500),
        (lambda m: m.setattr("django_mpesa.views.answer_callback", _raising(KeyError("x"))), 500),
    ],
)
def test_a_callback_that_fails_puts_its_token_nowhere(
    settings: Settings, secrets: list[str], monkeypatch: pytest.MonkeyPatch,
    reported: Callable[[], str], broken: Broken, status: int, debug: bool,
) -> None:  # fmt: skip
    settings.DEBUG = debug
    broken(monkeypatch)
    client = Client(raise_request_exception=False)
    body = {
        "input_OriginalConversationID": "AG_1",
        "input_ThirdPartyReference": "R1",
        "input_ResultCode": "0",
        "input_ResultDesc": NUMBER,
    }
    answer = client.post(f"/mpesa/callback/{TOKEN}/", body, "application/json")
    assert answer.status_code == status
    request = answer.wsgi_request
    seen = f"{request!r} {request.path} {request.build_absolute_uri()} {request.META}"
    seen += repr(request.resolver_match) + answer.content.decode() + reported()
    assert leaks(seen, secrets) == []


def test_a_page_for_nothing_found_that_fails_is_answered(
    settings: Settings, secrets: list[str], simulator: Simulator, monkeypatch: pytest.MonkeyPatch,
    reported: Callable[[], str],
) -> None:  # fmt: skip
    found = account_settings(simulator, CALLBACK_NETWORKS=["10.0.0.0/8"])
    settings.MPESA = {"default": found}
    monkeypatch.setattr(
        "django.urls.resolvers.URLResolver.resolve_error_handler", lambda *a: _raising(KeyError())
    )
    answer = Client().post(f"/mpesa/callback/{TOKEN}/", "{}", "application/json")
    assert answer.status_code == 404
    assert leaks(reported() + repr(answer.wsgi_request), secrets) == []


@pytest.mark.parametrize("page", ["1/change/", "1/reverse/", "report/", "export/", ""])
def test_an_admin_page_that_fails_is_reported_without_secrets(
    settings: Settings, secrets: list[str], monkeypatch: pytest.MonkeyPatch,
    reported: Callable[[], str], page: str,
) -> None:  # fmt: skip
    record = mpesa.c2b(msisdn=NUMBER, amount=1, reference="X")
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("boss", password="x"))
    broken = _raising(RuntimeError("x"))
    for place in (
        "admin.TransactionAdmin._render", "admin.TransactionAdmin.render_change_form",
        "admin.export.csv_chunks", "admin.report.make_report",
        "admin.changelist.BoundedChangeList.date_links",
    ):  # fmt: skip
        monkeypatch.setattr(f"django_mpesa.{place}", broken)
    address = page.replace("1", str(record.pk), 1) if page[:1] == "1" else page
    answer = client.get(f"/admin/django_mpesa/transaction/{address}")
    assert answer.status_code == 500
    assert leaks(answer.content.decode() + reported(), secrets) == []


@pytest.mark.parametrize(
    "command",
    [
        ["mpesa_c2b", "--msisdn", NUMBER, "--amount", "1", "--reference", "X"],
        ["mpesa_status", "R1"],
        ["mpesa_reverse", "4XDF12345"],
        ["mpesa_reconcile"],
    ],
)
def test_a_command_that_fails_shows_no_secret_in_our_frames(
    secrets: list[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    for name in ("create", "find", "find_paid", "claim_due"):
        monkeypatch.setattr(DjangoStore, name, _raising(RuntimeError("x")))
    try:
        call_command(*command)
    except (Exception, SystemExit) as error:  # noqa: BLE001
        ours = error.__traceback__
        while ours is not None and "django_mpesa" not in ours.tb_frame.f_code.co_filename:
            ours = ours.tb_next  # above are Django's frames, and this test's
        shown = frames(error.with_traceback(ours))
    assert leaks(shown, secrets) == []


def test_diffsettings_shows_no_secret(secrets: list[str], settings: Settings) -> None:
    settings.MPESA["default"]["PROXY"] = PROXY
    settings.MPESA["default"]["CALLBACK_BASE_URL"] = f"https://x:{secrets[0]}@shop.example:12000"
    out = io.StringIO()
    mpesa.forget()
    list(mpesa)
    call_command("diffsettings", stdout=out)
    assert "SERVICE_PROVIDER_CODE" in out.getvalue()
    assert leaks(out.getvalue(), [*secrets, "proxy-password"]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"SECURITY_CREDENTIAL": "Mpesa2019-secret\ncredential"},
        {"CALLBACK_TOKEN": "too-short"},
        {"API_KEY": "an api key"},
        {"API_KEY": 12345678},
        {"SERVICE_PROVIDER_CODE": "x"},
        {"STUCK_AFTER": -1},
    ],
)
def test_a_setting_that_is_wrong_shows_none(
    settings: Settings, simulator: Simulator, secrets: list[str], wrong: dict[str, Any]
) -> None:
    settings.MPESA = {"default": account_settings(simulator, **wrong)}
    with pytest.raises(ConfigurationError) as caught:
        mpesa.c2b(msisdn=NUMBER, amount=1, reference="X")
    shown = [str(value) for value in wrong.values() if len(str(value)) > 5]
    assert leaks(frames(caught.value) + repr(settings.MPESA), [*secrets, *shown]) == []


def test_a_url_that_cannot_be_named_is_told_without_its_token(
    settings: Settings, secrets: list[str]
) -> None:
    settings.MPESA_CALLBACK_URL_NAME = "nothing:callback"
    with pytest.raises(ConfigurationError) as caught:
        callback_path(TOKEN)
    assert caught.value.__suppress_context__
    caught.value.__context__ = None  # as every report of it does
    assert leaks(frames(caught.value), secrets) == []


def _ends_early(get_response: Any) -> Any:
    """A middleware before which no callback gets through."""

    def end(request: Any) -> HttpResponse:
        if request.headers.get("X-Break") == "raise":
            raise RuntimeError("of the shop's own")
        return HttpResponse(status=503)

    return end


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"X-Break": "raise"}, 500), ({"X-Break": "refuse"}, 503), ({"Host": "other.example"}, 400)],
)
def test_a_callback_that_never_reaches_its_view_puts_its_token_nowhere(
    settings: Settings, secrets: list[str], reported: Callable[[], str],
    headers: dict[str, str], status: int,
) -> None:  # fmt: skip
    settings.ALLOWED_HOSTS = ["testserver"]
    middleware = "django.middleware.common.CommonMiddleware"
    settings.MIDDLEWARE = [middleware, f"{__name__}._ends_early"]
    answer = Client(raise_request_exception=False).post(
        f"/mpesa/callback/{TOKEN}/", b"{}", content_type="application/json", headers=headers
    )
    assert answer.status_code == status
    seen = reported()
    assert "/mpesa/callback/" in seen
    assert leaks(seen, secrets) == []
