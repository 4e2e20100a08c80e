"""What the guarantees stand on is there, whatever a shop says of its model and table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations import AddConstraint, RemoveConstraint
from django.db.migrations.executor import MigrationExecutor

from django_mpesa import constraints, mpesa
from django_mpesa.models import Transaction
from mpesa_integrations import ConfigurationError
from mpesa_integrations.core.payments import persistence
from mpesa_integrations.simulator import Simulator
from tests.support.projects import Project


@pytest.fixture(autouse=True)
def _tables_looked_at_once() -> None:
    """Here each account looks for itself."""


PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
SETTINGS = """
from tests.django.settings import *

ROOT_URLCONF = "tests.django.urls"
INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3",
                         "NAME": Path(__file__).parent / "db.sqlite3"}}
MPESA_TRANSACTION_MODEL = "shop.Payment"
"""
MODELS = """
from django.db import models
from django_mpesa.models import AbstractTransaction

class Payment(AbstractTransaction):
    class Meta:
        db_table = "payments_of_the_shop"
        ordering = ["created_at"]
        unique_together = [("account", "third_party_reference")]
        constraints = [models.UniqueConstraint(fields=["receiver_shortcode", "reference", "id"],
                                               name="of_the_shop")]

class Shown(Payment):
    class Meta:
        proxy = True

class Detailed(Payment):
    more = models.TextField()

    class Meta:
        pass
"""
STORY = """
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from django_mpesa import mpesa
from django_mpesa.test import mpesa_gateway
from mpesa_integrations import ConfigurationError
from shop.models import Detailed, Payment

names = [constraint.name for constraint in Payment._meta.constraints]
assert names == ["of_the_shop", "shop_payment_amount", "shop_payment_reversed",
                 "shop_payment_state", "shop_payment_key", "shop_payment_claimed",
                 "shop_payment_order"], names
assert len(Payment._meta.indexes) == 10
assert Detailed._meta.constraints == []
with mpesa_gateway() as gateway:
    pay = lambda: mpesa.c2b(msisdn="841234567", amount=150, reference="T1", idempotency_key="k")
    assert pay() == pay()
    assert Payment.objects.count() == 1
