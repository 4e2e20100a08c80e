"""The extension: settings, several apps and accounts, signals, the callback endpoint, commands."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask
from flask_wtf import CSRFProtect
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from werkzeug.middleware.proxy_fix import ProxyFix

import flask_mpesa
from flask_mpesa import Mpesa, current_mpesa, signals
from flask_mpesa.records import Records
from mpesa_integrations import ConfigurationError, ValidationError
from mpesa_integrations.core.errors import CalledInTransaction, IdempotencyConflict
from mpesa_integrations.simulator import Simulator

from .conftest import TOKEN, account_config, flat_config
from .models import Payment, PaymentCallback, PaymentOutboxEntry

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
NOTICE: dict[str, Any] = {
    "id": "held by the shop", "account": "mine", "event": "payment_stuck", "transaction_key": 1,
    "due_at": datetime.now(timezone.utc) + timedelta(hours=1),
}  # fmt: skip
ASYNC_URL = "https://127.0.0.1:18997/nobody"
Heard = list[tuple[str, Any]]


def _names(heard: Heard) -> list[str]:
    return [name.removeprefix("payment_") for name, _ in heard]


def _callback(record: Any, code: str = "0", **changes: str) -> dict[str, str]:
    return {
        "input_OriginalConversationID": record.conversation_id,
        "input_ThirdPartyReference": record.third_party_reference,
        "input_TransactionID": "4XDF12345" if code == "0" else "N/A",
        "input_ResultCode": code,
        "input_ResultDesc": "said the callback",
        **changes,
    }


def _post(app: Flask, body: Any, token: str = TOKEN, **options: Any) -> Any:
    options.setdefault("content_type", "application/json")
    data = body if isinstance(body, bytes) else json.dumps(body)
    return app.test_client().post(f"/mpesa/callback/{token}/", data=data, **options)


@pytest.fixture
def pending(app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator) -> Any:
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    record = mpesa.c2b(**PAYMENT)
    assert record.state == "pending"
    mpesa_simulator.callbacks.drain()
    return record


def test_a_payment_is_recorded_paid_and_told(
    app: Flask, mpesa: Mpesa, session: Session, heard: Heard, mpesa_simulator: Simulator
) -> None:
    paid = mpesa.c2b(**PAYMENT, metadata={"order": 7})
    assert paid.state == "completed"
    kept = session.scalars(select(Payment)).one()
    assert (kept.transaction_id, kept.metadata_) == (paid.transaction_id, {"order": 7})
    assert kept.created_at.tzinfo is not None
    assert "258841234567" not in repr(kept)
    assert mpesa_simulator.ledger.find(kept.third_party_reference) is not None
    assert _names(heard) == ["initiated", "completed"]
    assert current_mpesa.check(kept).state == "completed"


def test_the_other_calls_have_the_same_arguments_and_errors(
    app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    paid = mpesa.c2b(**PAYMENT, idempotency_key="order-7")
    assert mpesa.c2b(**PAYMENT, idempotency_key="order-7").pk == paid.pk
    with pytest.raises(IdempotencyConflict, match="amount"):
        mpesa.c2b(**{**PAYMENT, "amount": 1}, idempotency_key="order-7")
    with pytest.raises(ValidationError, match="amount"):
        mpesa.c2b(**{**PAYMENT, "amount": 0})
    assert mpesa.reverse(transaction_id=paid.transaction_id, amount=50).state == "completed"
    assert mpesa.b2c(**PAYMENT).state == "completed"
    other: dict[str, Any] = {"receiver_shortcode": "979797", "amount": 5, "reference": "STOCK"}
    assert mpesa.b2b(**other).operation == "b2b"
    status = mpesa.query_transaction_status(query_reference=paid.transaction_id)
    assert status.transaction_status == "Completed"
    assert mpesa.query_customer_name(msisdn="841234567").customer_name


def test_what_the_shops_own_session_holds_is_neither_committed_nor_lost(
    app: Flask, mpesa: Mpesa, records: Records
) -> None:
    with Session(records.engine) as mine:
        mine.add(PaymentOutboxEntry(**NOTICE))  # held, not flushed
        mpesa.c2b(**PAYMENT)
        with Session(records.engine) as another:
            assert another.scalars(select(PaymentOutboxEntry.id)).all() == []
        assert len(mine.new) == 1
        mine.rollback()
    with Session(records.engine) as another:
        assert another.scalars(select(Payment.account)).all() == ["default"]


def test_a_writing_transaction_of_the_shops_on_sqlite_is_told_before_anything_is_sent(
    app: Flask, records: Records, mpesa_simulator: Simulator
) -> None:
    quick = create_engine(records.engine.url, connect_args={"timeout": 0.1})
    shop = Flask("quick")
    shop.config.update(flat_config(mpesa_simulator), TESTING=True)
    mpesa = Mpesa(shop, records=Records(quick, Payment, PaymentCallback, records.outbox))
    with Session(quick) as mine, shop.app_context():
        mine.add(PaymentOutboxEntry(**NOTICE))
        mine.flush()
        with pytest.raises(CalledInTransaction, match="commit what your session"):
            mpesa.c2b(**PAYMENT)
    quick.dispose()
    shop.extensions["mpesa"].forget()
    assert mpesa_simulator.ledger.transactions() == []


def test_several_apps_and_accounts_are_separate(
    records: Records, mpesa_simulator: Simulator
) -> None:
    mpesa = Mpesa(records=records)
    apps = []
    for name in ("one", "two"):
        app = Flask(name)
        app.config["MPESA_ACCOUNTS"] = {
            "default": account_config(mpesa_simulator, SERVICE_PROVIDER_CODE="171717"),
            "payouts": account_config(mpesa_simulator, CALLBACK_TOKEN=name * 11),
        }
        app.testing = True
        mpesa.init_app(app)
        apps.append(app)
    one, two = apps
    with one.app_context():
        assert mpesa["payouts"].b2c(**PAYMENT).account == "payouts"
        assert list(current_mpesa) == ["default", "payouts"]
        with pytest.raises(ConfigurationError, match="default, payouts"):
            mpesa["nobody"]
        first = mpesa["default"]
    with two.app_context():
        assert mpesa["default"] is not first
        assert mpesa["payouts"].accepts("two" * 11)
    for app in apps:
        app.extensions["mpesa"].forget()


def test_outside_of_an_app_it_says_what_to_do(app: Flask, mpesa: Mpesa) -> None:
    found: list[str] = []

    def work() -> None:
        for use in (lambda: mpesa.c2b(**PAYMENT), lambda: current_mpesa["default"]):
            try:
                use()
            except RuntimeError as error:
                found.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 2
    assert all("app.app_context()" in text for text in found)
    with Flask("bare").app_context(), pytest.raises(RuntimeError, match="init_app"):
        mpesa.c2b(**PAYMENT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MPESA_API_KEY": ""}, "MPESA_API_KEY"),
        ({"MPESA_PUBLIC_KEY": "nonsense"}, "MPESA_PUBLIC_KEY"),
        ({"MPESA_APIKEY": "x"}, "did you mean MPESA_API_KEY"),
        ({"MPESA_CALLBACK_NETWORKS": ["ten"]}, "10.0.0.0/8"),
        ({"MPESA_CALLBACK_BASE_URL": "http://shop.example"}, "https with a port from 11000"),
        ({"MPESA_STUCK_AFTER": -1}, "seconds"),
        ({"MPESA_ACCOUNTS": {"default": {}}}, "keep one of them"),
        ({"MPESA_ACCOUNTS": {"payouts": {}}}, "MPESA_ACCOUNTS['payouts']"),
    ],
)
def test_a_wrong_setting_is_told_at_init_app(
    mpesa_simulator: Simulator, mpesa: Mpesa, changes: dict[str, Any], words: str
) -> None:
    app = Flask("wrong")
    app.config.update({**flat_config(mpesa_simulator), **changes})
    with pytest.raises(ConfigurationError, match=None) as caught:
        mpesa.init_app(app)
    assert words in str(caught.value)
    assert mpesa_simulator.config.api_key not in str(caught.value)


def test_an_app_is_set_up_once(app: Flask, mpesa: Mpesa) -> None:
    with pytest.raises(ConfigurationError, match="already"):
        mpesa.init_app(app)


def test_nothing_happens_at_import() -> None:
    script = (
        "import sys, flask_mpesa; unwanted = {'sqlalchemy', 'django', 'cheroot'}; "
        "sys.exit(' '.join(unwanted & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_sqlalchemy_modules_import_no_flask() -> None:
    # The package's own __init__ imports Flask, so another stands in its place.
    script = (
        "import importlib, pkgutil, sys, types\n"
        f"package = types.ModuleType('flask_mpesa'); package.__path__ = {flask_mpesa.__path__!r}\n"
        "sys.modules['flask_mpesa'] = package\n"
        "import flask_mpesa.sqlalchemy as room\n"
        "for found in pkgutil.iter_modules(room.__path__, 'flask_mpesa.sqlalchemy.'):\n"
        "    importlib.import_module(found.name)\n"
        "ours = {name for name in sys.modules if name.startswith('flask_mpesa.')}\n"
        "outside = {name for name in ours if not name.startswith(room.__name__)}\n"
        "unwanted = outside | ({'flask', 'werkzeug', 'blinker', 'django'} & set(sys.modules))\n"
        "assert f'{room.__name__}.store' in ours\n"
        "sys.exit(' '.join(unwanted) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_signals_are_of_the_app_and_a_raising_receiver_harms_nothing(
    app: Flask, mpesa: Mpesa, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Any] = []

    def broken(sender: Flask, **values: Any) -> None:
        raise RuntimeError("the shop's mistake")

    def receive(sender: Flask, transaction: Any, event_id: str) -> None:
        got.append((sender, transaction.state, len(event_id)))

    with (
        signals.payment_completed.connected_to(broken, app),
        signals.payment_completed.connected_to(receive, app),
        signals.payment_completed.connected_to(broken, Flask("other")),
    ):
        assert mpesa.c2b(**PAYMENT).state == "completed"
    assert got == [(app, "completed", 32)]
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert errors == ["signal.receiver_failed signal=payment_completed"]


def test_a_callback_completes_a_pending_payment_once(
    app: Flask, pending: Any, session: Session, heard: Heard
) -> None:
    answer = _post(app, _callback(pending))
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json == {
        "output_OriginalConversationID": pending.conversation_id,
        "output_ThirdPartyConversationID": pending.third_party_reference,
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
    }
    assert _post(app, _callback(pending)).json == answer.json
    assert _names(heard)[-1:] == ["completed"]
    entries = session.scalars(select(PaymentCallback).order_by(PaymentCallback.id)).all()
    assert [(e.verdict, e.remote_address, e.transaction_key) for e in entries] == [
        ("applied", "127.0.0.1", pending.id), ("repeated", "127.0.0.1", pending.id)
    ]  # fmt: skip


def test_a_wrong_token_is_nothing_to_be_found(app: Flask, pending: Any, session: Session) -> None:
    for token in ("x", TOKEN + "x", TOKEN[:-1], "ação"):
        answer = _post(app, _callback(pending), token)
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
    assert _post(app, body, **options).status_code == status


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
    assert _post(app, {}).status_code == 400
    assert "output_ResponseCode" in _post(app, {}).json  # refused by the endpoint, not for CSRF
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
    answer = _post(app, {}, headers=headers, environ_base={"REMOTE_ADDR": address})
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


def test_without_records_it_works_and_says_what_that_costs(
    mpesa_simulator: Simulator, heard: Heard
) -> None:
    app = Flask("light")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with pytest.warns(UserWarning, match="nothing is written down"):
        mpesa = Mpesa(app)
    with app.app_context():
        paid = mpesa.c2b(**PAYMENT, idempotency_key="k")
        assert paid.state == "completed"
        assert mpesa.c2b(**PAYMENT, idempotency_key="k") == paid
        assert mpesa.reverse(transaction_id=paid.transaction_id, amount=50).state == "completed"
        kept: Any = mpesa["default"].store.find(paid.third_party_reference)
        assert kept.reversed_amount == 50
        mpesa_simulator.scenarios.queue("cut_after")
        lost = mpesa.c2b(**PAYMENT)
        assert mpesa.check(lost).state == "completed"
        mpesa_simulator.response_url = ASYNC_URL
        mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
        waiting = mpesa.c2b(**PAYMENT)
    heard.clear()
    assert _post(app, _callback(waiting)).status_code == 200
    assert _post(app, _callback(waiting)).status_code == 200
    assert _names(heard) == ["completed"]
    assert heard[0][1].amount == 150
    # One that this process knows nothing of moves nothing, and is told as such.
    heard.clear()
    told = _callback(waiting, input_ThirdPartyReference="OTHERPROCESS1")
    assert _post(app, told).status_code == 200
    app.extensions["mpesa"].forget()  # as a restart
    assert _post(app, _callback(waiting, input_TransactionID="OTHER1")).status_code == 200
    assert [event for event, _ in heard] == ["callback_rejected"] * 2
    with app.app_context():
        assert mpesa["default"].oldest_open() is None
    app.extensions["mpesa"].forget()


def test_views_that_are_coroutines_can_pay(app: Flask, mpesa: Mpesa) -> None:
    pytest.importorskip("asgiref")

    async def pay() -> str:
        return str(mpesa.c2b(**PAYMENT).state)

    app.add_url_rule("/pay", view_func=pay)
    assert app.test_client().get("/pay").text == "completed"


def test_the_commands(app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator) -> None:
    def run(*words: str) -> Any:
        return app.test_cli_runner().invoke(args=["mpesa", *words])

    checked = run("check")
    assert (checked.exit_code, checked.output) == (
        0, "ok       default: the gateway accepts the API key\n"
    )  # fmt: skip
    paid = run("c2b", "--msisdn", "84 123 4567", "--amount", "10", "--reference", "T1")
    assert paid.exit_code == 0, paid.output
    assert "25884•••4567" in paid.output
    record: Any = mpesa["default"].store.find(
        next(
            line.split()[-1]
            for line in paid.output.splitlines()
            if line.startswith("third party reference")
        )
    )
    assert run("status", record.transaction_id).exit_code == 0
    assert run("reverse", record.transaction_id, "--amount", "4").exit_code == 0
    refused = run("reverse", record.transaction_id, "--amount", "9")
    assert (refused.exit_code, "6.00" in refused.output) == (3, True)
    mpesa_simulator.scenarios.queue("insufficient_balance")
    assert run("c2b", "--msisdn", "841234567", "--amount", "1", "--reference", "T").exit_code == 5
    assert run("status", "NOSUCHTHING").exit_code == 8
    # rich 13.7 ends a progress bar that is not shown with an empty line.
    assert run("reconcile").output.strip() == "default: 0 asked, 0 told, 0 callbacks decided"
    for wrong in ("--batch=0", "--workers=-1", "--rate=0", "--rate=nan", "--every=0"):
        refused = run("reconcile", wrong)
        assert refused.exit_code == 3
        assert "Nothing was sent" in refused.output
    assert run("callback-url").exit_code == 2
    assert run("c2b", "--account", "x", "--msisdn", "1", "--amount", "1", "--reference", "T"
               ).exit_code == 2  # fmt: skip


def test_no_warning_comes_with_records(mpesa_simulator: Simulator, records: Records) -> None:
    app = Flask("recorded")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Mpesa(app, records=records)
    app.extensions["mpesa"].forget()


def test_without_records_metadata_is_the_shops_and_all_else_the_librarys(
    mpesa_simulator: Simulator,
) -> None:
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with pytest.warns(UserWarning, match="no records"):
        mpesa = Mpesa(app)
    with app.app_context():
        for wrong in ({"transaction_id": "X"}, {"order_id": 1}, {"state": "completed"}):
            with pytest.raises(ValidationError, match=next(iter(wrong))):
                mpesa.c2b(**PAYMENT, **wrong)
        assert mpesa_simulator.ledger.transactions() == []
        paid = mpesa.c2b(**PAYMENT, metadata={"a": 1, "b": 1}, idempotency_key="k")
        assert mpesa.link(paid, metadata={"b": 2}).metadata == {"a": 1, "b": 2}
        assert mpesa.c2b(**PAYMENT, metadata={"a": 3}, idempotency_key="k").metadata["b"] == 2
        with pytest.raises(ValidationError, match="state"):
            mpesa.link(paid, state="failed")
    app.extensions["mpesa"].forget()
