"""The admin: what it shows to whom, asks, reverses, exports and counts."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from django_mpesa import mpesa
from django_mpesa.admin import CallbackLogAdmin, HandlerAdmin, changelist, export, figures
from django_mpesa.models import CallbackLog, OutboxEntry, Transaction
from django_mpesa.times import stored
from mpesa_integrations.core.payments.shown import digest_of
from mpesa_integrations.simulator import Simulator
from tests.support import rows
from tests.support.account import TOKEN
from tests.support.pages import filled

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
LIST = "/admin/django_mpesa/transaction/"
WHOLE, MASKED = "258841234567", "25884•••4567"


def _client(*permissions: str) -> Client:
    user = User.objects.create_user(f"u{User.objects.count()}", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def browser() -> Client:
    """Somebody who may do everything."""
    client = Client()
    client.force_login(User.objects.create_superuser("boss", password="x"))
    return client


@pytest.fixture
def clerk() -> Client:
    """Somebody who may look, and not at phone numbers."""
    return _client("view_transaction", "view_callbacklog")


@pytest.fixture
def paid(simulator: Simulator) -> Transaction:
    found = mpesa.c2b(**PAYMENT)
    assert isinstance(found, Transaction)
    return found


def _text(answer: Any) -> str:
    content: bytes = answer.getvalue() if answer.streaming else answer.content
    return content.decode("utf-8-sig")


def _page(record: Any, name: str = "change") -> str:
    return f"{LIST}{record.pk}/{name}/"


def _listed(client: Client, query: str) -> list[int]:
    answer = client.get(LIST + query)
    assert answer.status_code == 200
    return sorted(record.pk for record in answer.context["cl"].result_list)


def _many(count: int, **values: Any) -> None:
    start = Transaction.objects.count()
    for number in range(start, start + count):
        rows.make(
            **{
                "operation": "c2b",
                "amount": 1,
                "state": "completed",
                "third_party_reference": f"R{number}",
                **values,
            }
        )


# The list


def test_history_is_read_only(paid: Transaction, browser: Client) -> None:
    for page in (LIST, _page(paid), LIST + "add/", _page(paid, "delete")):
        expected = 200 if page in (LIST, _page(paid)) else 403
        assert browser.get(page).status_code == expected, page
    assert browser.post(_page(paid), {"state": "failed"}).status_code == 403
    paid.refresh_from_db()
    assert paid.state == "completed"


def test_whole_numbers_need_a_permission(paid: Transaction, clerk: Client) -> None:
    trusted = _client("view_transaction", "view_full_msisdn")
    for page in (LIST, _page(paid), LIST + "export/"):
        seen = _text(clerk.get(page))
        assert MASKED in seen, page
        assert WHOLE not in seen, page
        assert WHOLE in _text(trusted.get(page)), page


@pytest.mark.parametrize(
    "guess", ["msisdn__startswith=25884123", "msisdn=258841234567", "e=1&metadata__x=1"]
)
def test_masked_numbers_cannot_be_guessed_by_the_address(clerk: Client, guess: str) -> None:
    for page in (LIST, LIST + "export/"):
        assert clerk.get(f"{page}?{guess}").status_code == 400


def test_search_finds_whole_values(paid: Transaction, clerk: Client) -> None:
    _many(2, reference="OTHER", msisdn="258849999999")
    for term in (
        "ORDER+7",
        "order+7",
        "84+123+4567",
        "%2B258841234567",
        WHOLE,
        paid.third_party_reference,
        paid.conversation_id,
        paid.transaction_id,
        str(paid.transaction_id).lower(),
        f"++{paid.transaction_id}+",
    ):
        assert _listed(clerk, f"?q={term}") == [paid.pk], term
    for term in ("ORDER", "841234", "123", "%27"):
        assert _listed(clerk, f"?q={term}") == [], term
    assert len(_listed(clerk, "?q=+")) == 3


def test_filters_and_dates_narrow_the_list(clerk: Client) -> None:
    for number, (state, operation, account) in enumerate(
        [("completed", "c2b", "default"), ("failed", "c2b", "default"), ("failed", "b2c", "two")]
    ):
        _many(1, state=state, operation=operation, account=account)
        moment = datetime(2025 + number // 2, 3 + number, 28, 12, tzinfo=timezone.utc)
        named = Transaction.objects.filter(third_party_reference=f"R{number}")
        rows.change(named, created_at=stored(moment))
    ids = list(Transaction.objects.order_by("pk").values_list("pk", flat=True))
    assert _listed(clerk, "?state__exact=failed") == ids[1:]
    assert _listed(clerk, "?operation__exact=b2c") == ids[2:]
    assert _listed(clerk, "?account=default") == ids[:2]
    assert _listed(clerk, "?created_at__year=2025") == ids[:2]
    assert _listed(clerk, "?created_at__year=2025&created_at__month=4") == ids[1:2]
    assert (
        _listed(clerk, "?created_at__year=2025&created_at__month=4&created_at__day=28") == ids[1:2]
    )
    assert clerk.get(LIST + "?created_at__year=x").status_code == 302

    def links(query: str) -> list[str]:
        found = clerk.get(LIST + query).context["cl"].date_links()
        return [choice["title"] for choice in found["choices"]]

    assert links("") == ["2025", "2026"]
    assert links("?account=two") == ["2025", "2026"]
    assert links("?created_at__year=2025")[0] == "March 2025"
    assert links("?created_at__year=2026") == [f"{month} 2026" for month in (
        "January", "February", "March", "April", "May")]  # fmt: skip
    assert len(links("?created_at__year=2025&created_at__month=4")) == 30
    assert links("?created_at__year=2025&created_at__month=4&created_at__day=28") == ["April 28"]


def test_an_empty_list_shows(clerk: Client) -> None:
    assert _listed(clerk, "") == []


def test_the_list_counts_no_further_than_it_shows(
    clerk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changelist, "LISTED", 120)
    _many(120)
    assert "more than these" not in _text(clerk.get(LIST))
    _many(1)
    page = clerk.get(LIST + "?p=2")
    assert len(page.context["cl"].result_list) == 20
    assert "There are more than these 120" in _text(page)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "queries"),
    [
        ("", 13),
        ("?q=84+123+4567", 13),
        ("?state__exact=completed&operation__exact=c2b", 13),
        ("?created_at__year=2026", 13),
        ("report/", 8),
    ],
)
def test_the_number_of_queries_does_not_grow(clerk: Client, query: str, queries: int) -> None:
    def made() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert clerk.get(LIST + query).status_code == 200
        return len(caught)

    _many(10, msisdn=WHOLE)
    assert made() == queries
    _many(300, msisdn=WHOLE)
    assert made() == queries


# Asking


def test_asking_says_how_many_are_still_open(simulator: Simulator, clerk: Client) -> None:
    simulator.scenarios.queue("cut_after")
    simulator.scenarios.queue("cut_before")
    records = [mpesa.c2b(**PAYMENT), mpesa.c2b(**PAYMENT)]
    chosen = {"action": "ask_gateway", "_selected_action": [record.pk for record in records]}
    seen = _text(clerk.post(LIST, chosen, follow=True))
    assert "The gateway was asked about 2 payments. Still without a final result: 1." in seen
    assert sorted(Transaction.objects.values_list("state", flat=True)) == ["completed", "unknown"]
    rows.remove(Transaction.objects.filter(state="unknown"))
    assert "nothing to ask" in _text(clerk.post(LIST, chosen, follow=True))


def test_asking_a_gateway_that_is_away_is_told(
    simulator: Simulator, clerk: Client, settings: Settings
) -> None:
    simulator.scenarios.queue("cut_after")
    record = mpesa.c2b(**PAYMENT)
    settings.MPESA = {"default": {**settings.MPESA["default"], "PORT": 1, "RETRIES": 0}}
    chosen = {"action": "ask_gateway", "_selected_action": [record.pk]}
    assert "1 payment could not be asked about" in _text(clerk.post(LIST, chosen, follow=True))


def _broken(*args: Any) -> Any:
    raise RuntimeError("the row is secret")


def test_one_that_cannot_be_asked_for_stops_no_other(
    simulator: Simulator, clerk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.scenarios.queue("cut_after")
    simulator.scenarios.queue("cut_after")
    records = [mpesa.c2b(**PAYMENT), mpesa.c2b(**PAYMENT)]
    monkeypatch.setattr(mpesa["default"], "check", _broken)
    chosen = {"action": "ask_gateway", "_selected_action": [record.pk for record in records]}
    seen = _text(clerk.post(LIST, chosen, follow=True))
    assert "2 payments could not be asked about" in seen
    assert "secret" not in seen


# Reversing


def _form(client: Client, record: Any) -> dict[str, str]:
    return filled(_text(client.get(_page(record, "reverse"))))


def _send(client: Client, record: Any, form: dict[str, str]) -> str:
    return _text(client.post(_page(record, "reverse"), form, follow=True))


def test_a_reversal_needs_its_permission(paid: Transaction, clerk: Client) -> None:
    assert 'value="reverse"' not in _text(clerk.get(LIST))
    assert "Reverse…" not in _text(clerk.get(_page(paid)))
    assert clerk.get(_page(paid, "reverse")).status_code == 403
    assert clerk.post(_page(paid, "reverse"), {"amount": "1"}).status_code == 403
    cashier = _client("view_transaction", "reverse_transaction")
    assert "Reverse…" in _text(cashier.get(_page(paid)))
    assert cashier.get(LIST + "999999/reverse/").status_code == 404
    assert Client().get(_page(paid, "reverse")).status_code == 302


def test_a_reversal_is_confirmed_and_made(
    paid: Transaction, browser: Client, simulator: Simulator
) -> None:
    chosen = {"action": "reverse", "_selected_action": [paid.pk]}
    answer = browser.post(LIST, chosen)
    assert (answer.status_code, answer["Location"]) == (302, _page(paid, "reverse"))
    form = _form(browser, paid)
    assert form["amount"] == "150.00"
    seen = _send(browser, paid, form)
    assert "150.00 MZN were given back, says the gateway" in seen
    paid.refresh_from_db()
    assert paid.state == "reversed"
    assert simulator.ledger.balance(WHOLE) == 100_000
    assert LogEntry.objects.filter(object_id=str(paid.pk)).count() == 1
    assert "Only a completed payment" in _text(browser.get(_page(paid, "reverse"), follow=True))


def test_a_part_is_given_back_and_the_rest_is_offered(
    paid: Transaction, browser: Client, simulator: Simulator
) -> None:
    assert "50.00 MZN were given back" in _send(
        browser, paid, {**_form(browser, paid), "amount": "50"}
    )
    form = _form(browser, paid)
    assert form["amount"] == "100.00"
    for wrong, told in (
        ("100.01", "at most 100.00 MZN"),
        ("0", "more than 0"),
        ("-5", "more than 0"),
        ("1.000", "at most 2 decimals"),
        ("all", "at most 2 decimals"),
        ("", "Type how much"),
    ):
        seen = _send(browser, paid, {**form, "amount": wrong})
        assert told in seen, wrong
        assert f'value="{form["key"]}"' in seen
    assert "100.00 MZN were given back" in _send(browser, paid, {**form, "amount": "100,00"})
    assert simulator.ledger.balance(WHOLE) == 100_000


def test_one_form_reverses_once(paid: Transaction, browser: Client, simulator: Simulator) -> None:
    form = {**_form(browser, paid), "amount": "150"}
    first = _send(browser, paid, form)
    assert _send(browser, paid, form).count("150.00 MZN were given back, says") == 1
    assert "150.00 MZN were given back" in first
    assert "sent before, with another amount" in _send(browser, paid, {**form, "amount": "20"})
    assert Transaction.objects.filter(operation="reversal").count() == 1
    assert LogEntry.objects.count() == 1


def test_who_did_not_see_the_other_reversal_gives_nothing_back(
    paid: Transaction, browser: Client, simulator: Simulator
) -> None:
    first, second = ({**_form(browser, paid), "amount": "30"} for _ in range(2))
    assert "30.00 MZN were given back" in _send(browser, paid, first)
    seen = _send(browser, paid, second)
    assert "has changed since this page was shown" in seen
    assert 'value="120.00"' in seen  # as it now is
    without = {name: value for name, value in _form(browser, paid).items() if name != "shown"}
    assert "has changed since this page was shown" in _send(browser, paid, without)
    assert "30.00 MZN were given back, says" in _send(browser, paid, first)  # the same one
    assert Transaction.objects.filter(operation="reversal").count() == 1
    assert simulator.ledger.balance(WHOLE) == 100_000 - 120
    again = {**second, "shown": _form(browser, paid)["shown"]}
    assert "30.00 MZN were given back" in _send(browser, paid, again)


def test_what_goes_back_is_of_the_payment_that_the_page_shows(
    paid: Transaction, browser: Client
) -> None:
    # As a migration leaves payments of which two have one transaction ID.
    rows.change(Transaction.objects.filter(pk=paid.pk), claimed_transaction_id=None)
    assert "150.00 MZN were given back" in _send(browser, paid, _form(browser, paid))
    assert Transaction.objects.get(operation="reversal").original_id == paid.pk


def test_many_submits_of_one_form_reverse_once(
    paid: Transaction, browser: Client, simulator: Simulator
) -> None:
    form = {**_form(browser, paid), "amount": "20"}
    cookies = browser.cookies

    def send(number: int) -> int:
        client = Client()
        client.cookies = cookies
        try:
            return int(client.post(_page(paid, "reverse"), form).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, range(8))) == {302}
    assert Transaction.objects.filter(operation="reversal").count() == 1
    assert simulator.ledger.balance(WHOLE) == 100_000 - 130


@pytest.mark.parametrize(
    ("scenario", "told", "state"),
    [
        ("code:INS-6", "Nothing was given back: the reversal failed", "failed"),
        ("cut_after", "Nobody knows yet whether the 150.00 MZN were given back", "unknown"),
        ("html", "Nobody knows yet", "unknown"),
        ("unknown_code", "Nobody knows yet", "unknown"),
    ],
)
def test_no_more_is_claimed_than_is_known(
    paid: Transaction, browser: Client, simulator: Simulator, scenario: str, told: str, state: str
) -> None:
    simulator.scenarios.queue(scenario, operation="reversal")
    seen = _send(browser, paid, _form(browser, paid))
    assert told in seen
    assert "were given back, says" not in seen
    assert Transaction.objects.get(operation="reversal").state == state
    paid.refresh_from_db()
    assert paid.state == "completed"
    # What is being given back is not offered a second time.
    again = _text(browser.get(_page(paid, "reverse")))
    assert ("is being given back already" in again) == (state == "unknown")
    if state == "unknown":
        other = {"amount": "150", "key": "9" * 32, "shown": digest_of(paid)}
        assert "at most 0.00" in _send(browser, paid, other)


def test_an_accepted_reversal_is_not_a_made_one(
    paid: Transaction, browser: Client, simulator: Simulator
) -> None:
    simulator.response_url = "https://127.0.0.1:18997/nobody"
    simulator.scenarios.queue("callback_never", operation="reversal")
    assert "has accepted the reversal of 150.00 MZN and not decided" in _send(
        browser, paid, _form(browser, paid)
    )
    simulator.callbacks.drain()


def test_only_one_completed_payment_is_reversed(
    paid: Transaction, browser: Client, simulator: Simulator
) -> None:
    simulator.scenarios.queue("cancelled")
    failed = mpesa.c2b(**PAYMENT)
    chosen = {"action": "reverse", "_selected_action": [paid.pk, failed.pk]}
    assert "choose just one" in _text(browser.post(LIST, chosen, follow=True))
    reversal = mpesa.reverse(transaction_id=paid.transaction_id, amount=1)
    for record in (failed, reversal):
        assert "Only a completed payment" in _text(
            browser.get(_page(record, "reverse"), follow=True)
        )
        key = {"amount": "1", "key": "9" * 32}
        assert "Only a completed payment" in _send(browser, record, key)
    assert Transaction.objects.count() == 3


def test_a_payment_of_an_account_that_is_gone_is_told(paid: Transaction, browser: Client) -> None:
    rows.change(Transaction.objects.all(), account="closed")
    assert "no M-Pesa account" in _send(browser, paid, _form(browser, paid))


def test_atomic_requests_do_not_keep_a_reversal_from_being_made(
    paid: Transaction, browser: Client, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    form = _form(browser, paid)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert "150.00 MZN were given back" in _send(browser, paid, form)
    simulator.scenarios.queue("cut_after")
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", False)
    unknown = mpesa.c2b(**PAYMENT)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    chosen = {"action": "ask_gateway", "_selected_action": [unknown.pk]}
    seen = _text(browser.post(LIST, chosen, follow=True))
    expected = "ATOMIC_REQUESTS" if connection.vendor == "sqlite" else "asked about 1 payment."
    assert expected in seen


# Exporting


def _csv(answer: Any) -> list[dict[str, str]]:
    assert answer.streaming
    assert answer["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(_text(answer))))


def test_the_export_has_what_the_list_finds(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EXPORT_BATCH", 3)
    _many(7)
    _many(4, state="failed", reference="ORDER 7", msisdn=WHOLE)
    _many(2, state="failed")
    rows = _csv(clerk.get(LIST + "export/"))
    assert [row["third_party_reference"] for row in rows] == [f"R{n}" for n in range(12, -1, -1)]
    assert len(_csv(clerk.get(LIST + "export/?state__exact=failed"))) == 6
    found = _csv(clerk.get(LIST + "export/?state__exact=failed&q=order+7"))
    assert len(found) == 4
    assert found[0]["msisdn"] == MASKED
    assert found[0]["amount"] == "1.00"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found[0]["created_at"])
    assert found[0]["time_zone"] == "CAT"
    assert f"{LIST}export/?q=order" in _text(clerk.get(LIST + "?q=order"))
    assert clerk.get(LIST + "export/?created_at__year=x").status_code == 302


def test_the_chosen_ones_are_exported_alone(clerk: Client) -> None:
    _many(4)
    keys = list(Transaction.objects.order_by("-pk").values_list("pk", flat=True))
    chosen = {"action": "export_chosen", "_selected_action": keys[1:3]}
    found = _csv(clerk.post(LIST, chosen))
    assert [int(row["pk"]) for row in found] == keys[1:3]
    assert clerk.get(LIST).content.decode().count("Export the chosen ones as CSV") == 1


def test_the_export_says_what_is_paid_for_and_what_is_given_back(
    paid: Transaction, clerk: Client, simulator: Simulator
) -> None:
    shopper = User.objects.create_user("=shopper", password="x")
    bought: Any = mpesa.c2b(**PAYMENT, order=shopper)
    mpesa.reverse(bought, "50")
    reversal, sold, other = _csv(clerk.get(LIST + "export/"))
    assert reversal["original_reference"] == sold["third_party_reference"]
    assert reversal["original_transaction_id"] == sold["transaction_id"] == bought.transaction_id
    assert (sold["paid_for"], sold["reversed_amount"]) == ("'=shopper", "50.00")
    assert sold["order"] == f"auth.user:{shopper.pk}"
    assert (other["paid_for"], other["order"], other["original_reference"]) == ("", "", "")
    shopper.delete()
    rows.change(Transaction.objects.filter(pk=bought.pk), object_id="no key")
    assert _csv(clerk.get(LIST + "export/"))[1]["paid_for"] == ""


@pytest.mark.slow
def test_the_queries_of_an_export_do_not_grow_with_what_is_paid_for(
    simulator: Simulator, clerk: Client
) -> None:
    def made() -> int:
        with CaptureQueriesContext(connection) as caught:
            _csv(clerk.get(LIST + "export/"))
        return len(caught)

    mpesa.c2b(**PAYMENT, order=User.objects.create_user("first", password="x"))
    once = made()
    for number in range(3):
        mpesa.c2b(**PAYMENT, order=User.objects.create_user(f"other {number}", password="x"))
    assert made() == once


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", " =1", "\t=1", "＝1"])
def test_the_export_holds_no_formulas(clerk: Client, text: str) -> None:
    _many(1, reference=text, response_description='"quoted", text')
    (row,) = _csv(clerk.get(LIST + "export/"))
    assert row["reference"] == "'" + text
    assert row["response_description"] == '"quoted", text'


def test_export_and_report_need_the_view_permission(simulator: Simulator) -> None:
    stranger = _client("view_callbacklog")
    for page in ("export/", "report/"):
        assert stranger.get(LIST + page).status_code == 403
        assert Client().get(LIST + page).status_code == 302


# Callbacks


def _callback(body: bytes, **values: Any) -> CallbackLog:
    found: CallbackLog = CallbackLog.objects.create(account="default", body=body, **values)
    return found


def test_a_callback_shows_readably_without_numbers_and_secrets(
    simulator: Simulator, clerk: Client, paid: Transaction, settings: Settings
) -> None:
    api_key = settings.MPESA["default"]["API_KEY"]
    body = json.dumps({
        "input_ResultDesc": "Olá <b> 84 123 4567", "msisdn": int(WHOLE), "x": TOKEN, "y": api_key,
    })  # fmt: skip
    entry = _callback(body.encode(), transaction=paid, verdict="applied", conversation_id="AG_1")
    seen = _text(clerk.get(f"/admin/django_mpesa/callbacklog/{entry.pk}/change/"))
    assert "Olá &lt;b&gt; 25884•••4567" in seen
    assert MASKED in seen
    for hidden in (WHOLE, "84 123 4567", TOKEN, api_key):
        assert hidden not in seen
    assert "Applied" in _text(clerk.get(_page(paid)))
    unreadable = _callback(b"\xff<html>\x00 841234567 " + TOKEN.encode())
    seen = _text(clerk.get(f"/admin/django_mpesa/callbacklog/{unreadable.pk}/change/"))
    assert "not UTF-8" in seen
    assert "841234567" not in seen
    assert TOKEN not in seen
    deep = _callback(b"[" * 60_000)
    assert clerk.get(f"/admin/django_mpesa/callbacklog/{deep.pk}/change/").status_code == 200


def test_callbacks_are_listed_and_searched(clerk: Client) -> None:
    page = "/admin/django_mpesa/callbacklog/"
    _callback(b"{}", third_party_reference="R1", conversation_id="AG_1", verdict="unmatched")
    _callback(b"{}", third_party_reference="R2")
    for query, count in (("", 2), ("?q=r1", 1), ("?q=AG_1", 1), ("?verdict__exact=unmatched", 1)):
        assert len(clerk.get(page + query).context["cl"].result_list) == count
    assert clerk.get(page + "?body__contains=x").status_code == 400
    assert clerk.get(page + "?transaction__msisdn=1").status_code == 400
    assert "Export" not in _text(clerk.get(page))


# The report


def _timed(day: datetime, seconds: Iterable[float], **values: Any) -> None:
    for took in seconds:
        _many(1, **values)
        newest = Transaction.objects.latest("pk").pk
        updated = stored(day + timedelta(seconds=took))
        rows.change(
            Transaction.objects.filter(pk=newest), created_at=stored(day), updated_at=updated
        )


def test_the_report_adds_up(clerk: Client, settings: Settings) -> None:
    settings.TIME_ZONE = "UTC"
    first = datetime(2026, 3, 1, 0, 30, tzinfo=timezone.utc)
    second = datetime(2026, 3, 2, 23, 30, tzinfo=timezone.utc)
    _timed(first, [1, 2, 4, 100], amount=10)
    _timed(first, [3], state="failed")
    _timed(second, [7], operation="b2c", amount=5)
    _timed(second, [9_000], operation="b2c", amount=5, state="reversed", reversed_amount=5)
    _timed(second, [9_000], state="unknown")
    _timed(second, [8], amount=10, conflict="contradicts")
    _timed(second + timedelta(days=1), [1])
    report = clerk.get(LIST + "report/?start=2026-03-01&end=2026-03-02").context["report"]
    overall = report.overall
    assert (overall.total, overall.succeeded, overall.undecided) == (9, 7, 1)
    assert overall.success_rate == pytest.approx(87.5)
    assert overall.median == timedelta(seconds=3.5)
    payouts, payments = sorted(report.totals, key=lambda row: row.total)
    assert (payments.total, payments.succeeded, payments.amount) == (7, 5, Decimal(50))
    assert payments.median == timedelta(seconds=3)
    assert (payouts.total, payouts.amount, payouts.given_back) == (2, 10, 5)
    assert payouts.median == timedelta(seconds=7)
    assert [(row.day.day, row.total, row.median_text) for row in report.days] == [
        (2, 2, "–"), (2, 2, "7.0 s"), (1, 5, "3.0 s")
    ]  # fmt: skip
    assert report.chart["days"] == ["2026-03-01", "2026-03-02"]
    assert report.chart["payments"][0]["counts"] == [5, 2]
    assert report.chart["success_rate"] == [80, 100]


def test_the_report_counts_days_in_the_projects_time_zone(
    clerk: Client, settings: Settings
) -> None:
    settings.TIME_ZONE = "Africa/Maputo"
    _timed(datetime(2026, 3, 1, 22, 30, tzinfo=timezone.utc), [1])
    for day, count in ((1, 0), (2, 1)):
        page = clerk.get(LIST + f"report/?start=2026-03-0{day}&end=2026-03-0{day}")
        assert page.context["report"].overall.total == count
        assert ("No payments were started" in _text(page)) == (not count)


def test_the_report_starts_with_the_last_thirty_days(clerk: Client) -> None:
    _many(1)
    page = clerk.get(LIST + "report/")
    assert len(page.context["report"].chart["days"]) == 30
    assert page.context["report"].overall.total == 1
    seen = _text(page)
    assert 'id="mpesa-chart-data" type="application/json"' in seen
    scripts = re.findall(r"<script([^>]*)>([^<]*)", seen)
    assert all(not code.strip() or "application/json" in kind for kind, code in scripts)
    assert "style=" not in re.sub(r"<svg.*?</svg>", "", seen, flags=re.DOTALL)
    assert "//cdn" not in seen


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("start=2026-03-02&end=2026-03-01", "not before the first one"),
        ("start=2024-01-01&end=2026-01-01", "at most 366 days"),
        ("start=x&end=2026-03-01", "Enter a valid date"),
        ("start=9999-12-31&end=9999-12-31", "less than or equal to 2999-12-31"),
        ("start=0001-01-01&end=0001-01-01", "greater than or equal to 2000-01-01"),
        ("account=nobody", "not one of the available choices"),
    ],
)
def test_a_period_that_cannot_be_is_explained(clerk: Client, query: str, told: str) -> None:
    answer = clerk.get(f"{LIST}report/?{query}")
    if "account" in query:
        assert answer.context["report"] is None
    else:
        assert told in _text(answer)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.84, "0.8 s"), (9.99, "10.0 s"), (45, "45 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert figures.duration_text(timedelta(seconds=seconds)) == text


# A model of the project's own


@pytest.mark.slow
def test_the_admin_works_with_a_model_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "models.py").write_text(
        "from django.db import models\n"
        "from django_mpesa.models import AbstractTransaction\n"
        "class Payment(AbstractTransaction):\n"
        "    class Meta(AbstractTransaction.Meta): pass\n"
        "    note = models.CharField(max_length=20, default='of the shop')\n"
    )
    script = Path(__file__).with_name("swapped_admin.py")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["302 403 200 200 200"], done.stderr + done.stdout


HANDLERS = "/admin/django_mpesa/outboxentry/"


@pytest.fixture
def left(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A handler that waits for its next attempt, one for a person, and one that nobody knows."""
    monkeypatch.setattr(mpesa.handlers, "_handlers", {})
    fails = ["ship"]

    def raising(payment: Transaction) -> None:
        if fails:
            raise ValueError

    for name in ("ship", "book", "old"):
        mpesa.handler("payment_completed", name=name)(raising)
    paid = mpesa.c2b(**PAYMENT)
    OutboxEntry.objects.filter(handler="book").update(
        given_up_at=stored(datetime.now(timezone.utc))
    )
    mpesa.handlers._handlers.pop(("payment_completed", "old"))
    return {"paid": paid, "fails": fails}


