"""A shop whose middleware asks everybody to sign in, and the gateway, which cannot."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import django
import pytest
from django.core.management import call_command
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.test import Client
from pytest_django import Settings

from django_mpesa import mpesa
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.callbacks import accepted_payment, callback_body

pytestmark = pytest.mark.django_db(transaction=True)

PAYMENT = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "T1"}


class Wall:
    """As shops have written it for years: whoever is not signed in goes to the login page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return redirect(f"/login/?next={request.path}")


class PoliteWall:
    """The same, as docs/callbacks.md has it: a view may say that it needs no login."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        if getattr(view, "login_required", True):
            return redirect(f"/login/?next={request.path}")
        return None


def _check() -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("mpesa_check", offline=True, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_a_wall_that_keeps_the_gateway_out_is_told(
    simulator: Simulator, settings: Settings
) -> None:
    settings.DEBUG = True
    assert _check() == (0, "ok       default\n")
    settings.MIDDLEWARE = ["tests.django.test_login_walls.Wall", *settings.MIDDLEWARE]
    code, said = _check()
    assert code == 1
    assert "problem  callbacks: the middleware answers the gateway 302 (to /login/)" in said
    assert TOKEN not in said
    settings.ROOT_URLCONF = "tests.django.no_urls"
    assert "the URLconf does not have it" in _check()[1]


WALLS = ["tests.django.test_login_walls.PoliteWall"]
if django.VERSION >= (5, 1):
    WALLS.append("django.contrib.auth.middleware.LoginRequiredMiddleware")


@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize("slash", ["/", ""])
def test_callbacks_pass_a_wall_that_asks_the_view(
    simulator: Simulator, settings: Settings, wall: str, slash: str
) -> None:
    settings.DEBUG = True
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, wall]
    pending = accepted_payment(mpesa, simulator, **PAYMENT)
    url = f"/mpesa/callback/{TOKEN}{slash}"
    answer = Client().post(url, callback_body(pending), content_type="application/json")
    assert answer.status_code == 200
    shown = Client().get(mpesa.status_url(pending)).json()
    assert shown["state"] == "completed"
    assert _check() == (0, "ok       default\n")
