"""Flask's log of a failed request, its debugger and the app's config show no secret, no number."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pprint import pformat
from typing import Any

import pytest
from flask import Flask, got_request_exception, request
from werkzeug.debug.tbtools import DebugTraceback
from werkzeug.exceptions import ClientDisconnected

from flask_mpesa import Mpesa
from mpesa_integrations.core.client import base as core_base
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.protocol import outcomes
from mpesa_integrations.core.protocol.schemas import RequestSchema
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.sqlalchemy.store import SqlAlchemyStore
from tests.support.account import TOKEN, account_settings
from tests.support.reports import NUMBER, frames, leaks

Broken = Callable[[pytest.MonkeyPatch], None]


def _raising(error: BaseException) -> Any:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def _with_row() -> Exception:
    return RuntimeError(f"DETAIL: Failing row contains (1, default, c2b, 258{NUMBER})")


BREAKS: dict[str, tuple[str, Broken]] = {
    "schema": ("/pay", lambda m: m.setattr(RequestSchema, "load", _raising(TypeError("x")))),
    "store": ("/pay", lambda m: m.setattr(SqlAlchemyStore, "create", _raising(_with_row()))),
    "session": ("/pay", lambda m: m.setattr(
        "sqlalchemy.engine.default.DefaultDialect.do_execute", _raising(_with_row()))),
    "headers": ("/name", lambda m: m.setattr(
        core_base, "http_request", _raising(RuntimeError("x")))),
    "pool": ("/name", lambda m: m.setattr(
        "urllib3.connectionpool.HTTPConnectionPool.urlopen", _raising(RuntimeError("x")))),
    "answer": ("/name", lambda m: m.setattr(outcomes, "read_answer", _raising(KeyError("x")))),
}  # fmt: skip


@pytest.fixture
def secrets(app: Flask, mpesa_simulator: Simulator) -> list[str]:
    found = mpesa_simulator.credentials
    config = mpesa_simulator.config
    bearer = app.extensions["mpesa"]["default"].client._bearer_for(config)
    return [
        found.api_key, found.security_credential, found.initiator_identifier, TOKEN, bearer
    ]  # fmt: skip


@pytest.fixture
def shop(app: Flask, mpesa: Mpesa) -> Flask:
    """The app, with views whose calls fail."""
    app.add_url_rule("/pay", "pay", lambda: mpesa.c2b(msisdn=NUMBER, amount=1, reference="X").state)
    app.add_url_rule("/name", "name", lambda: str(mpesa.query_customer_name(msisdn=NUMBER)))
    app.logger.addHandler(logging.NullHandler())
    app.logger.propagate = True
    app.testing = False
    return app


# Werkzeug 2.3's debugger on Python 3.13.
@pytest.mark.filterwarnings("ignore:Deprecated in 3.13:DeprecationWarning")
@pytest.mark.parametrize("broken", sorted(BREAKS))
def test_no_report_of_a_failed_call_shows_a_secret(
    shop: Flask, secrets: list[str], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, broken: str,
) -> None:  # fmt: skip
    page, brk = BREAKS[broken]
    brk(monkeypatch)
    caught: list[BaseException] = []

    def catch(sender: Any, exception: BaseException, **values: Any) -> None:
        caught.append(exception)

    with got_request_exception.connected_to(catch, shop):
        assert shop.test_client().get(page).status_code == 500
    (error,) = caught
    debugger = DebugTraceback(error)
    seen = (
        debugger.render_debugger_html(True, "x", evalex_trusted=True)
        + debugger.render_traceback_text()
    )
    assert "Exception on /" in caplog.text
    assert leaks(seen + caplog.text + frames(error), secrets) == []


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (lambda m: m.setattr(Payments, "receive", _raising(RuntimeError("x"))), 500),
        (lambda m: m.setattr(SqlAlchemyStore, "store_callback", _raising(_with_row())), 500),
        (lambda m: m.setattr("flask_mpesa.callbacks.answer_callback", _raising(KeyError())), 500),
        (lambda m: m.setattr(
            "werkzeug.wsgi.LimitedStream.readinto", _raising(ClientDisconnected())), 400),
    ],
)  # fmt: skip
def test_a_callback_that_fails_puts_its_token_nowhere(
    shop: Flask, secrets: list[str], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, broken: Broken, status: int,
) -> None:  # fmt: skip
    broken(monkeypatch)
    seen: list[str] = []

    @shop.after_request
    def look(response: Any) -> Any:
        seen.append(f"{request.path} {request.url} {request!r} {request.view_args}")
        seen.append(pformat(request.environ))
        return response

    body = {
        "input_OriginalConversationID": "AG_1",
        "input_ThirdPartyReference": "R1",
        "input_ResultCode": "0",
        "input_ResultDesc": NUMBER,
    }
    answer = shop.test_client().post(f"/mpesa/callback/{TOKEN}/", json=body)
    assert answer.status_code == status
    assert len(seen) == 2
    assert leaks("".join(seen) + answer.text + caplog.text, secrets) == []


def test_a_page_for_nothing_found_that_fails_has_no_token(
    shop: Flask, secrets: list[str], mpesa_simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    shop.config["MPESA_CALLBACK_NETWORKS"] = ["10.0.0.0/8"]
    shop.extensions["mpesa"].forget()
    shop.register_error_handler(404, _raising(RuntimeError("x")))
    answer = shop.test_client().post(f"/mpesa/callback/{TOKEN}/", json={})
    assert answer.status_code == 500
    assert "Exception on /mpesa/callback/***/" in caplog.text
    assert leaks(caplog.text, secrets) == []


def test_the_apps_config_shows_no_secret(
    shop: Flask, secrets: list[str], mpesa_simulator: Simulator
) -> None:
    account = account_settings(mpesa_simulator, CALLBACK_BASE_URL=f"https://x:{TOKEN}@shop.example")
    shop.config["MPESA_ACCOUNTS"] = {"two": {**account, "PROXY": f"http://x:{TOKEN}@127.0.0.1:1"}}
    assert set(shop.extensions["mpesa"]) == {"default", "two"}
    assert leaks(f"{shop.config} {pformat(dict(shop.config))}", secrets) == []
    assert shop.config["MPESA_API_KEY"] == mpesa_simulator.credentials.api_key


def test_a_callback_that_a_hook_ends_puts_its_token_into_no_log(
    shop: Flask, secrets: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    @shop.before_request
    def end() -> None:
        raise RuntimeError("of the shop's own")

    assert shop.test_client().post(f"/mpesa/callback/{TOKEN}/", json={}).status_code == 500
    assert "Exception on /" in caplog.text
    assert leaks(caplog.text, secrets) == []
    logging.getLogger("werkzeug").warning('%s - "%s" 200', "10.0.0.1", f"POST /{TOKEN}/ HTTP/1.1")
    assert leaks(caplog.text, secrets) == []
