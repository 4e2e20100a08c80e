"""Callbacks in the admin: what happened in which order, looked into, and applied again."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.test import Client

from django_mpesa import mpesa
from django_mpesa.models import CallbackLog, Transaction
from mpesa_integrations.simulator import Simulator
from tests.support import rows
from tests.support.callbacks import accepted_payment, callback_body

from .test_admin import PAYMENT, _client, _page, _text

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/django_mpesa/callbacklog/"


@pytest.fixture
def cashier() -> Client:
    return _client("view_transaction", "view_callbacklog", "apply_callbacks")


@pytest.fixture
def unmatched(simulator: Simulator) -> Any:
    """A payment whose callback came while it was away."""
    record = accepted_payment(mpesa, simulator, **PAYMENT)
    payments = Transaction.objects.filter(pk=record.pk)
    rows.change(payments, third_party_reference="AWAY")
    mpesa["default"].receive(json.dumps(callback_body(record)).encode())
    assert CallbackLog.objects.get().verdict == "unmatched"
    return record


def _come_back(record: Any) -> None:
    payments = Transaction.objects.filter(pk=record.pk)
    rows.change(payments, third_party_reference=record.third_party_reference)


def _apply(client: Client) -> str:
    keys = list(CallbackLog.objects.values_list("pk", flat=True))
    chosen = {"action": "apply_again", "_selected_action": keys}
    return _text(client.post(PAGE, chosen, follow=True))


def test_one_without_a_payment_is_looked_into(unmatched: Any, cashier: Client) -> None:
    assert "no payment has its third-party reference" in _text(cashier.get(PAGE))
    entry = CallbackLog.objects.get()
    page = _text(cashier.get(f"{PAGE}{entry.pk}/change/"))
    # It is found by the conversation that it names, too.
    assert f'<a href="{_page(unmatched)}">' in page
    assert "(default, Waiting)" in page


def test_it_is_applied_again_by_who_may(unmatched: Any, cashier: Client) -> None:
    clerk = _client("view_transaction", "view_callbacklog")
    assert "Apply again" not in _text(clerk.get(PAGE))
    _come_back(unmatched)
    _apply(clerk)
    unmatched.refresh_from_db()
    assert unmatched.state == "pending"
    assert f"Callback {unmatched.third_party_reference}: Applied." in _apply(cashier)
    unmatched.refresh_from_db()
    assert unmatched.state == "completed"
    logged = LogEntry.objects.get()
    assert logged.get_change_message() == "Applied again: applied"
    assert "there is nothing to apply" in _apply(cashier)
    page = _text(cashier.get(_page(unmatched)))
    assert "Callback: it decided the payment" in page


def test_one_that_is_still_of_no_payment_says_so(unmatched: Any, cashier: Client) -> None:
    assert ": No such payment." in _apply(cashier)
    assert CallbackLog.objects.get().verdict == "unmatched"


def test_an_account_that_is_gone_stops_no_other(unmatched: Any, cashier: Client) -> None:
    _come_back(unmatched)
    CallbackLog.objects.create(account="closed", body=b"{}", verdict="unmatched")
    seen = _apply(cashier)
    assert "ConfigurationError" in seen
    assert ": Applied." in seen


def test_the_command_lists_and_applies(unmatched: Any) -> None:
    def run(*words: str) -> tuple[int, str]:
        said, code = StringIO(), 0
        try:
            call_command("mpesa_callbacks", *words, stdout=said)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, said.getvalue()

    key = str(CallbackLog.objects.get().pk)
    code, listed = run()
    assert code == 1
    assert f"default: {key}  20" in listed
    assert f"{unmatched.third_party_reference}  unmatched" in listed
    assert run("--apply-again", key) == (1, f"default: {key}: unmatched\n")
    _come_back(unmatched)
    assert run("--apply-again", key) == (0, f"default: {key}: applied\n")
    assert run("--apply-again", key)[0] == 1
    assert run() == (0, "")
