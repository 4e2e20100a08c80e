"""The page at which a browser asks where a payment stands: its address and its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Blueprint, Flask
from sqlalchemy import event

from flask_mpesa import ConfigurationError, Mpesa, current_mpesa
from flask_mpesa.records import Records
from mpesa_integrations.core.payments import status_tokens
from mpesa_integrations.simulator import Simulator
from tests.support.account import account_settings
from tests.support.callbacks import accepted_payment, callback_body

from .conftest import PAYMENT, flat_config


@pytest.fixture
def pending(app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator) -> Any:
    app.secret_key = "only for tests"
    return accepted_payment(mpesa, mpesa_simulator, **PAYMENT)


def receive(mpesa: Mpesa, payment: Any, code: str = "0") -> None:
    mpesa.receive(json.dumps(callback_body(payment, code)).encode())


def test_a_browser_is_told_where_a_payment_stands(app: Flask, mpesa: Mpesa, pending: Any) -> None:
    url = mpesa.status_url(pending)
    assert url.startswith("/mpesa/status/")
    client = app.test_client()
    told = client.get(url)
    assert (told.status_code, told.content_type) == (200, "application/json")
    assert told.json == {
        "state": "pending", "is_open": True, "is_paid": False, "may_retry": False,
        "message": pending.customer_message(),
    }  # fmt: skip
    receive(mpesa, pending, "INS-5")
    assert (client.get(url).json or {})["may_retry"] is True
    assert client.head(url).status_code == 200
    assert client.post(url).status_code == 405


def test_it_is_kept_nowhere_and_no_other_site_may_read_it(
    app: Flask, mpesa: Mpesa, pending: Any
) -> None:
    url = mpesa.status_url(pending)
    told = app.test_client().get(url, headers={"Origin": "https://elsewhere.example"})
    assert told.headers["Cache-Control"] == "private, no-store"
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    assert not [name for name in told.headers if name[0].startswith("Access-Control")]
    assert "Set-Cookie" not in told.headers


def test_it_is_one_query(app: Flask, mpesa: Mpesa, records: Records, pending: Any) -> None:
    url, statements = mpesa.status_url(pending), []

    def note(*args: Any) -> None:
        statements.append(args[2])

    event.listen(records.library_engine, "before_cursor_execute", note)
    app.test_client().get(url)
    (select,) = statements
    assert "third_party_reference = ?" in select


@pytest.mark.parametrize("with_babel", [False, True])
def test_the_words_are_in_the_language_of_the_page(
    app: Flask, mpesa: Mpesa, pending: Any, with_babel: bool
) -> None:
    url, languages = mpesa.status_url(pending), {"Accept-Language": "fr, pt-MZ;q=0.9, en;q=0.8"}
    if with_babel:
        babel = pytest.importorskip("flask_babel")
        babel.Babel(app, locale_selector=lambda: "pt_BR")
        languages = {}
    told = app.test_client().get(url, headers=languages).json or {}
    assert told["message"] == pending.customer_message("pt")
    if not with_babel:
        assert (app.test_client().get(url).json or {})["message"] == pending.customer_message()


def test_payments_of_every_account_have_an_address(
    records: Records, mpesa_simulator: Simulator
) -> None:
    app = Flask("shop")
    app.config["MPESA_ACCOUNTS"] = {
        "default": account_settings(mpesa_simulator),
        "payouts": account_settings(mpesa_simulator, CALLBACK_TOKEN=None),
    }
    app.config.update(TESTING=True, SECRET_KEY="only for tests")
    mpesa = Mpesa(app, records=records)
    with app.app_context():
        url = mpesa.status_url(mpesa["payouts"].b2c(**PAYMENT))
        told = app.test_client().get(url).json or {}
        assert told["message"] == "We have sent you 150.00 MZN."
        del app.config["MPESA_ACCOUNTS"]["payouts"]
        assert app.test_client().get(url).status_code == 404, "the account is gone"
    app.extensions["mpesa"].forget()


def test_what_leads_nowhere_is_answered_in_plain_words(
    app: Flask, mpesa: Mpesa, pending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, url = app.test_client(), mpesa.status_url(pending)
    app.secret_key = "another site's"
    answers = [client.get(url), client.get("/mpesa/status/forged/")]
    app.config["SECRET_KEY_FALLBACKS"] = ["only for tests"]
    assert client.get(url).status_code == 200, "made before the key was changed"
    monkeypatch.setattr(status_tokens, "GOOD_FOR", -1)
    answers.append(client.get(url))
    assert [answer.status_code for answer in answers] == [404, 404, 410]
    for answer in answers:
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert len(answer.data) < 30


def test_an_app_without_a_secret_key_is_told(app: Flask, mpesa: Mpesa, pending: Any) -> None:
    app.secret_key = None
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        mpesa.status_url(pending)
    assert app.test_client().get("/mpesa/status/x/").status_code == 404


@pytest.mark.parametrize("how", ["moved", "nested", "beside another"])
def test_the_address_is_found_wherever_it_is_registered(
    mpesa: Mpesa, mpesa_simulator: Simulator, how: str
) -> None:
    app = Flask("elsewhere")
    app.config.update(flat_config(mpesa_simulator), SECRET_KEY="s", MPESA_STATUS_PATH=None)
    if how == "moved":
        app.config["MPESA_STATUS_PATH"] = "/shop/pay"
    mpesa.init_app(app)
    if how == "nested":
        shop = Blueprint("shop", __name__)
        shop.register_blueprint(mpesa.status_blueprint, url_prefix="/pay")
        app.register_blueprint(shop, url_prefix="/shop")
    elif how == "beside another":
        app.register_blueprint(mpesa.status_blueprint, url_prefix="/<tenant>/pay", name="one")
        app.register_blueprint(mpesa.status_blueprint, url_prefix="/shop/pay", name="another")
    with app.app_context():
        payment = mpesa.c2b(**PAYMENT)
        url = mpesa.status_url(payment)
    assert url.startswith("/shop/pay/")
    assert (app.test_client().get(url).json or {})["is_paid"] is True
    with app.test_request_context(base_url="https://shop.example/below/"):
        below = current_mpesa.status_url(payment)
    assert below.startswith("/below/shop/pay/"), "in a request, where the app is mounted"
    app.extensions["mpesa"].forget()


def test_an_app_that_does_not_register_it_is_told(mpesa: Mpesa, mpesa_simulator: Simulator) -> None:
    app = Flask("without")
    app.config.update(flat_config(mpesa_simulator), SECRET_KEY="s", MPESA_STATUS_PATH=None)
    mpesa.init_app(app)
    with app.app_context(), pytest.raises(ConfigurationError, match="not registered"):
        mpesa.status_url(mpesa.c2b(**PAYMENT))
    app.extensions["mpesa"].forget()


def test_without_records_this_process_tells_of_its_payments(mpesa_simulator: Simulator) -> None:
    def started() -> tuple[Flask, Mpesa]:
        app = Flask("light")
        app.config.update(flat_config(mpesa_simulator), TESTING=True, SECRET_KEY="s")
        with pytest.warns(UserWarning, match="no records"):
            return app, Mpesa(app)

    app, mpesa = started()
    with app.app_context():
        url = mpesa.status_url(mpesa.c2b(**PAYMENT))
        assert (app.test_client().get(url).json or {})["is_paid"] is True
        mpesa.forget()
        assert app.test_client().get(url).status_code == 200, "its settings were read anew"
        mpesa.forget()
    again, _ = started()
    assert again.test_client().get(url).status_code == 404
    again.extensions["mpesa"].forget()
