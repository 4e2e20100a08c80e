"""Whatever a Django shop's code does, the library's columns are written by the library alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core import serializers
from django.db import models, transaction
from django.db.models import F, Manager, QuerySet
from django.db.models.functions import Now
from django.db.models.signals import pre_save
from django.forms import modelform_factory

from django_mpesa import mpesa
from django_mpesa.models import Transaction
from mpesa_integrations import ProtectedRecord, ValidationError
from mpesa_integrations.simulator import Simulator

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


class Paid(Transaction):
    """A proxy of the shop's, whose manager knows nothing of the library's."""

    objects = Manager.from_queryset(type("OwnQuerySet", (QuerySet,), {}))()

    class Meta:
        proxy = True
        app_label = "shop"  # which is not installed: no migration is asked for


@pytest.fixture
def paid(simulator: Simulator) -> Any:
    return mpesa.c2b(**PAYMENT, metadata={"table": 4})


def _row() -> dict[str, Any]:
    return dict(Transaction.objects.values().get())


def _form(record: Any, **changes: Any) -> Any:
    form = modelform_factory(Transaction, fields="__all__")(None, instance=record)
    data = {name: form.get_initial_for_field(f, name) for name, f in form.fields.items()}
    posted = {name: value for name, value in {**data, **changes}.items() if value is not None}
    posted["metadata"] = "{}"
    return modelform_factory(Transaction, fields="__all__")(posted, instance=record)


def _set(record: Any, **columns: Any) -> Any:
    for name, value in columns.items():
        setattr(record, name, value)
    return record


def _await(call: Callable[..., Any], **arguments: Any) -> Any:
    return async_to_sync(call)(**arguments)


def _all() -> Any:
    return Transaction.objects.all()


WRITES: dict[str, Callable[[Any], Any]] = {
    "save": lambda t: _set(t, state="failed").save(),
    "save of a relation": lambda t: _set(t, original=t).save(),
    "save of an expression": lambda t: _set(t, checks=F("checks") + 1).save(),
    "save of one": lambda t: t.save(update_fields=["state"]),
    "save of one, by its key": lambda t: t.save(update_fields=["original_id"]),
    "save of some": lambda t: _set(t, metadata={}).save(update_fields=["metadata", "amount"]),
    "save as new": lambda t: t.save(force_insert=True),
    "save as another": lambda t: _set(t, pk=t.pk + 1).save(),
    "save as none": lambda t: _set(t, pk=None).save(),
    "save of a copy": lambda t: _set(copy.deepcopy(t), state="failed").save(),
    "save of a pickle": lambda t: _set(pickle.loads(pickle.dumps(t)), amount=1).save(),
    "save of a part": lambda t: _set(_all().only("pk").get(), state="failed").save(),
    "save of the rest": lambda t: _set(_all().defer("state").get(), state="failed").save(),
    "save after a refresh": lambda t: (t.refresh_from_db(), _set(t, state="failed").save()),
    "save around ours": lambda t: models.Model.save(_set(t, state="failed")),
    "save_base": lambda t: _set(t, state="failed").save_base(),
    "asave": lambda t: _await(_set(t, state="failed").asave),
    "form": lambda t: _form(t, state="failed").save(),
    "new": lambda t: Transaction(pk=t.pk, amount=1, state="completed").save(),
    "create": lambda t: _all().create(operation="c2b", amount=1, third_party_reference="A"),
    "acreate": lambda t: _await(_all().acreate, amount=1, third_party_reference="A"),
    "get_or_create": lambda t: _all().get_or_create(third_party_reference="A", amount=1),
    "update_or_create": lambda t: _all().update_or_create({"state": "failed"}, pk=t.pk),
    "update_or_create, new": lambda t: _all().update_or_create({"amount": 1}, pk=t.pk + 1),
    "bulk_create": lambda t: _all().bulk_create([Transaction(amount=1, third_party_reference="A")]),
    "bulk_create over": lambda t: Transaction.objects.bulk_create(
        [Transaction(pk=t.pk, amount=1, third_party_reference="A")], ignore_conflicts=True
    ),
    "update": lambda t: _all().update(state="failed"),
    "update of more": lambda t: _all().update(metadata={}, reversed_amount=0),
    "update by an expression": lambda t: _all().update(amount=F("amount") * 2),
    "update by a function": lambda t: _all().update(next_check_at=Now()),
    "update of a relation": lambda t: _all().update(original=t),
    "update to null": lambda t: _all().update(next_check_at=None),
    "update of locked": lambda t: transaction.atomic(
        lambda: _all().select_for_update().filter(pk=t.pk).update(state="failed")
    )(),
    "aupdate": lambda t: _await(_all().aupdate, state="failed"),
    "bulk_update": lambda t: _all().bulk_update([_set(t, state="failed")], ["state"]),
    "base manager": lambda t: Transaction._base_manager.update(state="failed"),
    "plain QuerySet": lambda t: QuerySet(Transaction).update(state="failed"),
    "copied QuerySet": lambda t: copy.deepcopy(_all().filter(pk=t.pk)).update(state="failed"),
    "own manager": lambda t: Paid.objects.update(state="failed"),
    "own manager's create": lambda t: Paid.objects.create(amount=1, third_party_reference="A"),
    "related manager": lambda t: t.reversals.add(t, bulk=True),
    "related manager's create": lambda t: t.reversals.create(amount=1),
    "delete": lambda t: t.delete(),
    "delete of all": lambda t: _all().delete(),
    "delete of a proxy": lambda t: Paid.objects.all().delete(),
    "adelete": lambda t: _await(t.adelete),
}


@pytest.mark.parametrize("way", WRITES)
def test_the_librarys_columns_are_written_by_nobody_else(paid: Any, way: str) -> None:
    before = _row()
    with pytest.raises(ProtectedRecord, match="Nothing was"):
        WRITES[way](paid)
    assert _row() == before


def test_the_error_names_the_columns(paid: Any) -> None:
    with pytest.raises(ProtectedRecord, match="amount, state are columns") as caught:
        _set(paid, state="failed", amount=1, metadata={}).save()
    assert caught.value.columns == ("amount", "state")
    with pytest.raises(ProtectedRecord, match="state is a column"):
        _all().update(state="failed")
    with pytest.raises(ProtectedRecord, match="makes a payment's record"):
        Transaction.objects.create(amount=1)


KEEPS: dict[str, Callable[[Any], Any]] = {
    "save": lambda t: t.save(),
    "save of one": lambda t: t.save(update_fields=["metadata"]),
    "save of what was not set": lambda t: _set(t, state=t.state, amount=Decimal(150)).save(),
    "save of a part": lambda t: _set(_all().only("metadata").get(), metadata={"a": 1}).save(),
    "save after loading the rest": lambda t: [
        (p.state, _set(p, metadata={"a": 1}).save()) for p in [_all().defer("state").get()]
    ],
    "save after full_clean": lambda t: (t.full_clean(), t.save()),
    "asave": lambda t: _await(t.asave),
    "form": lambda t: _form(t).save(),
    "update": lambda t: _all().filter(state="completed").update(metadata={"a": 1}, object_id="7"),
    "update by one of ours": lambda t: _all().update(object_id=F("reference")),
    "bulk_update": lambda t: _all().bulk_update([t], ["metadata", "object_id"]),
    "update_or_create": lambda t: _all().update_or_create({"metadata": {"a": 1}}, pk=t.pk),
    "save of a pickle": lambda t: pickle.loads(pickle.dumps(t)).save(),
    "positional": lambda t: t.save(False, True, None, ["metadata"]),
}


@pytest.mark.parametrize("way", KEEPS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_shops_columns_are_its_own(paid: Any, way: str) -> None:
    if way == "positional" and __import__("django").VERSION >= (6, 0):
        pytest.skip("Django takes keywords only")
    before = _row()
    paid.metadata = {"a": 1}
    KEEPS[way](paid)
    after = _row()
    shops = {"metadata", "content_type_id", "object_id"}
    assert any(after[name] != before[name] for name in shops)
    ours = before.keys() - shops
    assert {name: after[name] for name in ours} == {name: before[name] for name in ours}


def test_what_it_is_for_is_saved_as_any_column(paid: Any) -> None:
    for name in ("one", "two"):
        paid.paid_for = User.objects.create_user(name)
        paid.save()
        assert Transaction.objects.get().paid_for == paid.paid_for
    paid.paid_for.delete()
    assert Transaction.objects.get().paid_for is None
    with pytest.raises(ValidationError, match="paid_for: must be an object that was saved"):
        mpesa.c2b(**PAYMENT, paid_for=User(username="new"))
    assert mpesa.c2b(**PAYMENT, paid_for=None).paid_for is None
    assert mpesa.link(paid, paid_for=None).object_id == ""
    with pytest.raises(ValidationError, match="content_type_id"):
        mpesa.link(paid, content_type_id="nonsense")


def test_an_order_and_its_link_are_committed_together(paid: Any) -> None:
    with transaction.atomic():
        mpesa.link(paid, paid_for=User.objects.create_user("order"), metadata={"a": 1})
        transaction.set_rollback(True)
    assert Transaction.objects.get().paid_for is None
    with transaction.atomic():
        order = User.objects.create_user("order")
        assert mpesa.link(paid, paid_for=order, metadata={"a": 1}).paid_for == order
    kept = Transaction.objects.get()
    assert (kept.paid_for, kept.metadata) == (order, {"table": 4, "a": 1})


def test_nobody_changes_a_payment_while_it_is_written_down(simulator: Simulator) -> None:
    def tamper(instance: Any, **kwargs: Any) -> None:
        if isinstance(instance, Transaction):
            instance.amount = Decimal(1)

    pre_save.connect(tamper)
    try:
        with pytest.raises(ProtectedRecord, match="amount"):
            mpesa.c2b(**PAYMENT)
    finally:
        pre_save.disconnect(tamper)
    assert Transaction.objects.count() == len(simulator.ledger.transactions()) == 0


def test_a_fixture_is_loaded(paid: Any) -> None:
    paid.refresh_from_db()
    text = serializers.serialize("json", [paid])
    changed = text.replace('"completed"', '"failed"')
    (found,) = serializers.deserialize("json", changed)
    found.save()
    assert _row()["state"] == "failed"
    moved = text.replace(f'"pk": {paid.pk}', '"pk": 987')
    for one_payments in (paid.third_party_reference, paid.transaction_id):
        moved = moved.replace(one_payments, "FIXTURE")
    (found,) = serializers.deserialize("json", moved)
    found.save()
    assert Transaction.objects.get(pk=987).state == "completed"
    _set(found.object, metadata={"a": 1}).save()
    with pytest.raises(ProtectedRecord):
        _set(found.object, state="failed").save()
