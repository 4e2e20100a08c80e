"""A transaction model of the shop's own, in a project of its own with real migrations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
from shop.models import Payment

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
assert "django_mpesa_transaction" not in django.db.connection.introspection.table_names()
print("ok")
"""


def test_a_model_of_the_shops_own(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    for name, text in {
        "settings.py": SETTINGS,
        "urls.py": "from django.urls import include, path\n"
        'urlpatterns = [path("mpesa/", include("django_mpesa.urls"))]\n',
        "story.py": STORY,
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
    }.items():
        (tmp_path / name).write_text(text)
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, timeout=60,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "django", "makemigrations", "shop")
    run("-m", "django", "migrate")
    run("-m", "django", "makemigrations", "--check", "--dry-run")
    assert run("story.py") == "ok\n"
