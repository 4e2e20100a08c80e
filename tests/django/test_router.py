"""Payments in a database of their own: migrated, paid, called back, reconciled and shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.db import connection
from pytest_django import Settings

from django_mpesa import mpesa
from django_mpesa.models import CallbackLog, Transaction
from django_mpesa.paid_for import texts_of
from django_mpesa.signals import payment_completed
from mpesa_integrations.simulator import Simulator
from tests.support.projects import Project

NAME = os.environ.get("MPESA_TEST_NAME", "test_mpesa")
SETTINGS = """
from tests.django.settings import *

ROOT_URLCONF = "urls"
if os.environ["SERVER"]:
    server = {**DATABASES["default"], "TEST": {}}
    DATABASES = {alias: {**server, "NAME": f"NAME_routed_{alias}"}
                 for alias in ("default", "payments")}
else:
    DATABASES = {alias: {"ENGINE": "django.db.backends.sqlite3",
                         "NAME": Path(__file__).parent / f"{alias}.sqlite3"}
                 for alias in ("default", "payments")}
DATABASE_ROUTERS = ["router.PaymentsRouter"]
""".replace("NAME_", f"{NAME}_")
ROUTER = """
class PaymentsRouter:
    def db_for_read(self, model, **hints):
        return "payments" if model._meta.app_label == "django_mpesa" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return (db == "payments") == (app_label == "django_mpesa")
"""
URLS = """
from django.contrib import admin
from django.urls import include, path
urlpatterns = [path("mpesa/", include("django_mpesa.urls")), path("admin/", admin.site.urls)]
"""
STORY = """
import django
django.setup()
from datetime import timedelta
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client
from django.urls import resolve
from django.utils import timezone
from django_mpesa import mpesa
from django_mpesa.models import CallbackLog, OutboxEntry, Transaction
from django_mpesa.orders import OrderPayments
from django_mpesa.signals import payment_completed
from django_mpesa.test import mpesa_gateway

class Order(Group):
    mpesa = OrderPayments()

    class Meta:
        app_label = "auth"
        proxy = True

for made in range(3):
    ContentType.objects.create(app_label="gone", model=f"m{made}")
tables = connections["payments"].introspection.table_names()
assert set(tables) == {"django_migrations", "django_mpesa_transaction",
                       "django_mpesa_callbacklog", "django_mpesa_outboxentry"}, tables
assert "django_mpesa_transaction" not in connections["default"].introspection.table_names()

order = Group.objects.create(name="an order")
heard = []
receive = lambda sender, transaction, **kwargs: heard.append(transaction.paid_for)
payment_completed.connect(receive)
with mpesa_gateway(asynchronous=True) as gateway:
    paid = mpesa.c2b(msisdn="841234567", amount=10, reference="T1", paid_for=order,
                     idempotency_key="k")
    again = mpesa.c2b(msisdn="841234567", amount=10, reference="T1", paid_for=order,
                      idempotency_key="k")
    assert again == paid
    gateway.deliver()
paid = Transaction.objects.get()
assert (paid.state, paid.paid_for, heard) == ("completed", order, [order]), (paid.state, heard)
assert paid._state.db == CallbackLog.objects.get()._state.db == "payments"
assert Transaction.objects.prefetch_related("paid_for").get().paid_for == order
assert Transaction.objects.filter(object_id=order.pk).count() == 1

with mpesa_gateway() as gateway:
    later = mpesa.c2b(msisdn="841234567", amount=5, reference="T2")
    mpesa.link(later, paid_for=order)
    mpesa.reverse(transaction_id=later.transaction_id)
    call_command("mpesa_reconcile")
    mpesa.c2b(msisdn="841234567", amount=7, order=order)
later.refresh_from_db()
assert (later.state, later.paid_for) == ("reversed", order)
assert Order.objects.get().mpesa.amount_paid == 7
assert Order.objects.prefetch_related("mpesa").get().mpesa.payment._state.db == "payments"
assert OutboxEntry.objects.count() == 0

# In another database a handler's work is not undone: there it is done at least once.
tried = []

@mpesa.handler(payment_completed, name="ship")
def ship(payment):
    tried.append(payment.pk)
    Group.objects.create(name=f"try {len(tried)}")
    payment.metadata["tried"] = len(tried)
    payment.save()
    if len(tried) == 1:
        raise ValueError

with mpesa_gateway():
    shipped = mpesa.c2b(msisdn="841234567", amount=5, reference="T3")
    OutboxEntry.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    assert shipped.metadata == {}
    mpesa.reconcile()
shipped.refresh_from_db()
assert (tried, shipped.metadata) == ([shipped.pk] * 2, {"tried": 2})
assert Group.objects.filter(name__startswith="try").count() == 2
assert OutboxEntry.objects.count() == 0

# Nor is it done inside the shop's own transaction, which may be rolled back after the payment.
def pay_in_a_view(reference, fails=False):
    done = len(tried)
    try:
        with transaction.atomic():
            Group.objects.create(name=reference)
            found = mpesa.c2b(msisdn="841234567", amount=5, reference=reference)
            assert (found.state, len(tried)) == ("completed", done), tried
            if fails:
                raise LookupError
    except LookupError:
        assert len(tried) == done
    return found

