"""The page at which a browser asks where a payment stands: its address, its answers, its events."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf.urls.i18n import i18n_patterns
from django.db import connection
from django.template import Context, Template
from django.test import AsyncClient, Client
from django.urls import include, path
from django.utils import translation
from pytest_django import DjangoAssertNumQueries, Settings

from django_mpesa import ConfigurationError, mpesa
from mpesa_integrations.core.payments import status_tokens
from mpesa_integrations.simulator import Simulator
from tests.support.account import account_settings
from tests.support.callbacks import accepted_payment, callback_body

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def pending(simulator: Simulator) -> Any:
    return accepted_payment(mpesa, simulator, **PAYMENT)


def receive(payment: Any, code: str = "0") -> None:
    mpesa.receive(json.dumps(callback_body(payment, code)).encode())


def test_a_browser_is_told_where_a_payment_stands(pending: Any) -> None:
    url = mpesa.status_url(pending)
    assert url.startswith("/mpesa/status/")
    told = Client().get(url)
    assert (told.status_code, told["Content-Type"]) == (200, "application/json")
    assert told.json() == {
        "state": "pending", "is_open": True, "is_paid": False, "may_retry": False,
        "message": pending.customer_message(),
    }  # fmt: skip
    receive(pending, "INS-5")
    assert Client().get(url).json()["may_retry"] is True
    assert Client().head(url).status_code == 200


def test_it_is_kept_nowhere_and_no_other_site_may_read_it(pending: Any) -> None:
    told = Client().get(mpesa.status_url(pending), headers={"Origin": "https://elsewhere.example"})
    assert told["Cache-Control"] == "private, no-store"
    assert told["X-Content-Type-Options"] == "nosniff"
    assert not [name for name in told.headers if name.startswith("Access-Control")]
    assert not told.cookies


def test_a_site_that_caches_its_pages_does_not_cache_it(pending: Any, settings: Settings) -> None:
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    url = mpesa.status_url(pending)
    assert Client().get(url).json()["is_open"] is True
    receive(pending)
    assert Client().get(url).json()["is_open"] is False


def test_it_is_one_query(pending: Any, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    url = mpesa.status_url(pending)
    with django_assert_num_queries(1):
        Client().get(url)


def test_the_words_are_in_the_language_of_the_page(pending: Any, settings: Settings) -> None:
    url = mpesa.status_url(pending)
    portuguese = pending.customer_message("pt")
    settings.LANGUAGE_CODE = "pt"
    assert Client().get(url).json()["message"] == portuguese, "a site in one language"
    settings.LANGUAGE_CODE = "en"
    settings.MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware", *settings.MIDDLEWARE]
    asked = Client().get(url, headers={"Accept-Language": "pt-MZ,pt;q=0.9"})
    assert asked.json()["message"] == portuguese
    assert Client().get(url).json()["message"] == pending.customer_message("en")


def test_payments_of_every_account_have_an_address(
    simulator: Simulator, settings: Settings
) -> None:
    settings.MPESA = {
        "default": account_settings(simulator),
        "payouts": account_settings(simulator, CALLBACK_TOKEN=None),
    }
    payout = mpesa["payouts"].b2c(**PAYMENT)
    url = mpesa.status_url(payout)
    assert Client().get(url).json()["message"] == "We have sent you 150.00 MZN."
    settings.MPESA = {"default": account_settings(simulator)}
    assert Client().get(url).status_code == 404, "the account is gone"


def test_what_leads_nowhere_is_answered_in_plain_words(
    pending: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = mpesa.status_url(pending), settings.SECRET_KEY
    settings.SECRET_KEY = "another site's"
    answers = [Client().get(url), Client().get("/mpesa/status/forged/")]
    settings.SECRET_KEY_FALLBACKS = [key]
    assert Client().get(url).status_code == 200, "made before the key was changed"
    monkeypatch.setattr(status_tokens, "GOOD_FOR", -1)
    answers.append(Client().get(url))
    assert [answer.status_code for answer in answers] == [404, 404, 410]
    for answer in answers:
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert answer["Cache-Control"] == "private, no-store"
        assert len(answer.content) < 30
    assert Client().post(url).status_code == 405


@pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has no LoginRequiredMiddleware yet")
def test_a_customer_without_an_account_may_ask(pending: Any, settings: Settings) -> None:
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"
    ]  # fmt: skip
    assert Client().get(mpesa.status_url(pending)).status_code == 200


def test_it_is_asked_outside_of_a_transaction(
    pending: Any, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    url = mpesa.status_url(pending)
    with django_assert_num_queries(1):
        assert Client().get(url).status_code == 200
    assert len(events_of(url, lambda: receive(pending))) == 2


def _urlconf(patterns: list[Any]) -> ModuleType:
    module = ModuleType("a_urlconf_of_a_test")
    module.urlpatterns = patterns  # type: ignore[attr-defined]
    return module


OURS = "django_mpesa.urls"
URLCONFS: dict[str, tuple[list[Any], str]] = {
    "plain": ([path("mpesa/", include(OURS))], "/mpesa/status/"),
    "nested": (
        [path("p/", include(([path("s/", include(OURS))], "shop"), namespace="a"))], "/p/s/status/"
    ),
    "an instance": ([path("m/", include(OURS, namespace="another"))], "/m/status/"),
    "below a variable, too": (
        [
            path("x/", include(OURS, namespace="b")),
            path("<str:tenant>/", include(OURS, namespace="a")),
        ],
        "/x/status/",
    ),
    "languages": (i18n_patterns(path("mpesa/", include(OURS))), "/pt/mpesa/status/"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(URLCONFS))
def test_the_address_is_found_wherever_it_is_included(
    pending: Any, settings: Settings, name: str
) -> None:
    patterns, prefix = URLCONFS[name]
    settings.ROOT_URLCONF = _urlconf(patterns)
    with translation.override("pt"):
        shown = Template("{% load mpesa %}{{ payment|status_url }}")
        url = shown.render(Context({"payment": pending}))
    assert url.startswith(prefix)
    settings.MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware"]
    assert Client().get(url).status_code == 200


def test_a_site_that_does_not_include_it_is_told(pending: Any, settings: Settings) -> None:
    settings.ROOT_URLCONF = _urlconf([path("<str:tenant>/", include(OURS))])
    with pytest.raises(ConfigurationError, match="does not include"):
        mpesa.status_url(pending)


def events_of(url: str, *then: Callable[[], object], **headers: str) -> list[Any]:
    """Follow a payment under ASGI to the end of its events, something happening after each."""
    happens = list(then)

    async def follow() -> list[str]:
        answer = await AsyncClient().get(url, headers={**EVENTS, **headers})
        assert answer["Content-Type"] == "text/event-stream"
        assert (answer["Cache-Control"], answer["X-Accel-Buffering"]) == ("private, no-store", "no")
        events = []
        async for part in answer:  # type: ignore[attr-defined]
            events.append(part.decode())
            if happens:
                await sync_to_async(happens.pop(0))()
        return events

    return [json.loads(event.removeprefix("data: ")) for event in async_to_sync(follow)()]


def test_under_asgi_events_tell_each_change_until_it_is_decided(
    pending: Any, settings: Settings
) -> None:
    settings.MIDDLEWARE = [
        "django.middleware.locale.LocaleMiddleware", "django.middleware.gzip.GZipMiddleware"
    ]  # fmt: skip
    url = mpesa.status_url(pending)
    asked = {"Accept-Language": "pt", "Accept-Encoding": "gzip"}
    told = events_of(url, lambda: receive(pending), **asked)  # each readable as it comes
    assert [each["state"] for each in told] == ["pending", "completed"]
    assert told[1]["message"].startswith("Recebemos 150,00")


@pytest.mark.django_db
def test_in_a_test_case_events_are_told(simulator: Simulator) -> None:
    pending = accepted_payment(mpesa, simulator, **PAYMENT)
    assert len(events_of(mpesa.status_url(pending), lambda: receive(pending))) == 2


def test_under_asgi_it_is_json_where_no_events_are_asked_for(pending: Any) -> None:
    async def ask() -> Any:
        url = mpesa.status_url(pending)
        wrong = await AsyncClient().get("/mpesa/status/forged/", headers=EVENTS)
        plain = await AsyncClient().get(url, headers={"Accept": "*/*"})
        return wrong, plain, await AsyncClient().head(url, headers=EVENTS)

    wrong, plain, head = async_to_sync(ask)()
    assert (wrong.status_code, wrong["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert plain.json()["state"] == "pending"
    assert head["Content-Type"] == "application/json"


def test_under_wsgi_the_same_address_gives_json(pending: Any) -> None:
    told = Client().get(mpesa.status_url(pending), headers=EVENTS)
    assert (told["Content-Type"], told.json()["state"]) == ("application/json", "pending")
