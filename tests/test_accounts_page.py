"""The files of docs/accounts.md are written, and accounts live in their encrypted columns."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mpesa_integrations.simulator import Simulator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
FILE = re.compile(r'^```python title="(.+?)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
DJANGO_SETTINGS = """
SECRET_KEY = "s" * 50
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_mpesa", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "market.db"}}
ROOT_URLCONF = "urls"
"""
DJANGO_URLS = """
from django.urls import include, path
urlpatterns = [path("mpesa/", include("django_mpesa.urls"))]
"""
DJANGO = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("migrate", run_syncdb=True, verbosity=0)
from django_mpesa import mpesa
from shop.accounts import Loader, MpesaAccount

def add(**columns): MpesaAccount.objects.create(**columns)
def change(alias, **columns):
    account = MpesaAccount.objects.get(alias=alias)
    for name, value in columns.items(): setattr(account, name, value)
    account.save()
def remove(alias): change(alias, is_open=False)
def post(path): return Client().post(path, "{}", content_type="application/json").status_code
"""
FLASK = """
from app import *
app.app_context().push()
def add(**columns):
    with Session(engine) as session, session.begin(): session.add(MpesaAccount(**columns))
def change(alias, **columns):
    with Session(engine) as session, session.begin():
        account = session.get(MpesaAccount, alias)
        for name, value in columns.items(): setattr(account, name, value)
def remove(alias):
    with Session(engine) as session, session.begin():
        session.delete(session.get(MpesaAccount, alias))
def post(path): return app.test_client().post(path, json={}).status_code
"""
STORY = """
import os
from mpesa_integrations import ConfigurationError
load = Loader.load
gateway = {name: os.environ[name] for name in ("PORT", "VERIFY")}
Loader.load = lambda loader, alias: (found := load(loader, alias)) and {**found, **gateway}
payment = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "ORDER 7"}
account = {
    "environment": "local", "shortcode": "171717",
    "public_key": os.environ["PUBLIC_KEY"], "api_key": os.environ["API_KEY"],
}
for alias in ("cafe", "kiosk"):
    add(alias=alias, callback_token=alias * 10, **account)
assert sorted(mpesa) == ["cafe", "kiosk"]
assert mpesa["cafe"].c2b(**payment).state == "completed"
assert [post(f"/mpesa/callback/{token * 10}/") for token in ("cafe", "xxxx")] == [400, 404]
kept = mpesa["cafe"].client
assert mpesa["cafe"].client is kept
change("cafe", api_key="k" * 32, callback_token="new-" * 10)
assert mpesa["cafe"].client is not kept
assert mpesa["cafe"].c2b(**payment).response_code == "INS-2"
assert [post(f"/mpesa/callback/{token * 10}/") for token in ("cafe", "new-")] == [404, 400]
assert mpesa["kiosk"].c2b(**payment).state == "completed"
remove("cafe")
try:
    mpesa["cafe"]
except ConfigurationError as error:
    assert "'cafe'" in str(error)
else:
    raise AssertionError("it was removed")
assert list(mpesa) == ["kiosk"]
"""


@pytest.mark.parametrize(
    ("framework", "needs"), [("django", "encrypted_fields"), ("flask", "flask")]
)
def test_the_pages_accounts_are_used_changed_and_removed(
    framework: str, needs: str, mpesa_simulator: Simulator, tmp_path: Path
) -> None:
    pytest.importorskip(needs)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "urls.py").write_text(DJANGO_URLS)
    page = (ROOT / "docs" / "accounts.md").read_text(encoding="utf-8")
    for file, text in FILE.findall(page):
        before = DJANGO_SETTINGS if file == "settings.py" else ""
        (tmp_path / file).write_text(before + text, encoding="utf-8")
    story = {"django": DJANGO, "flask": FLASK}[framework] + STORY
    done = subprocess.run(
        [sys.executable, "-c", story], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "FIELD_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "SECRET_KEY": "s" * 50,
            "PORT": str(mpesa_simulator.config.port),
            "VERIFY": str(mpesa_simulator.config.verify),
            "API_KEY": mpesa_simulator.account.api_key,
            "PUBLIC_KEY": mpesa_simulator.account.public_key,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(sqlite3.connect(tmp_path / "market.db")) as database:
        kept = "\n".join(database.iterdump())
    assert "kiosk" in kept
    assert "kiosk" * 10 not in kept
    assert mpesa_simulator.account.api_key not in kept
