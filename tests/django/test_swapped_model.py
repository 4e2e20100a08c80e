"""A transaction model of the shop's own, in a project of its own with real migrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.projects import Project

pytestmark = pytest.mark.slow

SETTINGS = """
from tests.django.settings import *

ROOT_URLCONF = "urls"
INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3",
                         "NAME": Path(__file__).parent / "db.sqlite3"}}
MPESA_TRANSACTION_MODEL = "shop.Payment"
"""
MODELS = """
from django.db import models
from django_mpesa.models import AbstractTransaction
from django_mpesa.orders import OrderPayments

class Bill(models.Model):
    number = models.PositiveIntegerField()
    mpesa = OrderPayments()

class Payment(AbstractTransaction):
    id = models.UUIDField(primary_key=True, default=__import__("uuid").uuid4)
    table_number = models.PositiveIntegerField(null=True)
"""
STORY = """
import django
django.setup()
from django.apps import apps
from django.contrib import admin
from django_mpesa import mpesa
from django_mpesa.models import CallbackLog
from django_mpesa.signals import payment_completed
from django_mpesa.test import mpesa_gateway
from shop.models import Bill, Payment

senders = []
receive = lambda sender, transaction, **kwargs: senders.append((sender, transaction.table_number))
payment_completed.connect(receive)
with mpesa_gateway(asynchronous=True) as gateway:
    record = mpesa.c2b(msisdn="841234567", amount=10, reference="T1", table_number=4,
                       idempotency_key="k")
    assert type(record) is Payment, record
    assert mpesa.c2b(msisdn="841234567", amount=10, reference="T1", idempotency_key="k") == record
    gateway.deliver()
record.refresh_from_db()
assert record.state == "completed", record.state
assert senders == [(Payment, 4)], senders
assert CallbackLog.objects.get().transaction == record
assert admin.site.is_registered(Payment)
with mpesa_gateway() as gateway:
    paid = mpesa.c2b(msisdn="841234567", amount=10, reference="T2")
    mpesa.reverse(transaction_id=paid.transaction_id, amount=4)
paid.refresh_from_db()
assert paid.state == "partly_reversed", paid.state

# The keys do not say which payment is newer.
Bill.objects.bulk_create(Bill(number=number) for number in range(2))
bill = Bill.objects.earliest("pk")
with mpesa_gateway() as gateway:
    sent = []
    for _ in range(6):
        gateway.outcome("cancelled")
        sent.append(mpesa.c2b(msisdn="841234567", amount=10, order=bill))
assert mpesa.attempts(bill) == bill.mpesa.attempts == sent
first, second = Bill.objects.prefetch_related("mpesa").order_by("pk")
assert (first.mpesa.payment, first.mpesa.attempts, second.mpesa.state) == (sent[-1], sent, None)
assert "django_mpesa_transaction" not in django.db.connection.introspection.table_names()
print("ok")
"""


HARD_MODELS = """
import copy
from django.db import models
from django_mpesa.models import AbstractTransaction

class Order(models.Model):
    number = models.CharField(max_length=20)

class Open(models.Manager):
    def get_queryset(self):
        return models.QuerySet(self.model, using=self._db).filter(hidden=False)

class Base(AbstractTransaction):
    hidden = models.BooleanField(default=False)
    state = models.CharField(max_length=30, default="initiated")  # wider than the library's
    objects = Open()

    class Meta(AbstractTransaction.Meta):
        abstract = True
        base_manager_name = "objects"
        default_manager_name = "objects"

class Payment(Base):
    code = models.CharField(max_length=8, default="", blank=True)
    order = models.ForeignKey(Order, null=True, on_delete=models.CASCADE, related_name="payments")
    saved_at = models.DateTimeField(auto_now=True)

    def save(self, *args, **kwargs):
        self.code = self.code or "T" + self.third_party_reference[-7:]
        super().save(*args, **kwargs)

