"""A shop that asks everybody to sign in, and the gateway, which cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, abort, redirect, request

from flask_mpesa import Mpesa
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.callbacks import accepted_payment, callback_body

from .conftest import PAYMENT, flat_config, post_callback


def _redirect() -> Any:
    return redirect("/login?next=" + request.path)


def _refuse() -> Any:
    abort(401)


def _break() -> Any:
    raise ValueError("no user")


def _with_wall(app: Flask, answer: Callable[[], Any], exempt: Callable[[], bool]) -> None:
    @app.before_request
    def ask_for_a_sign_in() -> Any:
        return None if exempt() or request.endpoint == "login" else answer()


@pytest.mark.parametrize(
    ("wall", "said"),
    [
        (_redirect, "answers the gateway 302 (to /login)"),
        (_refuse, "answers the gateway 401"),
        (_break, "raises ValueError"),
    ],
)
def test_a_wall_that_keeps_the_gateway_out_is_told(
    app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator, caplog: pytest.LogCaptureFixture,
    wall: Callable[[], Any], said: str,
) -> None:  # fmt: skip
    pending = accepted_payment(mpesa, mpesa_simulator, **PAYMENT)
    _with_wall(app, wall, lambda: False)
    checked = app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"])
    assert checked.exit_code == 1
    assert said in checked.output
    assert "mpesa.public_endpoints" in checked.output
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with caplog.at_level(logging.ERROR):
        assert post_callback(app, callback_body(pending)).status_code != 200
    (line,) = [each for each in caplog.messages if each.startswith("callback.kept_out")]
    assert "mpesa.public_endpoints" in line
    assert TOKEN not in caplog.text


def test_a_wall_that_lets_strangers_in_where_it_should_is_well(
    app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    pending = accepted_payment(mpesa, mpesa_simulator, **PAYMENT)
    app.secret_key = "s"
    url = mpesa.status_url(pending)
    _with_wall(app, _redirect, lambda: request.endpoint in mpesa.public_endpoints)
    checked = app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"])
    assert (checked.exit_code, checked.output) == (0, "ok       default\n")
    assert post_callback(app, callback_body(pending)).status_code == 200
    shown: Any = app.test_client().get(url).json
    assert shown["state"] == "completed"
    assert app.test_client().get("/elsewhere").status_code == 302
    assert "callback.kept_out" not in caplog.text


def test_the_endpoints_are_found_by_whatever_names_they_have(mpesa_simulator: Simulator) -> None:
    mpesa = Mpesa()
    app = Flask("renamed")
    app.config.update(flat_config(mpesa_simulator), MPESA_CALLBACK_PATH=None, TESTING=True)
    with pytest.warns(UserWarning, match="nothing is written down"):
        mpesa.init_app(app)
    app.register_blueprint(mpesa.blueprint, url_prefix="/pay", name="gateway")
    with app.app_context():
        assert mpesa.public_endpoints == {"gateway.callback", "mpesa_status.status"}
    app.extensions["mpesa"].forget()


def test_an_app_without_callbacks_has_nothing_to_let_in(mpesa_simulator: Simulator) -> None:
    app = Flask("no callbacks")
    app.config.update(flat_config(mpesa_simulator, CALLBACK_TOKEN=None), TESTING=True)
    with pytest.warns(UserWarning, match="nothing is written down"):
        Mpesa(app)
    _with_wall(app, _break, lambda: False)
    checked = app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"])
    assert (checked.exit_code, checked.output) == (0, "ok       default\n")
    app.extensions["mpesa"].forget()
