"""A project without time zones: `USE_TZ = False`, its times naive, by the clocks of TIME_ZONE.

`MPESA_TEST_USE_TZ=0` runs all other tests so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from django_mpesa import mpesa, times
from django_mpesa.models import CallbackLog, OutboxEntry, Transaction
from mpesa_integrations.simulator import Simulator
from tests.support import rows
from tests.support.account import account_settings
from tests.support.callbacks import callback_body

from .test_payments import _names, _post

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
Heard = list[tuple[str, Any]]
LIST = "/admin/django_mpesa/transaction/"


@pytest.fixture(autouse=True)
def _without_time_zones(settings: Settings) -> Iterator[None]:
    settings.USE_TZ = False
    settings.TIME_ZONE = "Europe/Lisbon"
    yield
    connection.close()


def _now() -> datetime:
    return datetime.now()  # noqa: DTZ005 - as the project has its times


def _is_recent(time: datetime | None) -> bool:
    return time is not None and abs(_now() - time) < timedelta(minutes=1)


def test_payments_callbacks_and_reconcile(simulator: Simulator, heard: Heard) -> None:
    record = mpesa.c2b(**PAYMENT)
    kept = Transaction.objects.get()
    assert (record.state, kept.state) == ("completed", "completed")
    assert _is_recent(kept.created_at)
    assert _is_recent(record.created_at)
    assert mpesa.reverse(transaction_id=record.transaction_id).state == "completed"
    simulator.response_url = "https://127.0.0.1:18997/nobody"
    simulator.scenarios.queue("callback_never", operation="c2b", times=2)
    waiting = mpesa.c2b(**PAYMENT)
    assert waiting.next_check_at is not None
    assert timedelta(0) < waiting.next_check_at - _now() < timedelta(minutes=1)
    assert _post(callback_body(waiting)).status_code == 200
    assert _is_recent(CallbackLog.objects.get().received_at)
    unknown = mpesa.c2b(**PAYMENT)  # whose callback does not come
    assert mpesa.reconcile().asked == 0
    hour = timedelta(hours=1)
    rows.change(
        Transaction.objects.filter(next_check_at__isnull=False), next_check_at=_now() - hour
    )
    OutboxEntry.objects.update(due_at=_now() - hour)
    assert mpesa.reconcile().asked == 1
    assert Transaction.objects.get(pk=unknown.pk).state == "completed"
    assert _names(heard).count("completed") == 3
    assert _names(heard).count("reversal_completed") == 1


def test_ages_count_for_what_is_stuck_or_was_never_there(
    simulator: Simulator, settings: Settings, heard: Heard
) -> None:
    settings.MPESA = {
        "default": account_settings(simulator, NOT_FOUND_AFTER=3600, STUCK_AFTER=7200)
    }
    simulator.scenarios.queue("cut_before", operation="c2b", times=1)
    record = mpesa.c2b(**PAYMENT)
    for minutes, state in ((59, "unknown"), (61, "failed")):
        created = _now() - timedelta(minutes=minutes)
        rows.change(Transaction.objects.all(), created_at=created)
        oldest = mpesa["default"].oldest_open()
        assert oldest is not None
        assert abs(oldest - timedelta(minutes=minutes)) < timedelta(minutes=1)
        assert mpesa.check(Transaction.objects.get()).state == state
    simulator.scenarios.queue("cut_before", operation="c2b", times=1)
    simulator.scenarios.queue("html", operation="query_transaction_status", times=9)
    record = mpesa.c2b(**PAYMENT)
    old = _now() - timedelta(hours=3)
    rows.change(Transaction.objects.filter(pk=record.pk), created_at=old, next_check_at=old)
    mpesa.reconcile()
    stuck = Transaction.objects.get(pk=record.pk)
    assert _is_recent(stuck.stuck_at)
    assert _names(heard)[-1] == "stuck"


def test_inside_atomic(simulator: Simulator) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("refused on SQLite")
    with transaction.atomic():
        record = mpesa.c2b(**PAYMENT)
    assert _is_recent(Transaction.objects.get(pk=record.pk).created_at)


def test_the_admin_shows_lists_reports_and_exports(simulator: Simulator) -> None:
    mpesa.c2b(**PAYMENT)
    client = Client()
    client.force_login(User.objects.create_superuser("ana"))
    key = Transaction.objects.get().pk
    pages = ("", f"?created_at__year={_now().year}", f"{key}/change/", "report/")
    for page in pages:
        answer = client.get(LIST + page)
        assert answer.status_code == 200
        assert "ORDER 7" in answer.content.decode() or page == "report/"
    exported = b"".join(client.get(LIST + "export/").streaming_content).decode()  # type: ignore[attr-defined]
    assert exported.rstrip().rpartition(",")[2] in ("WET", "WEST")  # the project's


def test_an_hour_that_the_clocks_show_twice_makes_nothing_older() -> None:
    """On 25 October 2026 Lisbon's clocks go back from 2:00 to 1:00, at 01:00 UTC."""
    for hour in (0, 1):
        moment = datetime(2026, 10, 25, hour, 30, tzinfo=timezone.utc)
        kept = times.stored(moment)
        assert kept.isoformat() == "2026-10-25T01:30:00"
        assert times.aware(kept) == datetime(2026, 10, 25, 1, 30, tzinfo=timezone.utc)
    for moment in (
        datetime(2026, 10, 24, 12, tzinfo=timezone.utc),
        datetime(2026, 3, 29, 1, 30, tzinfo=timezone.utc),
    ):
        assert times.aware(times.stored(moment)) == moment
