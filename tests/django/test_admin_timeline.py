"""A payment's page tells what happened, in order, with seconds and zone, and leads to the rest."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from django_mpesa import mpesa
from django_mpesa.models import CallbackLog, OutboxEntry, Transaction
from django_mpesa.times import moment_text, stored
from mpesa_integrations.simulator import Simulator
from tests.support import rows
from tests.support.pages import filled

from .test_admin import PAYMENT, _client, _form, _page, _send, _text, browser

__all__ = ["browser"]
pytestmark = pytest.mark.django_db(transaction=True)


def _told(client: Client, record: Any) -> list[str]:
    page = _text(client.get(_page(record)))
    section = page[page.index('<section class="mpesa-timeline"') :].partition("</section>")[0]
    return [
        " ".join(unescape(re.sub(r"<[^>]+>", " ", item)).split())
        for item in re.findall(r"<li>(.*?)</li>", section, re.DOTALL)
    ]


def test_a_payment_and_what_was_given_back_of_it(
    simulator: Simulator, browser: Client, settings: Settings
) -> None:
    settings.TIME_ZONE = "Africa/Maputo"
    paid: Any = mpesa.c2b(**PAYMENT)
    _send(browser, paid, {**_form(browser, paid), "amount": "50"})
    CallbackLog.objects.create(
        account="default", body=b"{}", verdict="repeated", transaction_id=paid.pk,
        third_party_reference=paid.third_party_reference,
    )  # fmt: skip
    OutboxEntry.objects.create(
        id="1" * 32, account="default", event="payment_completed", transaction_id=paid.pk,
        handler="shop.ship", due_at=timezone.now(), attempts=10, problem="ValueError in ship",
        given_up_at=timezone.now(),
    )  # fmt: skip
    told = _told(browser, paid)
    assert told[0] == f"{moment_text(paid.created_at)} Recorded, before anything was sent"
    assert re.search(r"\d\d:\d\d:\d\d CAT ", told[0])
    assert told[1].endswith(f"in the conversation {paid.conversation_id}")
    assert any("50.00 MZN were given back: Reversal 50.00" in line for line in told)
    assert any("In the administration, by boss" in line and "50.00" in line for line in told)
    assert any("shop.ship was given up after 10 tries ValueError in ship" in it for it in told)
    (result,) = (line for line in told if "Result" in line)
    assert result.startswith("– Result: the money moved")
    assert paid.transaction_id in result
    reversal = Transaction.objects.get(operation="reversal")
    page = _text(browser.get(_page(paid)))
    assert f'href="{_page(reversal)}"' in page
    callback = CallbackLog.objects.get()
    assert f'href="/admin/django_mpesa/callbacklog/{callback.pk}/change/"' in page
    assert f'href="{_page(paid)}"' in _text(browser.get(_page(reversal)))
    assert "gives this payment's money back" in _told(browser, reversal)[0]


def test_who_may_not_see_callbacks_is_not_led_to_them(simulator: Simulator) -> None:
    paid: Any = mpesa.c2b(**PAYMENT)
    CallbackLog.objects.create(
        account="default", body=b"{}", verdict="repeated", transaction_id=paid.pk
    )
    clerk = _client("view_transaction")
    assert any("Callback: it said what was known" in line for line in _told(clerk, paid))
    page = _text(clerk.get(_page(paid)))
    assert "callbacklog" not in page[page.index("mpesa-timeline") :].partition("</section>")[0]


def test_a_decision_stands_there_with_who_and_when(simulator: Simulator, browser: Client) -> None:
    simulator.scenarios.queue("cut_before", delay=0)
    unknown: Any = mpesa.c2b(**PAYMENT)
    assert any("no clear answer came" in line for line in _told(browser, unknown))
    page = _page(unknown, "resolve")
    form = {**filled(_text(browser.get(page))), "state": "failed", "note": "   "}
    assert "on what grounds" in _text(browser.post(page, form))
    browser.post(page, {**form, "note": "statement of 3 May"})
    unknown.refresh_from_db()
    told = _told(browser, unknown)
    at = moment_text(unknown.updated_at)
    said = "it failed, and no money moved Decided by boss: statement of 3 May"
    assert f"{at} A person decided: {said}" in told
    assert any("In the administration, by boss Decided: failed. statement" in it for it in told)


def test_what_is_paid_for_is_led_to(simulator: Simulator, browser: Client) -> None:
    shopper = User.objects.create_user("shopper", password="x")
    paid: Any = mpesa.c2b(**PAYMENT, paid_for=shopper)
    assert f'<a href="/admin/auth/user/{shopper.pk}/change/">shopper</a>' in _text(
        browser.get(_page(paid))
    )


def test_what_is_paid_for_is_nothing_where_its_model_has_another_kind_of_key_by_now(
    simulator: Simulator, browser: Client
) -> None:
    paid: Any = mpesa.c2b(**PAYMENT, paid_for=User.objects.create_user("shopper"))
    rows.change(Transaction.objects.filter(pk=paid.pk), object_id="6b0cbd2e")
    paid.refresh_from_db()
    assert paid.paid_for is None
    assert browser.get(_page(paid)).status_code == 200


def test_a_status_query_and_the_callback_that_it_overtook(
    simulator: Simulator, browser: Client
) -> None:
    simulator.scenarios.queue("cut_after")
    record: Any = mpesa.check(mpesa.c2b(**PAYMENT))
    assert record.state == "completed"
    entry = CallbackLog.objects.create(
        account="default", body=b"{}", verdict="repeated", transaction_id=record.pk
    )
    early = stored(timezone.now() - timedelta(minutes=5))
    CallbackLog.objects.filter(pk=entry.pk).update(received_at=early)
    asked_at = moment_text(record.updated_at)
    assert any(
        f"it arrived early, and agreed with the status query of {asked_at}" in line
        for line in _told(browser, record)
    )


def test_a_title_has_the_amount_as_people_write_it(
    simulator: Simulator, browser: Client, settings: Settings
) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    made = rows.make(
        operation="c2b", amount="1250.00", state="completed", third_party_reference="R1"
    )
    assert "Payment (C2B) 1,250.00 R1" in _text(browser.get(_page(made)))
