"""`manage.py mpesa_worker`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from django_mpesa import mpesa
from django_mpesa.models import Transaction
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN, account_settings
from tests.support.callbacks import accepted_payment, callback_body
from tests.support.signals import sigterm_once

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.slow
def test_it_works_until_a_signal_comes(
    simulator: Simulator, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.MPESA = {"default": account_settings(simulator, APPLY_CALLBACKS="worker")}
    record = accepted_payment(mpesa, simulator, **PAYMENT)
    url, body = f"/mpesa/callback/{TOKEN}/", json.dumps(callback_body(record))
    assert Client().post(url, body, "application/json").status_code == 200
    record.refresh_from_db()
    assert record.state == "pending"

    with sigterm_once(_is_completed):
        call_command("mpesa_worker", f"--health-file={tmp_path / 'health.json'}")
    out = capsys.readouterr().out
    assert "working for default" in out
    assert "ending, since SIGTERM came" in out
    assert not list(tmp_path.iterdir())


def _is_completed() -> bool:
    try:
        return bool(Transaction.objects.filter(state="completed").exists())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("option", "said", "code"),
    [
        ("--concurrency=0", "concurrency: must be", 3),
        ("--concurrency=-1", "concurrency: must be", 3),
        ("--rate=0", "rate: must be", 3),
        ("--batch=0", "batch: must be", 3),
        ("--poll=0", "poll: must be", 3),
        ("--stop-within=-1", "stop_within: must be", 3),
        ("--account=nobody", "there is no M-Pesa account 'nobody'", 2),
    ],
)
def test_what_makes_no_sense_is_refused(
    simulator: Simulator, option: str, said: str, code: int
) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        call_command("mpesa_worker", option)
    assert caught.value.returncode == code
