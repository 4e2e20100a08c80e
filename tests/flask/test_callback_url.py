"""The callback URL: with and without its last slash, in chunks, and wherever it is registered."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask_wtf import CSRFProtect
from sqlalchemy import select
from sqlalchemy.orm import Session

from flask_mpesa import Mpesa
from mpesa_integrations import ConfigurationError
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN, account_settings
from tests.support.chunked import KINDS, SERVERS_OWN, post_in_chunks, serving

from .conftest import flat_config
from .models import PaymentCallback

pytestmark = pytest.mark.filterwarnings(SERVERS_OWN)
URL = f"/mpesa/callback/{TOKEN}/"
BODY: dict[str, str] = {
    "input_OriginalConversationID": "AG_1",
    "input_ThirdPartyReference": "NOBODYS",
    "input_TransactionID": "N/A",
    "input_ResultCode": "INS-5",
    "input_ResultDesc": "said the callback",
}


@pytest.mark.parametrize("reads_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_in_chunks_is_taken_in(
    app: Flask, session: Session, kind: str, reads_first: bool
) -> None:
    if reads_first:
        app.before_request(lambda: request.get_data() and None)
    with serving(app, kind) as port:
        assert post_in_chunks(port, URL, json.dumps(BODY).encode()) == 200
        assert post_in_chunks(port, URL, b"x" * 70_000, size=8000) == 413
    entries = session.scalars(select(PaymentCallback)).all()
    assert [bytes(entry.body) for entry in entries] == [json.dumps(BODY).encode()]


@pytest.mark.parametrize("slash", ["/", ""])
def test_both_forms_of_the_url_work_and_no_log_has_the_token(
    app: Flask, caplog: pytest.LogCaptureFixture, slash: str
) -> None:
    url = URL.rstrip("/") + slash
    client = app.test_client()
    with caplog.at_level(logging.DEBUG):
        assert client.post(url, json=BODY).status_code == 200
        assert client.get(url).status_code in (404, 405)
        assert client.post(url, data=b"a=b", content_type="text/plain").status_code == 415
        assert client.post(url, data=b"", content_type="application/json").status_code == 400
    assert TOKEN not in caplog.text


def test_a_caller_that_goes_away_puts_no_token_into_a_log(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    class Gone:
        def read(self, *args: Any) -> bytes:
            raise OSError("gone away")

    answer = app.test_client().post(
        URL,
        content_type="application/json",
        environ_overrides={"wsgi.input": Gone(), "CONTENT_LENGTH": "100"},
    )
    assert answer.status_code == 400
    assert "callback.refused" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("how", ["nested", "renamed", "beside another"])
def test_the_url_is_found_wherever_the_blueprint_is_registered(
    mpesa: Mpesa, mpesa_simulator: Simulator, how: str, protected: bool
) -> None:
    app = Flask("elsewhere")
    app.config.update(flat_config(mpesa_simulator), MPESA_CALLBACK_PATH=None, SECRET_KEY="s")
    app.config["MPESA_CALLBACK_BASE_URL"] = "https://shop.example:12000"
    if protected:
        CSRFProtect(app)
    mpesa.init_app(app)
    if how == "nested":
        shop = Blueprint("shop", __name__)
        shop.register_blueprint(mpesa.blueprint, url_prefix="/pay")
        app.register_blueprint(shop, url_prefix="/shop")
    elif how == "renamed":
        app.register_blueprint(mpesa.blueprint, url_prefix="/shop/pay", name="payments")
    else:
        app.register_blueprint(mpesa.blueprint, url_prefix="/<tenant>/pay")
        app.register_blueprint(mpesa.blueprint, url_prefix="/shop/pay", name="payments")
    url = f"/shop/pay/{TOKEN}/"
    result = app.test_cli_runner().invoke(args=["mpesa", "callback-url"])
    assert result.output == f"https://shop.example:12000{url}\n"
    answer = app.test_client().post(url, data=b"{}", content_type="application/json")
    assert "output_ResponseCode" in (answer.json or {})  # refused by the endpoint, not for CSRF
    app.extensions["mpesa"].forget()


def test_a_blueprint_that_is_not_registered_has_no_url(
    mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    app = Flask("nowhere")
    app.config.update(flat_config(mpesa_simulator), MPESA_CALLBACK_PATH=None)
    mpesa.init_app(app)
    result = app.test_cli_runner().invoke(args=["mpesa", "callback-url"])
    assert "not registered" in result.output
    app.extensions["mpesa"].forget()


def test_two_accounts_with_one_token_are_refused_at_start(
    mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    app = Flask("two")
    app.config["MPESA_ACCOUNTS"] = {
        "default": account_settings(mpesa_simulator),
        "payouts": account_settings(mpesa_simulator),
    }
    with pytest.raises(ConfigurationError, match="'default' and 'payouts'") as caught:
        mpesa.init_app(app)
    assert TOKEN not in str(caught.value)