call_command("mpesa_check", "--offline")
call_command("check", "--database", "default", "--fail-level", "WARNING")
print("ok")
"""


@pytest.mark.slow
def test_a_meta_of_its_own_loses_nothing(tmp_path: Path) -> None:
    files = {
        "settings.py": SETTINGS, "story.py": STORY, "shop/__init__.py": "",
        "shop/models.py": MODELS,
    }  # fmt: skip
    project = Project(tmp_path, files)
    project.manage("makemigrations shop", "migrate", "makemigrations --check --dry-run")
    assert project.run("story.py").endswith("ok\n")


@pytest.fixture
def without(transactional_db: None) -> Iterator[Any]:
    """Takes a constraint out of the table, as a migration that was edited; it is put back."""
    taken = []

    def take(end: str) -> None:
        (found,) = (c for c in Transaction._meta.constraints if c.name.endswith(end))
        state = MigrationExecutor(connection).loader.project_state()
        _run(RemoveConstraint("transaction", found.name), state)
        taken.append((AddConstraint("transaction", found), state))
        mpesa.forget()

    def put_back() -> None:
        while taken:
            _run(*taken.pop())

    take.put_back = put_back  # type: ignore[attr-defined]
    yield take
    put_back()


def _run(operation: Any, state: Any) -> None:
    before = state.clone()
    operation.state_forwards("django_mpesa", state)
    with connection.schema_editor() as editor:
        operation.database_forwards("django_mpesa", editor, before, state)


@pytest.mark.parametrize(
    ("end", "columns"),
    [
        ("_reference", "third_party_reference, account"),
        ("_key", "account, idempotency_key"),
        ("_claimed", "account, claimed_transaction_id"),
        ("_order", "account, operation, claimed_order_key"),
    ],
)
def test_a_table_that_lacks_them_takes_no_payment(
    simulator: Simulator, without: Any, end: str, columns: str
) -> None:
    without(end)
    with pytest.raises(ConfigurationError) as caught:
        mpesa.c2b(**PAYMENT)
    told = str(caught.value)
    assert told.startswith("Nothing was sent.")
    assert f"django_mpesa_transaction has no unique constraint on ({columns})" in told
    assert "makemigrations" in told
    assert Transaction.objects.count() == 0
    assert simulator.ledger.transactions() == []
    said = StringIO()
    with pytest.raises(SystemExit):
        call_command("mpesa_check", "--offline", stdout=said)
    assert columns in said.getvalue()
    assert _ids(databases=["default"]) == ["mpesa.E032"]
    assert _ids() == [], "an ordinary check asks no database"
    without.put_back()
    assert mpesa.c2b(**PAYMENT).state == "completed"
    assert _ids(databases=["default"]) == []


def test_a_table_that_is_not_there_is_no_database_that_is_away(
    simulator: Simulator, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persistence, "sleep", lambda _: pytest.fail("it is tried again"))
    monkeypatch.setattr(Transaction._meta, "db_table", "not_migrated")
    for order in (None, "ORDER-7"):
        with pytest.raises(ConfigurationError, match="the table not_migrated is not there"):
            mpesa.c2b(**PAYMENT, order=order)
    with pytest.raises((ConfigurationError, DatabaseError), match="not_migrated"):
        mpesa.standing("ORDER-7")


def test_the_tables_are_looked_at_once(
    simulator: Simulator, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = mpesa["default"].store
    found = store.tables()
    looked: list[int] = []

    def look() -> Any:
        looked.append(1)
        return found

    monkeypatch.setattr(store, "tables", look)
    for _ in range(3):
        mpesa.c2b(**PAYMENT)
    assert looked == [1]


def test_what_only_a_check_says(simulator: Simulator, without: Any) -> None:
    without("_amount")
    assert mpesa.c2b(**PAYMENT).state == "completed"
    (found,) = _found(databases=["default"])
    assert found.id == "mpesa.W032"
    assert "django_mpesa_transaction has no check constraint" in found.msg


def test_a_model_without_them_is_an_error(
    monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    kept = [c for c in Transaction._meta.constraints if not c.name.endswith("_key")]
    monkeypatch.setattr(Transaction._meta, "constraints", kept)
    (found,) = _found()
    assert found.id == "mpesa.E031"
    assert "django_mpesa.Transaction has no unique constraint on (account, idempot" in found.msg


def test_a_field_that_holds_less_is_an_error(
    monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    monkeypatch.setattr(Transaction._meta.get_field("third_party_reference"), "max_length", 12)
    (found,) = _found()
    assert (found.id, "third_party_reference" in found.msg) == ("mpesa.E033", True)


def test_a_model_of_another_kind_is_an_error(simulator: Simulator, settings: Any) -> None:
    settings.MPESA_TRANSACTION_MODEL = "auth.User"
    assert [found.id for found in _found()] == ["mpesa.E030"]


def test_migrate_is_not_kept_from_making_the_tables(
    simulator: Simulator, without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("_key")
    monkeypatch.setattr("django_mpesa.checks.database._is_to_be_migrated", lambda alias: True)
    assert _ids(databases=["default"]) == ["mpesa.W032"]


@pytest.mark.slow
@pytest.mark.django_db
def test_the_first_migration_is_not_told_that_there_are_no_tables(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*args: Any) -> list[Any]:
        return [replace(table, exists=False) for table in in_database(*args)]

    in_database = constraints.in_database
    monkeypatch.setattr(constraints, "in_database", none)
    assert set(_ids(databases=["default"])) == {"mpesa.E032"}
    monkeypatch.setattr("django_mpesa.checks.database._is_to_be_migrated", lambda alias: True)
    assert _ids(databases=["default"]) == []


def _found(**options: Any) -> list[Any]:
    return [m for m in run_checks(**options) if str(m.id).startswith("mpesa.E03")
            or str(m.id).startswith("mpesa.W03")]  # fmt: skip


def _ids(**options: Any) -> list[str]:
    return [str(found.id) for found in _found(**options)]