def test_the_handlers_that_are_left_are_listed_by_what_they_wait_for(
    left: dict[str, Any], browser: Client
) -> None:
    seen = browser.get(HANDLERS).content.decode()
    for words in ("Waits for its next attempt", "Waits for a person", "No such handler",
                  left["paid"].third_party_reference, "ValueError in raising, line"):  # fmt: skip
        assert words in seen
    for waits, name in (("attempt", "ship"), ("person", "book"), ("handler", "old")):
        answer = browser.get(HANDLERS, {"waits": waits})
        assert [entry.handler for entry in answer.context["cl"].result_list] == [name]
    found = browser.get(HANDLERS, {"q": left["paid"].third_party_reference})
    assert len(found.context["cl"].result_list) == 3
    entry = OutboxEntry.objects.get(handler="book")
    page = browser.get(f"{HANDLERS}{entry.pk}/change/").content.decode()
    assert "Waits for a person" in page
    of_payment = browser.get(f"{LIST}{left['paid'].pk}/change/").content.decode()
    assert "ValueError in raising, line" in of_payment
    assert "M-Pesa handlers to be run" in of_payment


def test_chosen_handlers_are_run_again_by_who_may(
    left: dict[str, Any], browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {
        "action": "run_again",
        "_selected_action": list(OutboxEntry.objects.values_list("pk", flat=True)),
    }
    refused = _client("view_outboxentry").post(HANDLERS, chosen, follow=True)
    assert "run_again" not in refused.content.decode()
    assert OutboxEntry.objects.filter(attempts=1).count() == 3
    seen = browser.post(HANDLERS, chosen, follow=True).content.decode()
    assert "Handler book: failed again." in seen
    assert "Handler old: no such handler." in seen
    left["fails"].clear()
    with monkeypatch.context() as patch:
        patch.setattr(mpesa["default"], "run_again", _broken)
        seen = browser.post(HANDLERS, chosen, follow=True).content.decode()
    for name in ("ship", "book", "old"):  # one stops no other
        assert f"Handler {name}: RuntimeError." in seen
    allowed = _client("view_outboxentry", "run_handlers")
    seen = allowed.post(HANDLERS, chosen, follow=True).content.decode()
    assert "2 handlers were run." in seen
    assert list(OutboxEntry.objects.values_list("handler", flat=True)) == ["old"]


def test_a_site_of_ones_own_without_payments_shows_handlers_and_callbacks(
    left: dict[str, Any],
) -> None:
    site = AdminSite(name="other")
    entry: Any = OutboxEntry.objects.first()
    shown = HandlerAdmin(OutboxEntry, site).payment(entry)
    assert shown == left["paid"].third_party_reference
    callback = _callback(b"{}", third_party_reference=left["paid"].third_party_reference)
    assert str(left["paid"]) in CallbackLogAdmin(CallbackLog, site).perhaps_of(callback)


def test_a_signal_that_is_to_be_sent_is_no_handler(left: dict[str, Any], browser: Client) -> None:
    OutboxEntry.objects.update(handler="")
    assert len(browser.get(HANDLERS).context["cl"].result_list) == 0
    of_payment = browser.get(f"{LIST}{left['paid'].pk}/change/").content.decode()
    assert "M-Pesa handlers to be run" not in of_payment.partition("<main")[2]