with mpesa_gateway():
    kept = pay_in_a_view("T4")
    assert tried[2:] == [kept.pk]
    undone = pay_in_a_view("T5", fails=True)
    assert not Group.objects.filter(name="T5").exists()
    OutboxEntry.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    mpesa.reconcile()
    assert tried[3:] == [undone.pk]
    transaction.set_autocommit(False)
    vague = mpesa.c2b(msisdn="841234567", amount=5, reference="T6")
    transaction.rollback()
    transaction.set_autocommit(True)
    assert len(tried) == 4
    OutboxEntry.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    mpesa.reconcile()
    assert tried[4:] == [vague.pk]
assert Group.objects.filter(name__startswith="try").count() == 5
assert OutboxEntry.objects.count() == 0

# What a handler breaks in the shop's database, it breaks for no view.
broken = []

@mpesa.handler(payment_completed, name="break")
def break_once(payment):
    broken.append(payment.pk)
    if len(broken) == 1:
        Group.objects.create(name="an order")  # there is one of that name

with mpesa_gateway():
    pay_in_a_view("T7")
    assert len(broken) == 1 and Group.objects.filter(name="T7").exists()
    OutboxEntry.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    mpesa.reconcile()
assert (len(broken), OutboxEntry.objects.count()) == (2, 0)

User.objects.create_superuser("ana", password="ana")
client = Client()
client.login(username="ana", password="ana")
page = client.get("/admin/django_mpesa/transaction/")
assert page.status_code == 200 and "T2" in page.content.decode()
page = client.get(f"/admin/django_mpesa/transaction/{paid.pk}/change/")
assert page.status_code == 200 and "an order" in page.content.decode()

# Whichever of the databases has a transaction for each request, what is ours is done in none.
for alias in ("default", "payments"):
    connections[alias].settings_dict["ATOMIC_REQUESTS"] = True
with mpesa_gateway(asynchronous=True) as gateway:
    called = mpesa.c2b(msisdn="841234567", amount=10, reference="T8")
    gateway.deliver()
called.refresh_from_db()
assert called.state == "completed"
admin = f"/admin/django_mpesa/transaction/{called.pk}"
with mpesa_gateway():
    asked = mpesa.status_url(called)
for path in ("/mpesa/callback/token/", asked, f"{admin}/reverse/", f"{admin}/resolve/"):
    assert resolve(path).func._non_atomic_requests == {"default", "payments"}, path
if connections["payments"].vendor == "sqlite":
    (told,) = (found for found in run_checks() if found.id == "mpesa.W021")
    assert 'non_atomic_requests(using="payments")' in told.hint, told
for alias in ("default", "payments"):
    connections[alias].settings_dict["ATOMIC_REQUESTS"] = False

# What is deleted in the shop's database is not looked for in the payments'.
order.delete()
ContentType.objects.get_for_model(Group).delete()
assert Transaction.objects.get(pk=paid.pk).paid_for is None
call_command("check", "--database", "default", "--database", "payments",
             "--fail-level", "WARNING")
call_command("mpesa_check", "--offline")
print("ok")
"""


@pytest.fixture
def server(django_db_blocker: Any) -> Iterator[str]:
    """The server of the test run, with two databases; empty for SQLite, which has files."""
    server = os.environ.get("MPESA_TEST_DATABASE", "sqlite")
    if server == "sqlite":
        yield ""
        return
    names = [f"{NAME}_routed_{alias}" for alias in ("default", "payments")]
    with django_db_blocker.unblock():
        _on_server(f"DROP DATABASE IF EXISTS {name}" for name in names)
        _on_server(f"CREATE DATABASE {name}" for name in names)
        yield server
        _on_server(f"DROP DATABASE {name}" for name in names)


def _on_server(statements: Iterable[str]) -> None:
    with connection._nodb_cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.slow
def test_payments_in_a_database_of_their_own(tmp_path: Path, server: str) -> None:
    files = {"settings.py": SETTINGS, "router.py": ROUTER, "urls.py": URLS, "story.py": STORY}
    project = Project(tmp_path, files, SERVER=server)
    project.manage("migrate --database payments", "migrate", "makemigrations --check --dry-run")
    assert project.run("story.py").endswith("ok\n")


class LaggingReplica:
    """Its replica has nothing yet: whoever asks it fails."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        return True


@pytest.mark.django_db(transaction=True)
def test_what_a_payment_is_for_is_not_read_from_a_replica(
    settings: Settings, simulator: Simulator
) -> None:
    settings.DATABASE_ROUTERS = [LaggingReplica()]
    ContentType.objects.clear_cache()
    order = Group.objects.create(name="an order")
    heard: list[Any] = []

    def ship(sender: Any, transaction: Transaction, **values: Any) -> None:
        heard.append(transaction.paid_for)

    payment_completed.connect(ship)
    try:
        mpesa.c2b(msisdn="841234567", amount=10, order=order)
    finally:
        payment_completed.disconnect(ship)
    records = Transaction.objects.using("default")
    assert heard == [order]
    assert records.get().paid_for == order
    assert records.prefetch_related("paid_for").get().paid_for == order
    named = records.values_list("content_type_id", "object_id")
    assert list(texts_of(named).values()) == ["an order"]


class CallbacksElsewhere:
    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model is CallbackLog else None


def test_callbacks_in_another_database_than_their_payments_are_an_error(
    settings: Any, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATABASE_ROUTERS = [CallbacksElsewhere()]
    (found,) = (message for message in run_checks() if message.id == "mpesa.E034")
    assert "'elsewhere'" in found.msg
