"""MPESA as an account loader: at start, in views, in commands and in a project's own tests."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from django_mpesa import RecordsUnavailable, mpesa
from django_mpesa.forms import MsisdnField
from django_mpesa.models import CallbackLog, Transaction
from django_mpesa.test import mpesa_gateway
from mpesa_integrations.simulator import Simulator
from tests.support import account_loader
from tests.support.account import TOKEN, account_settings
from tests.support.account_loader import EMPTY, NoTokens, Rows

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


@pytest.fixture
def rows(mpesa_simulator: Simulator, settings: Settings) -> Rows:
    """Two accounts, at which MPESA points."""
    cafe = account_settings(mpesa_simulator, CALLBACK_BASE_URL="https://shop.example:12000")
    found = Rows(cafe=cafe, kiosk={**cafe, "CALLBACK_TOKEN": None, "CALLBACK_BASE_URL": None})
    settings.MPESA = found
    return found


@pytest.mark.parametrize("value", [EMPTY, Rows, f"{account_loader.__name__}.Rows"])
def test_a_loader_is_found_at_start_and_asked_nothing(
    settings: Settings, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rows, "_break", lambda rows: pytest.fail("a check at start asks nothing"))
    settings.DEBUG = False
    settings.MPESA = value
    assert run_checks(tags=["mpesa"]) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no.such.Loader", "'no.such.Loader' cannot be imported"),
        (NoTokens(), "NoTokens has no aliases_by_token"),
        (7, "MPESA must be a mapping of accounts, or an account loader"),
    ],
)
def test_what_is_no_loader_is_refused_at_start(
    settings: Settings, value: object, words: str
) -> None:
    settings.MPESA = value
    (message,) = run_checks(tags=["mpesa"])
    assert message.id == "mpesa.E013"
    assert words in message.msg


@pytest.mark.django_db(transaction=True)
def test_payments_and_commands_go_by_the_accounts_of_now(rows: Rows, settings: Settings) -> None:
    settings.DEBUG = True
    assert mpesa["cafe"].c2b(**PAYMENT).state == "completed"
    assert list(mpesa) == ["cafe", "kiosk"]
    out = StringIO()
    call_command("mpesa_check", offline=True, stdout=out)
    call_command("mpesa_callback_url", "cafe", stdout=out)
    assert "ok       cafe" in out.getvalue()
    assert f"https://shop.example:12000/mpesa/callback/{TOKEN}/" in out.getvalue()
    rows.rows["kiosk"] |= {"CALLBACK_TOKEN": TOKEN}
    call_command("mpesa_check", offline=True, stdout=out)
    assert "note     The M-Pesa accounts 'cafe' and 'kiosk' have one" in out.getvalue()
    del rows.rows["cafe"]
    rows.rows["bad"] = {"API_KEY": ""}
    with pytest.raises(CommandError, match="there is no M-Pesa account 'cafe'"):
        call_command("mpesa_c2b", account="cafe", msisdn="841234567", amount="1", reference="X")
    with pytest.raises(SystemExit):
        call_command("mpesa_check", offline=True, stdout=out)
    assert "problem  bad: the M-Pesa account 'bad': api_key" in out.getvalue()
    assert Transaction.objects.get().account == "cafe"
    rows.broken = OSError("away")
    with pytest.raises(RecordsUnavailable):
        mpesa["kiosk"].c2b(**PAYMENT)


@pytest.mark.django_db(transaction=True)
def test_a_callback_finds_its_account(rows: Rows, client: Client) -> None:
    for token, status in ((TOKEN, 400), (TOKEN[:-1] + "x", 404)):
        answer = client.post(f"/mpesa/callback/{token}/", "{}", content_type="application/json")
        assert answer.status_code == status


@pytest.mark.django_db(transaction=True)
def test_a_coroutine_awaits_its_account(rows: Rows) -> None:
    async def pay() -> str:
        return str((await mpesa["cafe"].ac2b(**PAYMENT)).state)

    assert async_to_sync(pay)() == "completed"


def test_a_phone_number_in_a_form_asks_no_account(rows: Rows) -> None:
    rows.broken = OSError("away")
    assert MsisdnField().clean("85 123 4567") == "258851234567"


@pytest.mark.django_db(transaction=True)
def test_a_projects_own_tests_put_a_gateway_in_place_of_one_account(rows: Rows) -> None:
    with mpesa_gateway(account="new", asynchronous=True) as gateway:
        assert list(mpesa) == ["new", "cafe", "kiosk"]
        payment = mpesa["new"].c2b(**PAYMENT)
        assert payment.state == "pending"
        assert gateway.deliver() == 1
        assert mpesa["cafe"].c2b(**PAYMENT).state == "completed"
    payment.refresh_from_db()
    assert payment.state == "completed"
    assert "new" not in mpesa


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "page",
    [
        "transaction/", "transaction/?attention=any", "transaction/report/",
        "callbacklog/", "callbacklog/?attention=any", "outboxentry/",
    ],
)  # fmt: skip
def test_a_loader_that_is_away_takes_no_page_of_the_admin_with_it(
    rows: Rows, admin_client: Client, page: str
) -> None:
    CallbackLog.objects.create(account="cafe", body=b"{}", verdict="unmatched")
    rows.broken = OSError("away")
    answer = admin_client.get(f"/admin/django_mpesa/{page}")
    assert answer.status_code == 200
    told = answer.content.decode()
    assert told.count("The names of the M-Pesa accounts could not be loaded: OSError") == 1
    if page.startswith("callbacklog/"):
        assert "Callback without its payment (1)" in told


@pytest.mark.django_db(transaction=True)
def test_a_list_of_one_account_stays_that_while_the_loader_is_away(
    rows: Rows, admin_client: Client
) -> None:
    for account in ("cafe", "kiosk"):
        CallbackLog.objects.create(account=account, body=b"{}", verdict="unmatched")
    rows.broken = OSError("away")
    answer = admin_client.get("/admin/django_mpesa/callbacklog/?account=kiosk")
    assert [entry.account for entry in answer.context["cl"].result_list] == ["kiosk"]


@pytest.mark.django_db(transaction=True)
def test_a_callback_of_an_account_that_cannot_be_loaded_shows_all_but_its_body(
    rows: Rows, admin_client: Client
) -> None:
    entry = CallbackLog.objects.create(
        account="cafe", body=TOKEN.encode(), verdict="unmatched", third_party_reference="R1"
    )
    page = f"/admin/django_mpesa/callbacklog/{entry.pk}/change/"
    assert "As it arrived:" in admin_client.get(page).content.decode()
    rows.broken = OSError("away")
    answer = admin_client.get(page)
    told = answer.content.decode()
    assert answer.status_code == 200
    assert "The body is not shown" in told
    assert "R1" in told
    assert TOKEN not in told


def test_a_check_says_that_the_loader_is_away(rows: Rows) -> None:
    rows.broken = OSError("away")
    with pytest.raises(CommandError, match="could not be loaded: OSError") as caught:
        call_command("mpesa_check", offline=True)
    assert caught.value.returncode == 7
