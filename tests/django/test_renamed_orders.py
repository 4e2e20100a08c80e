"""A shop's model is renamed, or moves to another app: its orders stay paid."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import OperationWriter
from django.test.utils import isolate_apps

from django_mpesa import mpesa
from django_mpesa.models import Transaction
from django_mpesa.operations import RenameOrders
from django_mpesa.orders import OrderPayments
from mpesa_integrations.simulator import Simulator

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
RENAMED = RenameOrders("auth.Group", "auth.Purchase")


@pytest.fixture
def purchase() -> Any:
    """The model of `Group`, as it is called since then."""
    with isolate_apps("django.contrib.auth"):

        class Purchase(models.Model):
            name = models.CharField(max_length=150)
            mpesa = OrderPayments()

            class Meta:
                app_label = "auth"
                db_table = Group._meta.db_table

    return Purchase


def _migrate(*, back: bool = False) -> None:
    state = MigrationExecutor(connection).loader.project_state()
    assert isinstance(state, ProjectState)
    move = RENAMED.database_backwards if back else RENAMED.database_forwards
    with connection.schema_editor() as editor:
        move("shop", editor, state, state)


def test_the_payments_of_an_order_are_found_under_its_new_name_and_back(
    simulator: Simulator, purchase: Any
) -> None:
    order = Group.objects.create(name="an order")
    simulator.scenarios.queue("insufficient_balance", operation="c2b")
    failed = mpesa.c2b(**PAYMENT, order=order)
    paid = mpesa.c2b(**PAYMENT, order=order)
    others = [f"auth.groups:{order.pk}", f"AUTH.GROUP:{order.pk}", "auth.group", "auth_group:1"]
    for key in others:
        mpesa.c2b(**PAYMENT, order=key)
    renamed = purchase.objects.get(pk=order.pk)
    for _ in range(2):  # there, back, and there again
        _migrate()
        assert renamed.mpesa.payment == paid
        assert renamed.mpesa.attempts == [failed, paid]
        assert mpesa.c2b(**PAYMENT, order=renamed) == paid
        assert mpesa.paid(order) is None
        assert all(mpesa.paid(key) is not None for key in others)
        _migrate(back=True)
        assert mpesa.c2b(**PAYMENT, order=order) == paid
    assert Transaction.objects.count() == 2 + len(others)


def test_it_stands_in_a_migration() -> None:
    text, imports = OperationWriter(RENAMED, indentation=0).serialize()
    assert "import django_mpesa.operations" in imports
    assert "old='auth.Group'" in text
    assert RENAMED.describe() == "Have payments of auth.Group found as auth.Purchase's"


@pytest.mark.parametrize("label", ["Group", "shop.models.Group", ""])
def test_a_model_is_named_with_its_app(label: str) -> None:
    for labels in ((label, "auth.Purchase"), ("auth.Group", label)):
        with pytest.raises(ValueError, match=r"app_label\.ModelName"):
            RenameOrders(*labels)


def test_a_migration_that_does_not_depend_on_the_payments_says_so() -> None:
    with (
        connection.schema_editor() as editor,
        pytest.raises(LookupError, match="dependencies"),
    ):
        RENAMED.database_forwards("shop", editor, ProjectState(), ProjectState())
