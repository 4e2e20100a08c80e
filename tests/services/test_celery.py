"""Reconciliation and callbacks by real Celery workers, over Redis and RabbitMQ."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from django_mpesa import mpesa
from django_mpesa.models import CallbackLog, Transaction
from mpesa_integrations.simulator import Simulator
from tests.support import rows
from tests.support.account import TOKEN, account_settings
from tests.support.callbacks import accepted_payment, callback_body
from tests.support.waiting import until

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
BROKERS = {"redis": ("redis://127.0.0.1:6379/0", 6379), "rabbitmq": ("amqp://127.0.0.1", 5672)}

pytestmark = [pytest.mark.service, pytest.mark.django_db(transaction=True)]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def simulator(mpesa_simulator: Simulator, settings: Settings) -> Simulator:
    settings.MPESA = {"default": account_settings(mpesa_simulator, APPLY_CALLBACKS="worker")}
    return mpesa_simulator


@pytest.fixture(params=list(BROKERS))
def celery_app(request: pytest.FixtureRequest, simulator: Simulator) -> Iterator[Any]:
    """A Celery app with a queue of its own, and what a worker of it needs in its environment."""
    url, port = BROKERS[request.param]
    if not _listens(port):
        if os.environ.get("CI"):
            pytest.fail(f"{request.param} does not listen on port {port}")
        pytest.skip(f"{request.param} does not listen on port {port}")
    from .brokers import make_app

    app = make_app(url, f"mpesa-test-{uuid.uuid4().hex}")
    yield app
    with app.connection_for_write() as broker, broker.channel() as channel:
        app.amqp.queues[app.conf.task_default_queue].bind(channel).delete()
    app.close()


def _start(module: str, app: Any, **environment: str) -> subprocess.Popen[str]:
    """Start a worker of a Celery app. Its name is its own: RabbitMQ lets no other have it."""
    conf = app.conf
    return subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", module, "worker",
         "--hostname", f"{conf.task_default_queue}@%h",
         "--pool", "solo", "--without-gossip", "--without-mingle", "--loglevel", "warning"],
        env={
            **os.environ,
            "MPESA_TEST_BROKER": conf.broker_url,
            "MPESA_TEST_QUEUE": conf.task_default_queue,
            **environment,
        },
        text=True,
    )  # fmt: skip


def _worker(app: Any, simulator: Simulator) -> subprocess.Popen[str]:
    return _start(
        "tests.services.brokers",
        app,
        MPESA_TEST_DJANGO_NAME=str(connection.settings_dict["NAME"]),
        MPESA_TEST_ACCOUNT=str(simulator.state_dir / "account.json"),
    )


@pytest.fixture
def worker(celery_app: Any, simulator: Simulator) -> Iterator[subprocess.Popen[str]]:
    process = _worker(celery_app, simulator)
    yield process
    process.terminate()
    process.wait(20)


def _make_due() -> None:
    past = timezone.now() - timedelta(seconds=1)
    rows.change(Transaction.objects.filter(next_check_at__isnull=False), next_check_at=past)


def _pending(simulator: Simulator) -> Transaction:
    record = accepted_payment(mpesa, simulator, **PAYMENT)
    assert isinstance(record, Transaction)
    return record


def _call_back(record: Transaction) -> int:
    url = f"/mpesa/callback/{TOKEN}/"
    return Client().post(url, json.dumps(callback_body(record)), "application/json").status_code


def test_a_worker_reconciles_what_is_due(
    celery_app: Any, worker: subprocess.Popen[str], simulator: Simulator
) -> None:
    from django_mpesa.tasks import reconcile

    for _ in range(5):
        simulator.scenarios.queue("cut_after", operation="c2b")
        assert mpesa.c2b(**PAYMENT).state == "unknown"
    _make_due()
    reconcile.delay(batch=2)  # so that a batch starts the next
    until(lambda: Transaction.objects.filter(state="completed").count() == 5)


def test_a_worker_applies_callbacks_that_the_request_only_stored(
    celery_app: Any, simulator: Simulator
) -> None:
    record = _pending(simulator)
    assert _call_back(record) == 200
    assert CallbackLog.objects.get().verdict == "received"
    record.refresh_from_db()
    assert record.state == "pending"
    process = _worker(celery_app, simulator)
    try:
        until(lambda: CallbackLog.objects.get().verdict == "applied")
    finally:
        process.terminate()
        process.wait(20)
    record.refresh_from_db()
    assert record.state == "completed"


def test_a_broker_that_is_down_loses_nothing(simulator: Simulator) -> None:
    from .brokers import make_app

    make_app("redis://127.0.0.1:1/0", "nobody")
    record = _pending(simulator)
    assert _call_back(record) == 200
    assert CallbackLog.objects.get().verdict == "received"
    CallbackLog.objects.update(received_at=timezone.now() - timedelta(hours=1))
    assert mpesa.reconcile().callbacks == 1
    record.refresh_from_db()
    assert record.state == "completed"


def test_a_worker_sends_what_is_queued(
    celery_app: Any, worker: subprocess.Popen[str], simulator: Simulator, settings: Settings
) -> None:
    settings.MPESA = {"default": account_settings(simulator, SEND="task")}
    records = [mpesa.c2b(**PAYMENT) for _ in range(3)]
    assert {record.state for record in records} == {"queued"}
    until(lambda: Transaction.objects.filter(state="completed").count() == 3)
    # Told of again, as by a broker that delivers twice, it sends none again.
    from django_mpesa.tasks import send_queued

    send_queued.delay("default", records[0].third_party_reference)
    mpesa.c2b(**PAYMENT)
    until(lambda: Transaction.objects.filter(state="completed").count() == 4)
    assert len(simulator.ledger.transactions()) == 4


def test_djangos_own_tasks_are_used_where_configured(
    simulator: Simulator, settings: Settings
) -> None:
    if django.VERSION < (6, 0):
        pytest.skip("django.tasks came with Django 6.0")
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    record = _pending(simulator)
    assert _call_back(record) == 200
    record.refresh_from_db()
    assert record.state == "completed"
    settings.MPESA = {"default": account_settings(simulator, SEND="task")}
    simulator.response_url = None
    sent = mpesa.c2b(**PAYMENT)
    sent.refresh_from_db()
    assert sent.state == "completed"
    assert django_settings.TASKS


def test_a_flask_shops_worker_applies_callbacks_and_reconciles(
    celery_app: Any, mpesa_simulator: Simulator, tmp_path: Path
) -> None:
    from .flask_brokers import make_celery, make_flask_app

    database = str(tmp_path / "shop.sqlite3")
    account = str(mpesa_simulator.state_dir / "account.json")
    app = make_flask_app(database, account)
    celery = make_celery(app, celery_app.conf.broker_url, celery_app.conf.task_default_queue)
    accounts = app.extensions["mpesa"]
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    lost = accounts.c2b(**PAYMENT)
    pending = accepted_payment(accounts, mpesa_simulator, **PAYMENT)
    answer = app.test_client().post(f"/mpesa/callback/{TOKEN}/", json=callback_body(pending))
    assert answer.status_code == 200
    assert accounts.store.get(pending).state == "pending"
    _make_due_in(database)
    from flask_mpesa.tasks import reconcile

    reconcile.delay()
    process = _start(
        "tests.services.flask_brokers:celery_app",
        celery,
        MPESA_TEST_FLASK_DATABASE=database,
        MPESA_TEST_ACCOUNT=account,
    )
    try:
        until(lambda: {accounts.store.get(r).state for r in (lost, pending)} == {"completed"})
    finally:
        process.terminate()
        process.wait(20)
        accounts.forget()
        celery.close()


def _make_due_in(database: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE payment SET next_check_at = '2020-01-01 00:00:00.000000'")
