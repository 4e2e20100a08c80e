"""The filter of what a person has to look at: which payments, which callbacks, and how many."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from django_mpesa import mpesa
from django_mpesa.admin import attention
from django_mpesa.models import CallbackLog, OutboxEntry, Transaction
from django_mpesa.times import stored
from mpesa_integrations.simulator import Simulator
from tests.support import rows

from .test_admin import LIST, PAYMENT, _client, _listed, _many, _text

pytestmark = pytest.mark.django_db(transaction=True)
CALLBACKS = "/admin/django_mpesa/callbacklog/"
NOW = datetime.now(timezone.utc)


@pytest.fixture
def clerk() -> Client:
    return _client("view_transaction", "view_callbacklog")


@pytest.fixture
def kinds(simulator: Simulator) -> dict[str, int]:
    """A payment of each kind that needs attention, by its kind; and some that need none."""
    _many(2)
    _many(1, state="unknown")  # a moment old
    _many(1, state="completed", conflict="said", conflict_decided_at=stored(NOW))
    _many(1, state="failed", stuck_at=stored(NOW))  # was decided since
    of_kind: tuple[tuple[str, dict[str, Any]], ...] = (
        ("stuck", {"state": "pending", "stuck_at": stored(NOW)}),
        ("conflict", {"state": "cancelled", "conflict": "succeeded: paid"}),
        ("unknown", {"state": "unknown"}),
        ("handler", {"state": "completed"}),
    )
    made = {}
    for kind, columns in of_kind:
        _many(1, **columns)
        made[kind] = Transaction.objects.latest("pk").pk
    old = stored(NOW - attention.LONG - timedelta(minutes=1))
    rows.change(Transaction.objects.filter(pk=made["unknown"]), created_at=old)
    entries: tuple[dict[str, Any], ...] = (
        {"id": "0" * 32, "transaction_id": made["handler"], "given_up_at": stored(NOW)},
        {"id": "1" * 32, "transaction_id": made["stuck"]},  # it is tried again by itself
    )
    for entry in entries:
        OutboxEntry.objects.create(
            account="default", event="payment_completed", handler="shop.ship",
            due_at=stored(NOW), **entry,
        )  # fmt: skip
    return made


def _choices(client: Client, page: str = LIST) -> dict[str, str]:
    spec = client.get(page).context["cl"]
    found = next(each for each in spec.filter_specs if each.parameter_name == "attention")
    return {choice["display"]: choice["query_string"] for choice in found.choices(spec)}


def test_each_kind_is_found_and_counted(kinds: dict[str, int], clerk: Client) -> None:
    for kind, pk in kinds.items():
        assert _listed(clerk, f"?attention={kind}") == [pk], kind
    assert _listed(clerk, "?attention=any") == sorted(kinds.values())
    assert _listed(clerk, "?attention=any&state__exact=completed") == [kinds["handler"]]
    assert len(_listed(clerk, "?attention=nothing")) == 9
    assert list(_choices(clerk)) == [
        "All", "Any of these", "Stuck (1)", "Contradicted (1)",
        "Being checked for over an hour (1)", "Handler given up (1)",
        "Callback without its payment",
    ]  # fmt: skip


def test_callbacks_without_a_payment_are_counted_and_led_to(
    clerk: Client, simulator: Simulator
) -> None:
    for verdict in ("unmatched", "mismatched", "unreadable", "failed", "applied", "received"):
        CallbackLog.objects.create(account="default", body=b"{}", verdict=verdict)
    assert _choices(clerk)["Callback without its payment (4)"] == f"{CALLBACKS}?attention=any"
    found = clerk.get(f"{CALLBACKS}?attention=any").context["cl"].result_list
    assert {entry.verdict for entry in found} == {
        "unmatched", "mismatched", "unreadable", "failed"
    }  # fmt: skip
    assert "Callback without its payment (4)" in _choices(clerk, CALLBACKS)
    who_sees_none = _client("view_transaction")
    assert not any("Callback" in label for label in _choices(who_sees_none))


def test_many_are_counted_to_a_bound(clerk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "COUNTED", 2)
    _many(3, conflict="said")
    assert "Contradicted (2+)" in _choices(clerk)
    assert len(_listed(clerk, "?attention=conflict")) == 3


def test_an_export_has_what_needs_attention(kinds: dict[str, int], clerk: Client) -> None:
    lines = _text(clerk.get(f"{LIST}export/?attention=any")).splitlines()
    assert len(lines) == 1 + len(kinds)


def test_the_gateways_contradiction_is_among_them(clerk: Client, simulator: Simulator) -> None:
    simulator.scenarios.queue("cancelled")
    payment: Any = mpesa.c2b(**PAYMENT)
    assert _listed(clerk, "?attention=conflict") == []
    rows.change(Transaction.objects.filter(pk=payment.pk), conflict="succeeded: paid")
    assert _listed(clerk, "?attention=conflict") == [payment.pk]


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.slow
def test_an_index_leads_to_each_kind() -> None:
    """However many payments there are: PostgreSQL is told of a million, and plans for them."""
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        for kind in ("stuck", "conflict", "unknown"):
            found = Transaction.objects.order_by().filter(attention.payments_of(kind))
            assert "Seq Scan" not in found.explain(), kind
        rejected = attention.rejected_callbacks().order_by()
        assert "Seq Scan" not in rejected.explain()
        cursor.execute("RESET enable_seqscan")
