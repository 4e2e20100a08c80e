"""Deciding, in the admin and by command, what became of a payment."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client

from django_mpesa import mpesa
from django_mpesa.models import Transaction
from mpesa_integrations import State
from mpesa_integrations.core.payments.lifecycle import Evidence
from mpesa_integrations.simulator import Simulator
from tests.support import rows
from tests.support.callbacks import accepted_payment, callback_body
from tests.support.pages import filled

from .test_admin import LIST, WHOLE, _client, _page, _text

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "order": "ORDER-7"}
PAID = {"state": "completed", "note": "statement of 3 May"}


@pytest.fixture
def cashier() -> Client:
    return _client("view_transaction", "resolve_transaction")


@pytest.fixture
def unknown(simulator: Simulator) -> Any:
    simulator.scenarios.queue("cut_before", delay=0)
    record = mpesa.c2b(**PAYMENT)
    assert record.state == "unknown"
    return record


@pytest.fixture
def contradicted(simulator: Simulator) -> Any:
    simulator.scenarios.queue("cancelled", delay=0)
    record = mpesa.c2b(**PAYMENT)
    rows.change(Transaction.objects.filter(pk=record.pk), conflict=f"{Evidence.SUCCEEDED}: paid")
    record.refresh_from_db()
    return record


def _shown(client: Client, record: Any) -> dict[str, str]:
    return filled(_text(client.get(_page(record, "resolve"))))


def _decide(client: Client, record: Any, decided: dict[str, str]) -> Any:
    form = {**_shown(client, record), **decided}
    return client.post(_page(record, "resolve"), form, follow=True)


def test_a_decision_needs_its_permission(unknown: Any) -> None:
    clerk = _client("view_transaction", "reverse_transaction")
    assert "Decide…" not in _text(clerk.get(_page(unknown)))
    assert clerk.get(_page(unknown, "resolve")).status_code == 403
    assert clerk.post(_page(unknown, "resolve"), PAID).status_code == 403
    unknown.refresh_from_db()
    assert unknown.state == "unknown"


def test_what_nobody_knows_is_decided_by_who_says_why(unknown: Any, cashier: Client) -> None:
    assert "Decide…" in _text(cashier.get(_page(unknown)))
    seen = _text(cashier.get(_page(unknown, "resolve")))
    assert "Ask the gateway first" in seen
    assert "ORDER-7" in seen
    assert WHOLE not in seen
    for wrong, told in (
        ({"state": "completed"}, "on what grounds"),
        ({"note": "statement"}, "Choose what happened"),
        ({"state": "reversed", "note": "statement"}, "valid choice"),
    ):
        assert told in _text(_decide(cashier, unknown, wrong))
    seen = _text(_decide(cashier, unknown, PAID))
    assert "Your decision was written down" in seen
    unknown.refresh_from_db()
    assert unknown.state == "completed"
    assert "statement of 3 May" in unknown.response_description
    user = LogEntry.objects.get(object_id=str(unknown.pk)).user
    assert f"Decided by {user.get_username()}: " in unknown.response_description
    assert "Decide…" not in _text(cashier.get(_page(unknown)))
    again = _text(cashier.post(_page(unknown, "resolve"), PAID, follow=True))
    assert "nothing to decide" in again
    assert cashier.get(LIST + "999999/resolve/").status_code == 404


@pytest.mark.parametrize(("decided", "ends"), [("completed", "completed"), ("failed", "cancelled")])
def test_what_the_gateway_contradicted_is_decided_and_the_order_goes_on(
    contradicted: Any, cashier: Client, decided: str, ends: str
) -> None:
    assert mpesa.c2b(**PAYMENT).pk == contradicted.pk
    assert "said two things" in _text(cashier.get(_page(contradicted, "resolve")))
    _decide(cashier, contradicted, {**PAID, "state": decided})
    contradicted.refresh_from_db()
    assert (contradicted.state, contradicted.conflict_decided_at is None) == (ends, False)
    assert (mpesa.c2b(**PAYMENT).pk == contradicted.pk) == (decided == "completed")


def test_who_did_not_see_a_contradiction_does_not_decide_it(
    simulator: Simulator, cashier: Client
) -> None:
    pending = accepted_payment(mpesa, simulator, **PAYMENT)
    form = {**_shown(cashier, pending), "state": "failed", "note": "not on the statement"}
    mpesa.resolve(pending, State.FAILED, by="Rui", note="not on the statement")
    assert mpesa.receive(json.dumps(callback_body(pending)).encode())
    without = {name: value for name, value in form.items() if name != "shown"}
    for stale in (form, without):
        seen = _text(cashier.post(_page(pending, "resolve"), stale, follow=True))
        assert "has changed since this page was shown" in seen
        assert "said two things" in seen
    pending.refresh_from_db()
    assert (pending.conflict_decided_at, pending.may_retry) == (None, False)
    assert mpesa.c2b(**PAYMENT).pk == pending.pk
    assert LogEntry.objects.count() == 0
    _decide(cashier, pending, {**PAID, "state": "failed"})
    pending.refresh_from_db()
    assert pending.conflict_decided_at is not None


def test_of_a_paid_one_nobody_decides_that_no_money_moved(
    simulator: Simulator, cashier: Client
) -> None:
    paid = mpesa.c2b(**PAYMENT)
    rows.change(Transaction.objects.filter(pk=paid.pk), conflict="declined: said later")
    refused = _text(_decide(cashier, paid, {**PAID, "state": "failed"}))
    assert "valid choice" in refused
    _decide(cashier, paid, PAID)
    paid.refresh_from_db()
    assert (paid.state, paid.conflict_decided_at is None) == ("completed", False)


def test_a_refused_decision_says_why(contradicted: Any, cashier: Client) -> None:
    rows.change(Transaction.objects.filter(pk=contradicted.pk), conflict="")
    other = mpesa.c2b(**PAYMENT)
    rows.change(Transaction.objects.filter(pk=contradicted.pk), conflict="succeeded: paid")
    seen = _text(_decide(cashier, contradicted, PAID))
    assert other.third_party_reference in seen
    assert LogEntry.objects.count() == 0


def test_the_command_decides(unknown: Any) -> None:
    shown = StringIO()
    words = ["mpesa_resolve", unknown.third_party_reference, "failed", "--by", "Ana"]
    with pytest.raises(CommandError, match="--note"):
        call_command(*words, stdout=shown)
    call_command(*words, "--note", "not on the statement", stdout=shown)
    assert "Decided by Ana: not on the statement" in shown.getvalue()
    assert mpesa.attempts("ORDER-7")[0].state == State.FAILED
    with pytest.raises(CommandError, match="which is final"):
        call_command(*words, "--note", "again")
    with pytest.raises(CommandError, match="no payment has this"):
        call_command("mpesa_resolve", "NOSUCH", "failed", "--by", "Ana", "--note", "x")
