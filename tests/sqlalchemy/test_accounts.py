"""Payments recorded without a web framework, over engines that block and that do not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, object_session
from sqlalchemy.pool import NullPool, QueuePool
from typing_extensions import assert_type

from mpesa_integrations import ConfigurationError
from mpesa_integrations.signals import callback_rejected, handler_failed, payment_completed
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.sqlalchemy import (
    CallbackLogMixin,
    Mpesa,
    OutboxMixin,
    Records,
    TransactionMixin,
    WorkerOptions,
)
from tests.support.account import TOKEN, account_settings
from tests.support.awaitables import Disguise, each_disguise
from tests.support.callbacks import accepted_payment, callback_body

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00"}


class Base(DeclarativeBase): ...


class Payment(TransactionMixin, Base):
    __tablename__ = "payment"


class PaymentCallback(CallbackLogMixin, Base):
    __tablename__ = "payment_callback"


class PaymentOutboxEntry(OutboxMixin, Base):
    __tablename__ = "payment_outbox_entry"


MODELS = (Payment, PaymentCallback, PaymentOutboxEntry)


@pytest.fixture
def blocking(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    yield made
    made.dispose()


@pytest.fixture(params=["blocking", "asynchronous"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine | AsyncEngine]:
    if request.param == "blocking":
        yield request.getfixturevalue("blocking")
        return
    pytest.importorskip("aiosqlite")
    found = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    yield found
    asyncio.run(found.dispose())


@pytest.fixture
def mpesa(engine: Engine | AsyncEngine, mpesa_simulator: Simulator) -> Iterator[Mpesa]:
    records = Records(engine, *MODELS)
    Base.metadata.create_all(records.engine)
    made = Mpesa(
        {"default": account_settings(mpesa_simulator)},
        records=records,
        secret_keys=["k" * 32],
        in_production=False,
    )
    yield made
    made.forget()


def test_without_greenlet_payments_are_recorded_over_an_engine_that_blocks() -> None:
    script = (
        "import sys; sys.modules['greenlet'] = None\n"
        "import mpesa_integrations.sqlalchemy, flask_mpesa.records"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_an_order_is_paid_once_by_a_call_that_blocks_and_by_one_that_is_awaited(
    mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    paid = mpesa.c2b(order="O-1", **PAYMENT)
    assert paid.state == "completed"
    again = asyncio.run(_close_after(mpesa, mpesa.ac2b(order="O-1", **PAYMENT)))
    assert again.id == paid.id
    assert len(mpesa_simulator.ledger.transactions()) == 1
    assert mpesa["default"].attempts("O-1")[0].id == paid.id


async def _close_after(mpesa: Mpesa, awaitable: Any) -> Any:
    return await awaitable


@each_disguise
def test_a_handler_has_the_payments_session_and_may_be_a_coroutine(
    mpesa: Mpesa, disguise: Disguise
) -> None:
    done: list[str] = []

    @mpesa.handler(payment_completed, name="ship")
    def ship(payment: Any) -> None:
        assert object_session(payment) is not None
        done.append(f"ship {payment.order_key}")

    async def write(payment: Any) -> None:
        await asyncio.sleep(0)
        done.append(f"write {payment.order_key}")

    mpesa.handler(payment_completed, name="write")(disguise(write))
    mpesa.c2b(order="O-1", **PAYMENT)
    mpesa.c2b(order="O-1", **PAYMENT)
    assert sorted(done) == ["ship O-1", "write O-1"]
    assert mpesa.unfinished_handlers() == []


@each_disguise
def test_signals_are_sent_for_this_mpesa_alone(mpesa: Mpesa, disguise: Disguise) -> None:
    heard: list[Any] = []

    def hear(sender: Any, **values: Any) -> None:
        heard.append((sender, sorted(values)))

    async def hear_too(sender: Any, transaction: Any, **values: Any) -> None:
        heard.append(transaction.state)

    too = disguise(hear_too)
    with (
        payment_completed.connected_to(hear, sender=mpesa),
        payment_completed.connected_to(too, sender=mpesa),
        payment_completed.connected_to(lambda sender, **_: heard.append(0), sender=object()),
    ):
        mpesa.c2b(order="O-1", **PAYMENT)
    assert len(heard) == 2
    assert (mpesa, ["event_id", "transaction"]) in heard
    assert "completed" in heard


def test_a_worker_sends_what_is_queued_until_it_is_told_to_stop(mpesa: Mpesa) -> None:
    queued = mpesa.c2b(order="O-1", send="worker", **PAYMENT)
    assert queued.state == "queued"
    said: list[str] = []
    worker = mpesa.worker(WorkerOptions(poll=0.05), echo=said.append)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert mpesa.wait(queued, timeout=30).state == "completed"
    finally:
        worker.stop()
        thread.join(30)
    assert not thread.is_alive()
    assert said[0].startswith("working for default")
    with pytest.raises(ConfigurationError, match="no M-Pesa account 'shop'"):
        mpesa.worker(account="shop")


@pytest.fixture
def pending(mpesa: Mpesa, mpesa_simulator: Simulator) -> Any:
    return accepted_payment(mpesa, mpesa_simulator, order="O-1", **PAYMENT)


def _call_back(mpesa: Mpesa, body: bytes, token: str = TOKEN, **options: Any) -> Any:
    return mpesa.answer_callback(token, body, **{"content_type": "application/json", **options})


def test_a_callback_moves_a_payment_on(mpesa: Mpesa, pending: Any) -> None:
    body = json.dumps(callback_body(pending)).encode()
    answer = _call_back(mpesa, body, remote_address="127.0.0.1")
    assert answer.status == 200
    assert answer.body["output_ResponseCode"] == "0"
    assert [one.state for one in mpesa.attempts("O-1")] == ["completed"]
    assert _call_back(mpesa, body).status == 200  # once more


@pytest.mark.parametrize(
    ("body", "token", "options", "status"),
    [
        (b"{}", "x" * 40, {}, 404),
        (b"{", TOKEN, {}, 400),
        (b"{}", TOKEN, {"content_type": "text/html"}, 415),
        (b" " * 65_537, TOKEN, {}, 413),
    ],
)
def test_what_is_no_callback_is_refused_and_nothing_raises(
    mpesa: Mpesa, pending: Any, body: bytes, token: str, options: Any, status: int
) -> None:
    assert _call_back(mpesa, body, token, **options).status == status
    assert mpesa.paid("O-1") is None


def test_who_sends_callbacks_nobody_expects_is_told_of(mpesa: Mpesa, pending: Any) -> None:
    heard: list[str] = []

    def hear(sender: Any, verdict: str, **values: Any) -> None:
        heard.append(verdict)

    with callback_rejected.connected_to(hear, sender=mpesa):
        body = callback_body(pending, input_ThirdPartyReference="NOBODYS")
        assert _call_back(mpesa, json.dumps(body).encode()).status == 200
    assert heard == ["unmatched"]


def test_a_browser_asks_by_a_link_where_a_payment_stands(mpesa: Mpesa, pending: Any) -> None:
    answer = mpesa.answer_status(mpesa.status_token(pending), "pt")
    assert answer.status == 200
    said = json.loads(answer.content)
    assert (said["state"], said["is_open"]) == ("pending", True)
    assert said["message"] == pending.customer_message("pt")
    assert mpesa.answer_status("forged").status == 404


def test_a_handler_that_is_given_up_is_told_of(
    mpesa: Mpesa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpesa_integrations.core.payments.handler_runs.MOST_ATTEMPTS", 1)
    heard: list[str] = []

    @mpesa.handler(payment_completed, name="breaks")
    def breaks(payment: Any) -> None:
        raise ValueError("no paper in the printer")

    def hear(sender: Any, handler: str, **values: Any) -> None:
        heard.append(handler)

    with handler_failed.connected_to(hear, sender=mpesa):
        mpesa.c2b(order="O-1", **PAYMENT)
    assert heard == ["breaks"]
    assert [left.handler for left in mpesa.unfinished_handlers()] == ["breaks"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"API_KEY": ""}, r"accounts\['default'\]: .*api_key"),
        ({"APIKEY": "x"}, r"accounts\['default'\]: .*APIKEY"),
        ({"SEND": "task"}, 'use "worker"'),
        ({"CALLBACK_BASE_URL": "http://shop.example"}, "CALLBACK_BASE_URL must be https"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(
    blocking: Engine, mpesa_simulator: Simulator, changes: Any, words: str
) -> None:
    records = Records(blocking, *MODELS)
    settings = account_settings(mpesa_simulator, **changes)
    with pytest.raises(ConfigurationError, match=words):
        Mpesa({"default": settings}, records=records, in_production=False)
    with pytest.raises(ConfigurationError, match="no account"):
        Mpesa({}, records=records)


def test_an_engine_that_payments_cannot_be_recorded_with_is_refused(
    mpesa_simulator: Simulator,
) -> None:
    pytest.importorskip("aiosqlite")
    for engine in (create_engine("sqlite://"), create_async_engine("sqlite+aiosqlite://")):
        with pytest.raises(ConfigurationError, match="one connection for everybody"):
            Mpesa({"default": account_settings(mpesa_simulator)}, records=Records(engine, *MODELS))


def test_beside_an_asynchronous_engine_one_that_blocks_is_made_once_and_ends_with_it(
    tmp_path: Path,
) -> None:
    pytest.importorskip("aiosqlite")
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    records = Records(lambda: engine, *MODELS)
    Base.metadata.create_all(records.engine)
    first = records.engine
    assert records.engine is first
    assert first.driver == "pysqlite"
    asyncio.run(engine.dispose())
    assert records.engine is not first
    records.engine.dispose()


def test_a_forked_process_shares_no_connection_beside_an_asynchronous_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiosqlite")
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    records = Records(lambda: engine, *MODELS)
    first = records.engine
    closed: list[Any] = []
    event.listen(first.pool, "close", lambda connection, record: closed.append(connection))
    with first.connect():
        pass
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        assert records.engine.pool is not first.pool
        asyncio.run(engine.dispose(close=False))
    assert closed == []
    assert records.engine.pool is first.pool
    asyncio.run(engine.dispose())
    assert len(closed) == 1


@pytest.mark.parametrize(
    ("options", "kind", "limit"),
    [
        ({"pool_size": 1, "max_overflow": 2, "pool_timeout": 3, "pool_recycle": 4}, QueuePool, 3),
        ({"poolclass": NullPool}, NullPool, None),
    ],
)
def test_the_pool_beside_an_asynchronous_engine_is_like_its_own(
    tmp_path: Path, options: dict[str, Any], kind: Any, limit: int | None
) -> None:
    pytest.importorskip("aiosqlite")
    url = f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}"
    records = Records(create_async_engine(url, **options), *MODELS)
    pools: list[Any] = [records.engine.pool, records.library_engine.pool]
    for pool in pools:
        assert type(pool) is kind
        assert kind is NullPool or (pool.size(), pool.timeout(), pool._recycle) == (1, 3, 4)
    assert records.pool_size() == limit


@pytest.mark.parametrize(
    ("url", "drivers"),
    [
        ("postgresql+asyncpg://u:p@127.0.0.1:1/x?ssl=require", ["asyncpg", "psycopg"]),
        ("mysql+aiomysql://u:p@127.0.0.1:1/x?maxsize=3", ["aiomysql", "pymysql"]),
    ],
)
def test_what_the_driver_beside_an_asynchronous_one_does_not_know_is_said(
    url: str, drivers: list[str]
) -> None:
    for driver in drivers:
        pytest.importorskip(driver)
    store = Records(create_async_engine(url), *MODELS).store("default")
    with pytest.raises(ConfigurationError, match=r"give Records an engine of create_engine\(\)"):
        store.isolated(store.oldest_open)


def test_engines_of_one_pool_have_one_beside_them_with_their_options(tmp_path: Path) -> None:
    pytest.importorskip("aiosqlite")
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    options = {"schema_translate_map": {None: "main"}}
    records = Records(lambda: engine.execution_options(**options), *MODELS)
    first = records.engine
    assert first.get_execution_options() == options
    assert records.engine.pool is first.pool
    assert records.library_engine.pool is records.library_engine.pool
    asyncio.run(engine.dispose())
    assert records.engine.pool is not first.pool


def test_the_calls_give_the_programs_own_payments(
    blocking: Engine, mpesa_simulator: Simulator
) -> None:
    records = Records(blocking, Payment, PaymentCallback, PaymentOutboxEntry)
    assert_type(records, Records[Payment])
    Base.metadata.create_all(records.engine)
    accounts = {"default": account_settings(mpesa_simulator)}
    mpesa = Mpesa(accounts, records=records, in_production=False)
    assert_type(mpesa, Mpesa[Payment])
    payment = mpesa.c2b(order="O-1", **PAYMENT)
    assert_type(payment, Payment)
    assert type(payment) is Payment
    attempts = asyncio.run(_close_after(mpesa, mpesa.aattempts("O-1")))
    assert [type(attempt) for attempt in attempts] == [Payment]
    mpesa.forget()


async def _typed(mpesa: Mpesa[Payment]) -> None:
    assert_type(await mpesa.ac2b(order="O-1", **PAYMENT), Payment)
    assert_type(await mpesa["payouts"].aattempts("O-1"), list[Payment])
