"""From the first release's tables to today's, with payments in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from django_mpesa import mpesa
from django_mpesa.models import OutboxEntry
from django_mpesa.times import stored

_FIRST, _CLAIMS = ("django_mpesa", "0001_initial"), ("django_mpesa", "0002_claims_and_attempts")
_OUTBOX = ("django_mpesa", "0003_outbox")
_LATEST = ("django_mpesa", "0004_orders_and_handlers")


def _migrate(target: tuple[str, str], model: str = "Transaction") -> Any:
    executor = MigrationExecutor(connection)
    return executor.migrate([target]).apps.get_model("django_mpesa", model)


@pytest.fixture
def first(transactional_db: None) -> Iterator[Any]:
    """The model of payments as it was, in a database of that time."""
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes("django_mpesa")
    yield _migrate(_FIRST)
    _migrate(latest[0])


def test_what_completed_before_claims_has_the_transaction_that_is_its_alone(first: Any) -> None:
    rows = [
        ("completed", "c2b", "default", "A1"),
        ("reversed", "b2b", "default", "A2"),
        ("partly_reversed", "b2c", "default", "a1"),  # in capitals, another's
        ("completed", "c2b", "default", "A3"),
        ("completed", "c2b", "default", "A3"),
        ("completed", "c2b", "payouts", "A3"),
        ("completed", "reversal", "default", "A4"),
        ("completed", "c2b", "default", "A4"),
        ("completed", "c2b", "default", ""),
        ("pending", "c2b", "default", "A5"),
    ]
    for number, (state, operation, account, transaction_id) in enumerate(rows):
        first.objects.create(
            state=state, operation=operation, account=account, transaction_id=transaction_id,
            third_party_reference=f"R{number}", amount=10,
        )  # fmt: skip
    for _ in range(2):  # there, back, and there again
        claimed = _migrate(_CLAIMS).objects.order_by("pk")
        assert list(claimed.values_list("claimed_transaction_id", flat=True)) == [
            "A1", "A2", "a1", None, None, "A3", None, "A4", None, None
        ]  # fmt: skip
        _migrate(_FIRST)


def test_what_waited_as_a_notice_is_dispatched_from_the_outbox(
    first: Any, heard: list[tuple[str, Any]]
) -> None:
    paid = first.objects.create(
        state="completed", operation="c2b", third_party_reference="R1", amount=10,
        msisdn="258841234567",
    )  # fmt: skip
    long_ago = stored(datetime.now(timezone.utc) - timedelta(hours=1))
    notices = _migrate(_CLAIMS, "Notice").objects
    waiting = {"due_at": long_ago, "attempts": 2, "transaction_id": paid.pk}
    notices.create(id="a" * 32, account="default", event="payment_completed", **waiting)
    notices.create(id="b" * 32, account="another", event="payment_pending", **waiting)
    before = list(notices.order_by("pk").values())
    for _ in range(2):  # there, back, and there again
        assert list(_migrate(_OUTBOX, "OutboxEntry").objects.order_by("pk").values()) == before
        assert list(_migrate(_CLAIMS, "Notice").objects.order_by("pk").values()) == before
    _migrate(_LATEST)
    assert mpesa.reconcile().dispatched == 1
    assert [(name, record.pk) for name, record in heard] == [("payment_completed", paid.pk)]
    assert list(OutboxEntry.objects.values_list("pk", flat=True)) == ["b" * 32]
