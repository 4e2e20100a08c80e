"""MPESA_ACCOUNTS as an account loader: at `init_app`, in views and commands, and in coroutines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_mpesa import Mpesa
from flask_mpesa.records import Records
from mpesa_integrations import ConfigurationError
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.sqlalchemy import Mpesa as NeutralMpesa
from tests.support import account_loader
from tests.support.account import TOKEN, account_settings
from tests.support.account_loader import NoTokens, Rows

from .conftest import PAYMENT, post_callback


@pytest.fixture
def rows(mpesa_simulator: Simulator) -> Rows:
    cafe = account_settings(mpesa_simulator)
    return Rows(cafe=cafe, kiosk={**cafe, "CALLBACK_TOKEN": None})


@pytest.fixture
def app(mpesa: Mpesa, rows: Rows) -> Iterator[Flask]:
    app = Flask("market")
    app.config.update(MPESA_ACCOUNTS=rows, TESTING=True, SECRET_KEY="s" * 50)
    mpesa.init_app(app)
    with app.app_context():
        yield app
    app.extensions["mpesa"].forget()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"MPESA_ACCOUNTS": "no.such.Loader"}, "MPESA_ACCOUNTS: the account loader 'no.such.Lo"),
        ({"MPESA_ACCOUNTS": NoTokens}, "NoTokens has no aliases_by_token"),
        ({"MPESA_ACCOUNTS": None}, "MPESA_ACCOUNTS must be a mapping of accounts, or an account"),
        (
            {"MPESA_ACCOUNTS": Rows, "MPESA_API_KEY": "x"},
            "MPESA_API_KEY is set, and MPESA_ACCOUNTS is an account loader: keep one of them",
        ),
    ],
)
def test_what_is_no_loader_is_refused_at_init_app(
    mpesa: Mpesa, config: dict[str, Any], words: str
) -> None:
    app = Flask("wrong")
    app.config.update(config)
    with pytest.raises(ConfigurationError) as caught:
        mpesa.init_app(app)
    assert words in str(caught.value)
    assert caught.value.setting == "MPESA_ACCOUNTS"


def test_at_init_app_no_account_is_asked_for(mpesa: Mpesa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "_break", lambda rows: pytest.fail("there are no tables yet"))
    app = Flask("market")
    app.config.update(MPESA_ACCOUNTS=f"{account_loader.__name__}.Rows")
    mpesa.init_app(app)


def test_payments_callbacks_and_commands_go_by_the_accounts_of_now(
    app: Flask, mpesa: Mpesa, rows: Rows
) -> None:
    assert mpesa["cafe"].c2b(**PAYMENT).state == "completed"
    assert (list(mpesa), "cafe" in mpesa, "nobody" in mpesa) == (["cafe", "kiosk"], True, False)
    assert post_callback(app, b"{}").status_code == 400
    assert post_callback(app, b"{}", TOKEN[:-1] + "x").status_code == 404
    rows.rows["bad"] = {"API_KEY": ""}
    del rows.rows["cafe"]
    assert post_callback(app, b"{}").status_code == 404

    def run(*words: str) -> Any:
        return app.test_cli_runner().invoke(args=["mpesa", *words])

    checked = run("check", "--offline")
    assert "ok       kiosk" in checked.output
    assert "problem  bad: the M-Pesa account 'bad': api_key" in checked.output
    for command in ("handlers", "callbacks"):
        listed = run(command)
        assert (listed.exit_code, "bad: the M-Pesa account 'bad'" in listed.output) == (2, True)
    paid = run("c2b", "--account=cafe", "--msisdn=841234567", "--amount=1", "--reference=X")
    assert (paid.exit_code, "there is no M-Pesa account 'cafe'" in paid.output) == (2, True)
    assert run("reconcile").exit_code == 0
    rows.broken = OSError("away")
    checked = run("check", "--offline")
    assert (checked.exit_code, "could not be loaded: OSError" in checked.output) == (7, True)


def test_a_view_that_is_a_coroutine_awaits_its_account(app: Flask, mpesa: Mpesa) -> None:
    pytest.importorskip("asgiref")
    pytest.importorskip("aiohttp")

    async def pay() -> str:
        return str((await mpesa["cafe"].ac2b(**PAYMENT)).state)

    app.add_url_rule("/pay", view_func=pay)
    assert app.test_client().get("/pay").text == "completed"


def test_without_records_a_changed_account_knows_its_payments(
    mpesa_simulator: Simulator, rows: Rows
) -> None:
    app = Flask("market")
    app.config.update(MPESA_ACCOUNTS=rows)
    with pytest.warns(UserWarning, match="no records"):
        mpesa = Mpesa(app)
    with app.app_context():
        mpesa["cafe"].c2b(**PAYMENT, order="7")
        rows.rows["cafe"]["STUCK_AFTER"] = 60
        assert mpesa["cafe"].paid("7") is not None
    app.extensions["mpesa"].forget()


def test_without_flask_a_loader_is_given_likewise(records: Records[Any], rows: Rows) -> None:
    mpesa = NeutralMpesa(rows, records=records)
    assert mpesa["cafe"].c2b(**PAYMENT).state == "completed"
    assert list(mpesa) == ["cafe", "kiosk"]
    mpesa.forget()
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        NeutralMpesa("no.such", records=records)
