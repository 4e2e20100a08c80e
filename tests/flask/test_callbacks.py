"""The callback endpoint: what it takes in, what it refuses, and who may call it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_wtf import CSRFProtect
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_mpesa import Mpesa
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.callbacks import accepted_payment, callback_body

from .conftest import (
    PAYMENT,
    Heard,
    event_names,
    flat_config,
    post_callback,
)
from .models import PaymentCallback


@pytest.fixture
def pending(app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator) -> Any:
    return accepted_payment(mpesa, mpesa_simulator, **PAYMENT)


def test_a_callback_completes_a_pending_payment_once(
    app: Flask, pending: Any, session: Session, heard: Heard
) -> None:
    answer = post_callback(app, callback_body(pending))
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json == {
        "output_OriginalConversationID": pending.conversation_id,
        "output_ThirdPartyConversationID": pending.third_party_reference,
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
    }
    assert post_callback(app, callback_body(pending)).json == answer.json
    assert event_names(heard)[-1:] == ["completed"]
    entries = session.scalars(select(PaymentCallback).order_by(PaymentCallback.id)).all()
    assert [(e.verdict, e.remote_address, e.transaction_key) for e in entries] == [
        ("applied", "127.0.0.1", pending.id), ("repeated", "127.0.0.1", pending.id)
    ]  # fmt: skip


def test_a_wrong_token_is_nothing_to_be_found(app: Flask, pending: Any, session: Session) -> None:
    for token in ("x", TOKEN + "x", TOKEN[:-1], "ação"):
        answer = post_callback(app, callback_body(pending), token)
        assert answer.status_code == 404
        assert TOKEN not in answer.text
    assert session.scalars(select(PaymentCallback)).all() == []
    assert app.test_client().get(f"/mpesa/callback/{TOKEN}/").status_code == 405


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        (b"{}", {}, 400),
        (b"[" * 60_000, {}, 400),
        (b"x" * 70_000, {}, 413),
        (b"a=b", {"content_type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_what_is_no_callback_is_refused(
    app: Flask, body: bytes, options: dict[str, Any], status: int
) -> None:
    assert post_callback(app, body, **options).status_code == status


@pytest.mark.parametrize("before", [True, False])
def test_csrf_protection_lets_the_gateway_in(
    mpesa: Mpesa, mpesa_simulator: Simulator, before: bool
) -> None:
    app = Flask("protected")
    app.config.update(flat_config(mpesa_simulator), SECRET_KEY="s", TESTING=True)
    if before:
        CSRFProtect(app)
    mpesa.init_app(app)
    if not before:
        CSRFProtect(app)

    @app.post("/own")
    def own() -> str:
        return "not reached"

    assert app.test_client().post("/own").status_code == 400
    answer = post_callback(app, {})
    assert answer.status_code == 400
    assert "output_ResponseCode" in answer.json  # refused by the endpoint, not for CSRF
    app.extensions["mpesa"].forget()


@pytest.mark.parametrize(
    ("address", "forwarded", "status"),
    [
        ("127.0.0.1", "10.1.2.3", 400),
        ("127.0.0.1", "192.0.2.1", 404),
        ("127.0.0.1", "10.1.2.3, 192.0.2.9", 404),
        ("10.9.9.9", None, 400),
    ],
)
@pytest.mark.parametrize("fixed", [True, False])
def test_only_allowed_networks_may_call_also_behind_a_proxy(
    mpesa: Mpesa, mpesa_simulator: Simulator, address: str, forwarded: str | None, status: int,
    fixed: bool,
) -> None:  # fmt: skip
    app = Flask("proxied")
    networks = {"MPESA_CALLBACK_NETWORKS": ["10.0.0.0/8"]}
    if not fixed:
        networks["MPESA_TRUSTED_PROXIES"] = ["127.0.0.0/8"]
    app.config.update(flat_config(mpesa_simulator), **networks, TESTING=True)
    mpesa.init_app(app)
    if fixed:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    answer = post_callback(app, {}, headers=headers, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == status
    app.extensions["mpesa"].forget()


def test_the_blueprint_can_be_registered_elsewhere(
    mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    app = Flask("elsewhere")
    app.config.update(flat_config(mpesa_simulator), MPESA_CALLBACK_PATH=None, TESTING=True)
    app.config["MPESA_CALLBACK_BASE_URL"] = "https://shop.example:12000"
    mpesa.init_app(app)
    app.register_blueprint(mpesa.blueprint, url_prefix="/pay")
    assert app.test_client().post(f"/pay/{TOKEN}/", json={}).status_code == 400
    assert app.test_client().post(f"/mpesa/callback/{TOKEN}/", json={}).status_code == 404
    result = app.test_cli_runner().invoke(args=["mpesa", "callback-url"])
    assert result.output == f"https://shop.example:12000/pay/{TOKEN}/\n"
    app.extensions["mpesa"].forget()