def history():  # as some history apps make it: of copies of the columns
    kept = [f for f in Payment._meta.local_concrete_fields
            if not f.is_relation and not f.primary_key]
    columns = {f.name: copy.copy(f) for f in kept}
    return type("PaymentHistory", (models.Model,), {"__module__": __name__, **columns})

PaymentHistory = history()

def keep(sender, instance, **kwargs):
    columns = {f.attname for f in PaymentHistory._meta.concrete_fields if not f.primary_key}
    PaymentHistory.objects.create(**{name: getattr(instance, name) for name in columns})

models.signals.post_save.connect(keep, sender=Payment)
"""
HARD_STORY = """
import django
django.setup()
from django.db.models import ProtectedError
from django_mpesa import mpesa
from django_mpesa.test import mpesa_gateway
from mpesa_integrations import ProtectedRecord, ValidationError
from mpesa_integrations.core.errors import IdempotencyConflict
from shop.models import Order, Payment, PaymentHistory

def refused(call, error=ProtectedRecord):
    try:
        call()
    except error as caught:
        return str(caught)
    raise AssertionError("it was done")

one, other = Order.objects.create(number="1"), Order.objects.create(number="2")
c2b = lambda **extra: mpesa.c2b(msisdn="841234567", amount=10, reference="T1", **extra)
with mpesa_gateway(asynchronous=True) as gateway:
    old = c2b(order_id=one.pk, idempotency_key="k")
    assert old.code, old.code
    assert c2b(order_id=one.pk, idempotency_key="k") == old
    for key in (other.pk, 0):
        assert "another order_id;" in refused(lambda: c2b(order_id=key, idempotency_key="k"),
                                              IdempotencyConflict)
    assert "saved" in refused(lambda: c2b(order=Order()), ValidationError)
    for name in ("id", "reversals", "nonsense", "state"):
        assert name in refused(lambda: c2b(**{name: 1}), ValidationError), name
    gateway.deliver()
    assert old.state == "pending"
    old.hidden, old.code = True, "MINE"
    old.save()  # hidden from the shop's own managers, and not from the library
    linked = mpesa.link(old, order=other, hidden=False)
    assert (linked.state, linked.code, linked.order) == ("completed", "MINE", other), linked
    paid = mpesa.check(linked)
    mpesa.reverse(transaction_id=paid.transaction_id, amount=4)
    gateway.deliver()
with mpesa_gateway():
    refused(lambda: Payment.objects.update(state="failed"))
    refused(lambda: Payment._base_manager.update(amount=1))
    refused(lambda: Payment.objects.all().delete(), ProtectedError)  # a reversal points to it
    refused(lambda: Payment.objects.filter(pk=c2b().pk).delete())
    refused(lambda: Payment.objects.create(amount=1, third_party_reference="A"))
    refused(lambda: other.payments.update(state="failed"))
    refused(lambda: other.payments.create(amount=1, third_party_reference="A"))
    refused(c2b(order=Order.objects.create(number="3")).order.delete)
assert PaymentHistory.objects.filter(code="MINE").count() == 1
PaymentHistory.objects.update(state="failed")
one.payments.add(linked)
linked.refresh_from_db()
assert (linked.order, linked.state, linked.reversed_amount) == (one, "partly_reversed", 4)
print("ok")
"""


def test_a_model_of_the_shops_own(tmp_path: Path) -> None:
    _run(tmp_path, MODELS, STORY)


def test_no_model_of_the_shops_own_loses_what_protects_the_librarys_columns(tmp_path: Path) -> None:
    _run(tmp_path, HARD_MODELS, HARD_STORY)


def _run(tmp_path: Path, models: str, story: str) -> None:
    files = {
        "settings.py": SETTINGS,
        "urls.py": "from django.urls import include, path\n"
        'urlpatterns = [path("mpesa/", include("django_mpesa.urls"))]\n',
        "story.py": story,
        "shop/__init__.py": "",
        "shop/models.py": models,
    }
    project = Project(tmp_path, files)
    project.manage("makemigrations shop", "migrate", "makemigrations --check --dry-run")
    assert project.run("story.py") == "ok\n"
