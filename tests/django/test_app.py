"""What is around the payments: checks, migrations, commands."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from django_mpesa.checks import accounts
from mpesa_integrations import background
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN, account_settings


def _ids(settings: Settings, simulator: Simulator, **changes: Any) -> list[str]:
    settings.MPESA = {"default": account_settings(simulator, **changes)}
    found = run_checks(tags=["mpesa"], include_deployment_checks=True)
    return [str(message.id) for message in found]


GOOD = {"ENVIRONMENT": "production", "CALLBACK_BASE_URL": "https://shop.example:12000"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (GOOD, []),
        ({**GOOD, "API_KEY": ""}, ["mpesa.E002"]),
        ({**GOOD, "PUBLIC_KEY": "nonsense"}, ["mpesa.E002"]),
        ({**GOOD, "APIKEY": "x"}, ["mpesa.E002"]),
        ({**GOOD, "VERIFY": False}, ["mpesa.E002"]),
        ({**GOOD, "ENVIRONMENT": "sandbox", "VERIFY": False}, ["mpesa.E005", "mpesa.W004"]),
        ({**GOOD, "API_KEY": "k" * 31}, ["mpesa.W003"]),
        ({**GOOD, "ENVIRONMENT": "sandbox"}, ["mpesa.W004"]),
        ({**GOOD, "CALLBACK_NETWORKS": ["ten"]}, ["mpesa.E006"]),
        ({**GOOD, "TRUSTED_PROXIES": 1}, ["mpesa.E006"]),
        ({**GOOD, "CALLBACK_TOKEN": None}, ["mpesa.E007"]),
        ({**GOOD, "CALLBACK_TOKEN": "x" * 20}, ["mpesa.W008"]),
        ({**GOOD, "CALLBACK_BASE_URL": "http://shop.example:12000"}, ["mpesa.E010"]),
        ({**GOOD, "CALLBACK_BASE_URL": "https://shop.example"}, ["mpesa.W010"]),
        ({**GOOD, "CALLBACK_BASE_URL": "https://shop.example:x"}, ["mpesa.E010"]),
    ],
)
def test_each_wrong_setting_is_told_at_start(
    settings: Settings,
    mpesa_simulator: Simulator,
    changes: dict[str, Any],
    expected: list[str],
) -> None:
    settings.DEBUG = False
    assert _ids(settings, mpesa_simulator, **changes) == expected


def test_the_name_that_was_meant_is_said_as_it_is_to_be_written(
    settings: Settings, mpesa_simulator: Simulator
) -> None:
    for mistyped, meant in (("ENVIROMENT", "ENVIRONMENT"), ("APPLY_CALLBACK", "APPLY_CALLBACKS")):
        options = account_settings(mpesa_simulator, **GOOD, **{mistyped: "x"})
        settings.MPESA = {"default": options}
        (found,) = run_checks(tags=["mpesa"])
        assert found.msg.endswith(f"{mistyped} is not a setting of M-Pesa (did you mean {meant}?).")
        assert found.hint == f"Correct {mistyped} in MPESA['default']."


def test_payments_that_are_to_be_tasks_and_have_no_queue_are_told(
    settings: Settings, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_set_up, expected in ((False, ["mpesa.W014"]), (True, [])):
        monkeypatch.setattr(background, "celery_is_set_up", lambda found=is_set_up: found)
        assert _ids(settings, mpesa_simulator, **GOOD, SEND="task") == expected
    monkeypatch.setattr(background, "celery_is_set_up", lambda: False)
    monkeypatch.setattr(accounts, "uses_django_tasks", lambda: True)
    assert _ids(settings, mpesa_simulator, **GOOD, SEND="task") == []


def test_the_sandbox_is_told_of_where_a_site_is_deployed_and_in_no_other_command(
    settings: Settings, mpesa_simulator: Simulator
) -> None:
    settings.DEBUG = False  # as in each test run of Django's
    settings.MPESA = {"default": account_settings(mpesa_simulator)}
    assert run_checks(tags=["mpesa"]) == []
    err = StringIO()
    call_command("check", "--deploy", "--tag", "mpesa", stdout=err, stderr=err)
    assert "mpesa.W004" in err.getvalue()
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("mpesa_check", offline=True, stdout=out)
    assert "uses the local gateway in production" in out.getvalue()


def test_where_payments_in_views_are_refused_is_told(
    settings: Settings, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite = connection.vendor == "sqlite"
    settings.DEBUG = False
    for changes in ({"ATOMIC_REQUESTS": True}, {"AUTOCOMMIT": False}):
        with monkeypatch.context() as patch:
            for name, value in changes.items():
                patch.setitem(connection.settings_dict, name, value)
            assert _ids(settings, mpesa_simulator, **GOOD) == ["mpesa.W021"] * sqlite
            if not sqlite:
                patch.setitem(connection.settings_dict, "OPTIONS", {"pool": {"max_size": 2}})
                assert _ids(settings, mpesa_simulator, **GOOD) == ["mpesa.I022"]
    assert _ids(settings, mpesa_simulator, **GOOD) == []


def test_missing_accounts_and_urls_are_told(settings: Settings, mpesa_simulator: Simulator) -> None:
    settings.MPESA = {}
    messages = run_checks(tags=["mpesa"])
    assert [message.id for message in messages] == ["mpesa.E001"]
    assert "default" in str(messages[0].hint)
    settings.ROOT_URLCONF = "tests.django.no_urls"
    settings.DEBUG = True
    assert _ids(settings, mpesa_simulator) == ["mpesa.W009"]


def test_two_accounts_with_one_token_are_told(
    settings: Settings, mpesa_simulator: Simulator
) -> None:
    account = account_settings(mpesa_simulator, **GOOD)
    settings.MPESA = {"default": account, "broken": {}, "payouts": account}
    messages = run_checks(tags=["mpesa"])
    assert [message.id for message in messages] == ["mpesa.E002", "mpesa.E011"]
    assert "'default' and 'payouts'" in messages[1].msg
    assert TOKEN not in str(messages)
    out = StringIO()
    with pytest.raises((SystemExit, CommandError)):
        call_command("mpesa_check", offline=True, stdout=out)
    assert "'default' and 'payouts'" in out.getvalue()


@pytest.mark.django_db
def test_the_migrations_are_complete() -> None:
    call_command("makemigrations", "--check", "--dry-run", stdout=StringIO())


@pytest.mark.slow
def test_a_project_needs_no_setting_for_the_model(tmp_path: Path) -> None:
    script = (
        "import django; from django.conf import settings;"
        "settings.configure(INSTALLED_APPS=['django.contrib.contenttypes', 'django_mpesa'],"
        "DEFAULT_AUTO_FIELD='django.db.models.BigAutoField', USE_TZ=True, MPESA={'default': {}},"
        "DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}});"
        "django.setup(); from django.core.management import call_command;"
        "call_command('makemigrations', '--check', '--dry-run', skip_checks=True);"
        "call_command('migrate', verbosity=0, skip_checks=True);"
        "from django_mpesa.models import Transaction; print(Transaction.objects.count())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split()[-1] == "0", done.stderr


def test_the_callback_url_to_paste(settings: Settings, mpesa_simulator: Simulator) -> None:
    settings.MPESA = {
        "default": account_settings(mpesa_simulator, **GOOD),
        "other": account_settings(mpesa_simulator),
    }
    out = StringIO()
    call_command("mpesa_callback_url", stdout=out)
    assert out.getvalue() == f"https://shop.example:12000/mpesa/callback/{TOKEN}/\n"
    for account, words in (("other", "CALLBACK_BASE_URL"), ("third", "no M-Pesa account")):
        with pytest.raises(CommandError, match=words):
            call_command("mpesa_callback_url", account)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["", "later.Payment"])
def test_the_model_of_payments_can_be_asked_for_while_models_are_loaded(
    tmp_path: Path, model: str
) -> None:
    for name in ("shop", "later"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "shop" / "models.py").write_text(
        "from django_mpesa import State, get_transaction_model\nfound = get_transaction_model()\n"
    )
    (tmp_path / "later" / "models.py").write_text(
        "from django_mpesa.models import AbstractTransaction\n"
        "class Payment(AbstractTransaction):\n"
        "    class Meta(AbstractTransaction.Meta): pass\n"
    )
    swapped = f"MPESA_TRANSACTION_MODEL={model!r}, " if model else ""
    script = (
        "import django; from django.conf import settings; "
        f"settings.configure({swapped}INSTALLED_APPS=["
        "'shop', 'django.contrib.contenttypes', 'django_mpesa', 'later']); "
        "django.setup(); import shop.models; print(shop.models.found.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
    )  # fmt: skip
    assert done.stdout.strip() == ("Payment" if model else "Transaction"), done.stderr
