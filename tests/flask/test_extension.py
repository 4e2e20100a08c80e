"""The extension: settings, several apps and accounts, calls, signals, and what an import loads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask, current_app
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import Session

from flask_mpesa import Mpesa, current_mpesa, signals
from flask_mpesa.records import Records
from mpesa_integrations import ConfigurationError, ValidationError
from mpesa_integrations.core.errors import CalledInTransaction, IdempotencyConflict
from mpesa_integrations.simulator import Simulator
from tests.support.account import account_settings

from .conftest import PAYMENT, Heard, event_names, flat_config
from .models import Payment, PaymentCallback, PaymentOutboxEntry

HELD_BY_THE_SHOP: dict[str, Any] = {
    "id": "held by the shop", "account": "mine", "event": "payment_stuck", "transaction_key": 1,
    "due_at": datetime.now(timezone.utc) + timedelta(hours=1),
}  # fmt: skip


def test_a_payment_is_recorded_paid_and_signalled(
    app: Flask, mpesa: Mpesa, session: Session, heard: Heard, mpesa_simulator: Simulator
) -> None:
    paid = mpesa.c2b(**PAYMENT, metadata={"order": 7})
    assert paid.state == "completed"
    kept = session.scalars(select(Payment)).one()
    assert (kept.transaction_id, kept.metadata_) == (paid.transaction_id, {"order": 7})
    assert kept.created_at.tzinfo is not None
    assert "258841234567" not in repr(kept)
    assert mpesa_simulator.ledger.find(kept.third_party_reference) is not None
    assert event_names(heard) == ["initiated", "completed"]
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
        mine.add(PaymentOutboxEntry(**HELD_BY_THE_SHOP))  # held, not flushed
        mpesa.c2b(**PAYMENT)
        with Session(records.engine) as another:
            assert another.scalars(select(PaymentOutboxEntry.id)).all() == []
        assert len(mine.new) == 1
        mine.rollback()
    with Session(records.engine) as another:
        assert another.scalars(select(Payment.account)).all() == ["default"]


def test_a_writing_transaction_of_the_shops_on_sqlite_is_refused_before_anything_is_sent(
    app: Flask, records: Records, mpesa_simulator: Simulator
) -> None:
    quick = create_engine(records.engine.url, connect_args={"timeout": 0.1})
    shop = Flask("quick")
    shop.config.update(flat_config(mpesa_simulator), TESTING=True)
    mpesa = Mpesa(shop, records=Records(quick, Payment, PaymentCallback, records.outbox))
    with Session(quick) as mine, shop.app_context():
        mine.add(PaymentOutboxEntry(**HELD_BY_THE_SHOP))
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
            "default": account_settings(mpesa_simulator, SERVICE_PROVIDER_CODE="171717"),
            "payouts": account_settings(mpesa_simulator, CALLBACK_TOKEN=name * 11),
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
        ({"MPESA_APIKEY": "x"}, "APIKEY is not a setting of M-Pesa (did you mean API_KEY?)"),
        ({"MPESA_APPLY_CALLBACK": "x"}, "did you mean APPLY_CALLBACKS?"),
        ({"MPESA_CALLBACK_NETWORKS": ["ten"]}, "10.0.0.0/8"),
        ({"MPESA_CALLBACK_BASE_URL": "http://shop.example"}, "https with a port from 11000"),
        ({"MPESA_STUCK_AFTER": -1}, "seconds"),
        ({"MPESA_SEND": "later"}, 'MPESA_SEND: send must be "now", "worker" or "task"'),
        ({"MPESA_SEND_WITHIN": 0}, "seconds"),
        ({"MPESA_SEND_WITHIN": float("inf")}, "seconds"),
        ({"MPESA_STUCK_AFTER": timedelta.max}, "ten years at the most"),
        ({"MPESA_ACCOUNTS": {"default": {}}}, "keep one of them"),
        ({"MPESA_ACCOUNTS": {"payouts": {}}}, "MPESA_ACCOUNTS['payouts']"),
    ],
)
def test_a_wrong_setting_is_refused_at_init_app(
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


@pytest.mark.slow
def test_nothing_happens_at_import() -> None:
    script = (
        "import sys, flask_mpesa; unwanted = {'sqlalchemy', 'django', 'cheroot'}; "
        "sys.exit(' '.join(unwanted & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.slow
def test_the_sqlalchemy_modules_import_no_web_framework() -> None:
    script = (
        "import importlib, pkgutil, sys\n"
        "import mpesa_integrations.sqlalchemy as room\n"
        "for found in pkgutil.iter_modules(room.__path__, 'mpesa_integrations.sqlalchemy.'):\n"
        "    importlib.import_module(found.name)\n"
        "unwanted = {'flask', 'werkzeug', 'django', 'flask_mpesa'} & set(sys.modules)\n"
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


def test_views_that_are_coroutines_can_pay(app: Flask, mpesa: Mpesa) -> None:
    pytest.importorskip("asgiref")

    async def pay() -> str:
        paid = await mpesa.ac2b(**PAYMENT)
        return str((await mpesa.acheck(paid)).state)

    app.add_url_rule("/pay", view_func=pay)
    assert app.test_client().get("/pay").text == "completed"


def test_a_row_that_the_shops_own_listener_refuses_is_left_out_and_said(
    app: Flask, mpesa: Mpesa, caplog: pytest.LogCaptureFixture, mpesa_simulator: Simulator
) -> None:
    kept = []
    for _ in range(3):
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        kept.append(mpesa.c2b(**PAYMENT).id)

    def refuse(record: Payment, context: object) -> None:
        if record.id == kept[1]:
            raise RuntimeError("a listener of the shop's")

    event.listen(Payment, "load", refuse)
    try:
        soon = datetime.now(timezone.utc) + timedelta(days=1)
        due = mpesa["default"].store.claim_due(soon, soon, 10)
    finally:
        event.remove(Payment, "load", refuse)
    assert sorted(record.id for record in due) == [kept[0], kept[2]]
    assert "store.row_not_read" in caplog.text


def test_a_step_of_the_store_has_the_coroutines_app(app: Flask, mpesa: Mpesa) -> None:
    async def step() -> str:
        return await mpesa["default"].store.in_thread(lambda: current_app.name)

    assert asyncio.run(step()) == app.name


def test_a_blocking_call_in_an_event_loop_is_warned_of_where_it_is_made(
    app: Flask, mpesa: Mpesa
) -> None:
    async def view() -> str:
        with pytest.warns(RuntimeWarning, match=r"await mpesa\.ac2b\(\) instead") as caught:
            paid = mpesa.c2b(**PAYMENT)
        assert caught[0].filename == __file__
        return str(paid.state)

    assert asyncio.run(view()) == "completed"


def test_a_worker_cannot_send_what_no_database_has(mpesa_simulator: Simulator) -> None:
    app = Flask("without")
    app.config.update(flat_config(mpesa_simulator), MPESA_SEND="worker")
    with pytest.raises(ConfigurationError, match='MPESA_SEND: send is "worker", which needs rec'):
        Mpesa(app)
