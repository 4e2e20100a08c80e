"""The SQLAlchemy store's connections: beside the app's pool, and outside of the caller's session.

Some of it needs a server: MPESA_TEST_DATABASE=postgresql or mariadb.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, event, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session

from flask_mpesa.records import CallbackLogMixin, OutboxMixin, Records, TransactionMixin
from mpesa_integrations.core.errors import RecordLocked, RecordsUnavailable
from mpesa_integrations.core.payments import persistence
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.handler_runs import Ran
from mpesa_integrations.core.payments.handlers import Handlers
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.persistence import persist
from mpesa_integrations.core.payments.records import Change, OutboxEntry
from mpesa_integrations.core.payments.schedule import utc_now
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.sqlalchemy import connections, sessions
from mpesa_integrations.sqlalchemy.claims import skips_locked
from mpesa_integrations.sqlalchemy.protection import THE_LIBRARY

from .backends import Payment, PaymentCallback, PaymentOutboxEntry, SqlAlchemyBackend
from .conftest import Heard
from .test_payments import PAYMENT

_PID = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
_END = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
MakeEngine = Callable[..., Engine]


@pytest.fixture
def backend(_sqlalchemy_backend: SqlAlchemyBackend, transactional_db: None) -> SqlAlchemyBackend:
    _sqlalchemy_backend.empty()
    return _sqlalchemy_backend


@pytest.fixture
def make_engine(backend: SqlAlchemyBackend) -> Iterator[MakeEngine]:
    """The app's engine, with a pool, as most apps have it."""
    made: list[Engine] = []

    def make(**options: Any) -> Engine:
        if backend.engine.dialect.name == "sqlite":
            options.setdefault("connect_args", {"timeout": 20})
        made.append(create_engine(backend.engine.url, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine(pool_size=5, max_overflow=2, pool_timeout=5)


@pytest.fixture
def server(engine: Engine) -> str:
    if engine.dialect.name == "sqlite":
        pytest.skip("needs a server")
    return "mysql" if engine.dialect.name == "mariadb" else engine.dialect.name


@pytest.fixture
def no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time flies: whatever fails has failed for longer than is waited for."""
    monkeypatch.setattr(persistence, "clock", itertools.count(0, 60).__next__)


@pytest.fixture
def make(mpesa_simulator: Simulator, heard: Heard) -> Iterator[Callable[..., Payments[Any, Any]]]:
    made: list[Payments[Any, Any]] = []

    def build(engine: Engine, handlers: Handlers | None = None) -> Payments[Any, Any]:
        settings = AccountSettings(config=replace(mpesa_simulator.config, timeout=(5, 5)))
        kept = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry).store("default")
        made.append(Payments("default", settings, kept, heard, handlers))
        return made[-1]

    yield build
    for payments in made:
        payments.client.close()


@pytest.fixture
def payments(make: Callable[..., Payments[Any, Any]], engine: Engine) -> Payments[Any, Any]:
    return make(engine)


def _while_waiting(
    payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]
) -> None:
    """Have something happen once the gateway has the request and before its answer is here."""
    send = payments.client.send

    def sent(request: Any) -> Any:
        answer = send(request)
        call()
        return answer

    monkeypatch.setattr(payments.client, "send", sent)


def test_views_that_hold_a_session_all_pay(
    payments: Payments[Any, Any], engine: Engine, backend: SqlAlchemyBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    holding = threading.Semaphore(0)
    began = threading.Event()
    _while_waiting(payments, monkeypatch, began.wait)  # as slow as the others need it

    def view(number: int) -> str:
        with Session(engine) as mine:
            mine.execute(select(Payment.id).limit(1)).all()
            holding.release()
            return str(payments.c2b(**PAYMENT).state)

    with ThreadPoolExecutor(20) as pool:
        views = [pool.submit(view, number) for number in range(20)]
        for _ in range(7):  # all that the app's pool has
            assert holding.acquire(timeout=10)
        began.set()
        assert [found.result(30) for found in views] == ["completed"] * 20
    assert {record.state for record in backend.records()} == {"completed"}


def test_a_pool_that_is_used_up_raises_before_sending_and_is_outlived_after_it(
    make: Callable[..., Payments[Any, Any]], make_engine: MakeEngine, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, backend: SqlAlchemyBackend,
) -> None:  # fmt: skip
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.02)
    payments = make(engine)
    taken = connections.own_engine(engine).connect()
    with monkeypatch.context() as patch:
        patch.setattr(persistence, "clock", itertools.count(0, 60).__next__)
        with pytest.raises(RecordsUnavailable, match=r"^Nothing was sent\. No connection"):
            payments.c2b(**PAYMENT)
    assert mpesa_simulator.ledger.transactions() == []
    taken.close()

    def take() -> None:
        nonlocal taken
        taken = connections.own_engine(engine).connect()

    _while_waiting(payments, monkeypatch, take)
    monkeypatch.setattr(persistence, "sleep", lambda seconds: taken.close())
    assert payments.c2b(**PAYMENT).state == "completed"
    assert [record.state for record in backend.records()] == ["completed"]


def test_a_server_that_hangs_up_while_the_customer_types_is_written_to_anew(
    payments: Payments[Any, Any], engine: Engine, server: str, backend: SqlAlchemyBackend,
    monkeypatch: pytest.MonkeyPatch, heard: Heard,
) -> None:  # fmt: skip
    ended: list[int] = []

    def hang_up() -> None:
        with connections.own_engine(engine).connect() as ours:
            ended.append(ours.exec_driver_sql(_PID[server]).scalar_one())
        with backend.engine.connect() as other:
            other.exec_driver_sql(_END[server].format(ended[-1]))

    _while_waiting(payments, monkeypatch, hang_up)
    record = payments.c2b(**PAYMENT)
    (kept,) = backend.records()
    assert (record.state, kept.state) == ("completed", "completed")
    assert kept.transaction_id == record.transaction_id
    assert heard.names == ["initiated", "completed"]
    assert len(ended) == 1


def test_a_callers_snapshot_hides_no_payment_from_a_call(
    payments: Payments[Any, Any], engine: Engine, server: str
) -> None:
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    count = select(func.count()).select_from(Payment)
    with Session(snapshot) as mine:
        assert mine.scalar(count) == 0
        paid = payments.c2b(**PAYMENT, idempotency_key="order-7")
        assert payments.c2b(**PAYMENT, idempotency_key="order-7").pk == paid.pk
        back = payments.reverse(transaction_id=paid.transaction_id, idempotency_key="back")
        assert payments.reverse(
            transaction_id=paid.transaction_id, idempotency_key="back"
        ).pk == back.pk  # fmt: skip
        assert payments.check(paid).state == "reversed"
        assert mine.scalar(count) == 0


def test_a_row_that_the_caller_has_locked_ends_a_reversal_before_it_is_sent(
    make: Callable[..., Payments[Any, Any]], make_engine: MakeEngine, server: str,
    mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch, no_second_try: None,
) -> None:  # fmt: skip
    monkeypatch.setattr(sessions, "_LOCK_TIMEOUT", text("SET LOCAL lock_timeout = '200ms'"))
    monkeypatch.setattr(connections, "LOCK_TIMEOUT", 1)
    engine = make_engine()
    payments = make(engine)
    paid = payments.c2b(**PAYMENT)
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    lost = payments.c2b(**PAYMENT)
    with Session(engine) as mine:
        mine.scalars(select(Payment).with_for_update()).all()
        words = r"^Nothing was sent\. A row stayed locked .* with_for_update\(\)"
        with pytest.raises(RecordLocked, match=words):
            payments.reverse(transaction_id=paid.transaction_id)
        for call in (
            lambda: payments.check(lost),  # a query was sent: it does not say that nothing was
            lambda: payments.link(paid, order_id=7),
            lambda: persist(payments.store, lambda: payments.store.make_due(utc_now())),
        ):
            with pytest.raises(RecordLocked, match=r"^A row stayed locked"):
                call()
    assert len(mpesa_simulator.ledger.transactions()) == 2
    assert payments.reverse(transaction_id=paid.transaction_id).state == "completed"


class Shop(DeclarativeBase):
    pass


class Order(Shop):
    __tablename__ = "contract_shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)


class OrderPayment(TransactionMixin, Shop):
    __tablename__ = "contract_shop_payment"
    order_id: Mapped[int | None] = mapped_column(ForeignKey(Order.id))


class OrderCallback(CallbackLogMixin, Shop):
    __tablename__ = "contract_shop_callback"


class OrderOutboxEntry(OutboxMixin, Shop):
    __tablename__ = "contract_shop_outbox_entry"


@pytest.fixture
def shop(make_engine: MakeEngine) -> Iterator[Engine]:
    """A shop whose payments refer to its orders."""
    engine = make_engine()
    Shop.metadata.create_all(engine)
    yield engine
    Shop.metadata.drop_all(engine)


def test_an_order_that_the_caller_has_locked_ends_its_payment_before_it_is_sent(
    shop: Engine, server: str, mpesa_simulator: Simulator, heard: Heard,
    monkeypatch: pytest.MonkeyPatch, no_second_try: None,
) -> None:  # fmt: skip
    monkeypatch.setattr(sessions, "_LOCK_TIMEOUT", text("SET LOCAL lock_timeout = '200ms'"))
    monkeypatch.setattr(connections, "LOCK_TIMEOUT", 1)
    kept = Records(shop, OrderPayment, OrderCallback, OrderOutboxEntry).store("default")
    settings = AccountSettings(config=mpesa_simulator.config)
    payments: Payments[Any, Any] = Payments("default", settings, kept, heard)
    with Session(shop) as mine:
        mine.add(Order(id=7))
        mine.commit()
        mine.scalars(select(Order).with_for_update()).one()
        with pytest.raises(RecordLocked, match=r"^Nothing was sent\. A row stayed locked"):
            payments.c2b(**PAYMENT, order_id=7)
        assert mpesa_simulator.ledger.transactions() == []
        mine.commit()
        assert payments.c2b(**PAYMENT, order_id=7).state == "completed"
    payments.client.close()


def test_a_row_that_is_locked_after_sending_does_not_make_the_call_raise(
    make: Callable[..., Payments[Any, Any]], make_engine: MakeEngine, server: str,
    monkeypatch: pytest.MonkeyPatch, no_second_try: None,
) -> None:  # fmt: skip
    monkeypatch.setattr(sessions, "_LOCK_TIMEOUT", text("SET LOCAL lock_timeout = '200ms'"))
    monkeypatch.setattr(connections, "LOCK_TIMEOUT", 1)
    engine = make_engine()
    payments = make(engine)
    with Session(engine) as mine:
        _while_waiting(
            payments, monkeypatch, lambda: mine.scalars(select(Payment).with_for_update()).all()
        )
        assert payments.c2b(**PAYMENT).state == "completed"


def test_times_are_in_utc_whatever_zone_the_server_shows(
    make: Callable[..., Payments[Any, Any]], make_engine: MakeEngine, server: str,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    if server != "postgresql":
        pytest.skip("the others keep no zone")
    payments = make(make_engine(connect_args={"options": "-c timezone=Africa/Maputo"}))
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    lost = payments.c2b(**PAYMENT)
    times = [lost.created_at, lost.next_check_at, payments.store.to_be_checked()[1]]
    assert {time and time.utcoffset() for time in times} == {timedelta()}


@pytest.fixture(params=["engine", "options"])
def autocommit(request: pytest.FixtureRequest, make_engine: MakeEngine) -> Engine:
    """An app's engine that commits each statement."""
    if request.param == "engine":
        return make_engine(isolation_level="AUTOCOMMIT")
    return make_engine().execution_options(isolation_level="AUTOCOMMIT")


def test_a_change_is_whole_also_where_the_apps_engine_commits_each_statement(
    make: Callable[..., Payments[Any, Any]], autocommit: Engine, backend: SqlAlchemyBackend
) -> None:
    payments = make(autocommit)
    paid = payments.c2b(**PAYMENT)
    twice = OutboxEntry(Event.PAYMENT_CONFLICT)
    change = Change(
        values={"conflict": "x"}, outbox=[twice, OutboxEntry(Event.PAYMENT_CONFLICT, twice.id)]
    )
    with pytest.raises(IntegrityError):
        payments.store.change(paid, State.COMPLETED, change)
    assert backend.records()[0].conflict == ""


def test_a_handler_is_undone_also_where_the_apps_engine_commits_each_statement(
    make: Callable[..., Payments[Any, Any]], autocommit: Engine, backend: SqlAlchemyBackend
) -> None:
    handlers = Handlers()
    payments = make(autocommit, handlers)
    fails = [True]

    @handlers.register("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        payment.metadata_ = {"done": [*payment.metadata_.get("done", []), "ship"]}
        session = object_session(payment)
        assert session is not None
        session.flush()
        if fails:
            raise ValueError

    payments.c2b(**PAYMENT)
    assert backend.records()[0].metadata_ == {}
    (left,) = payments.unfinished_handlers()
    fails.clear()
    assert payments.run_again(left.event_id) is Ran.DONE
    assert backend.records()[0].metadata_ == {"done": ["ship"]}


def test_a_session_whose_engine_has_not_connected_yet_may_pass_over_locked_rows(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    with Session(engine) as session:
        assert skips_locked(session, PaymentOutboxEntry) is (engine.dialect.name != "sqlite")


def test_ours_end_with_the_apps_and_a_fork_shares_none(
    engine: Engine, payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Any] = []
    first = connections.own_engine(engine)
    event.listen(first.pool, "close", lambda connection, record: closed.append(connection))
    payments.c2b(**PAYMENT)
    assert connections.own_engine(engine) is first
    assert first.pool.checkedin() == 1  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        child = connections.own_engine(engine)
        assert child.pool is not first.pool
        engine.dispose(close=False)
    assert closed == []
    payments.c2b(**PAYMENT)
    engine.dispose()
    assert len(closed) == 1
    assert connections.own_engine(engine).pool is not first.pool
    assert payments.c2b(**PAYMENT).state == "completed"


def test_our_engine_keeps_what_the_apps_has_and_shows_no_values(make_engine: MakeEngine) -> None:
    engine = make_engine(json_serializer=lambda value: "{}", pool_pre_ping=True)
    seen: list[str] = []
    event.listen(engine, "connect", lambda *args: seen.append("connect"))
    event.listen(engine, "before_cursor_execute", lambda *args: seen.append("execute"))
    options = {"schema_translate_map": {None: None}}

    def given() -> Engine:
        return engine.execution_options(**options)

    kept = Records(given, Payment, PaymentCallback, PaymentOutboxEntry)
    pools = set()
    for _ in range(2):
        pools.add(kept.library_engine.pool)
        with kept.library_engine.connect() as connection:
            connection.execute(select(1))
    assert seen.count("execute") == 2
    assert seen.count("connect") == 1
    assert pools.isdisjoint({engine.pool})
    assert len(pools) == 1
    assert kept.library_engine.get_execution_options() == {**options, **THE_LIBRARY}
    assert kept.library_engine.dialect is engine.dialect
    assert (kept.library_engine.hide_parameters, engine.hide_parameters) == (True, False)
    closed: list[Any] = []
    event.listen(pools.pop(), "close", lambda connection, record: closed.append(connection))
    engine.dispose()
    assert len(closed) == 1, "ours end with the engine, of which the app gives one with options"


def test_threads_that_begin_at_once_have_one_pool(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recreate = engine.pool.recreate
    of_another_thread: list[Engine] = []

    def slow() -> Any:
        if not of_another_thread:
            of_another_thread.append(engine)
            of_another_thread[0] = connections.own_engine(engine)
        return recreate()

    monkeypatch.setattr(engine.pool, "recreate", slow)
    assert connections.own_engine(engine).pool is of_another_thread[0].pool
