"""Durable handlers of a Flask app: each in a context and one transaction of its own."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask, current_app, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    object_session,
    scoped_session,
    sessionmaker,
)

from flask_mpesa import Mpesa, signals
from flask_mpesa.records import CallbackLogMixin, OutboxMixin, Records, TransactionMixin
from mpesa_integrations.core.payments.handler_runs import Ran
from mpesa_integrations.core.payments.schedule import MOST_ATTEMPTS
from mpesa_integrations.signals import notifier
from mpesa_integrations.simulator import Simulator
from tests.support.awaitables import Disguise, each_disguise

from .conftest import flat_config

_REQUEST = ContextVar("request", default="none")
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


class Parts(NamedTuple):
    base: Any
    engine: Callable[[], Any]
    session: Callable[[], Session] | None
    """What the app gives Records, and its code uses."""
    own: Callable[[Any], Any]
    """The session that the shop's code has in a handler."""


def _flask_sqlalchemy(app: Flask, url: str) -> Parts:
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db = SQLAlchemy(app)
    return Parts(db.Model, lambda: db.engine, None, lambda payment: db.session)


def _flask_sqlalchemy_with_several_databases(app: Flask, url: str) -> Parts:
    app.config["SQLALCHEMY_DATABASE_URI"] = url.replace("shop.db", "other.db")
    app.config["SQLALCHEMY_BINDS"] = {"payments": url}
    db = SQLAlchemy(app)

    class Base(db.Model):  # type: ignore[name-defined,misc]
        __abstract__ = True
        __bind_key__ = "payments"

    return Parts(Base, lambda: db.engines["payments"], None, lambda payment: db.session)


def _flask_sqlalchemy_with_other_models(app: Flask, url: str) -> Parts:
    class Base(DeclarativeBase):
        pass

    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db = SQLAlchemy(app)
    return Parts(Base, lambda: db.engine, db.session, lambda payment: db.session)


def _flask_sqlalchemy_lite(app: Flask, url: str) -> Parts:
    # It needs Flask 3; Flask 2.3 is supported without it.
    lite = pytest.importorskip("flask_sqlalchemy_lite", exc_type=ImportError)

    class Base(DeclarativeBase):
        pass

    app.config["SQLALCHEMY_ENGINES"] = {"default": url}
    db = lite.SQLAlchemy(app)
    return Parts(Base, lambda: db.engine, lambda: db.session, lambda payment: db.session)


def _scoped_session(app: Flask, url: str) -> Parts:
    class Base(DeclarativeBase):
        pass

    engine = create_engine(url)
    session = scoped_session(sessionmaker(engine))
    app.teardown_appcontext(lambda error: session.remove())
    return Parts(Base, lambda: engine, session, lambda payment: session)


def _session_of_a_request(app: Flask, url: str) -> Parts:
    class Base(DeclarativeBase):
        pass

    engine = create_engine(url)
    session = scoped_session(sessionmaker(engine), scopefunc=_REQUEST.get)
    return Parts(Base, lambda: engine, session, lambda payment: session)


def _session_of_a_request_by_a_function(app: Flask, url: str) -> Parts:
    parts = _session_of_a_request(app, url)
    return parts._replace(session=lambda: parts.own(None))


def _no_session(app: Flask, url: str) -> Parts:
    class Base(DeclarativeBase):
        pass

    engine = create_engine(url)
    return Parts(Base, lambda: engine, None, object_session)


class Shop(NamedTuple):
    app: Flask
    mpesa: Mpesa
    parts: Parts
    basket: Any
    outbox: Any

    def notes(self) -> list[str]:
        with Session(self.parts.engine()) as another:
            return list(another.scalars(select(self.basket.note).order_by(self.basket.id)))

    def note(self, payment: Any, text: str) -> None:
        self.parts.own(payment).add(self.basket(note=text))

    def make_due(self) -> None:
        with Session(self.parts.engine()) as another, another.begin():
            for row in another.scalars(select(self.outbox)):
                row.due_at = row.due_at.replace(year=2020)


@pytest.fixture(
    params=[
        _flask_sqlalchemy,
        _flask_sqlalchemy_with_several_databases,
        _flask_sqlalchemy_with_other_models,
        _flask_sqlalchemy_lite,
        _scoped_session,
        _no_session,
    ]
)
def shop(
    request: pytest.FixtureRequest, mpesa_simulator: Simulator, tmp_path: Path
) -> Iterator[Shop]:
    mpesa = Mpesa()
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    parts = request.param(app, f"sqlite:///{tmp_path / 'shop.db'}")

    class Payment(TransactionMixin, parts.base):  # type: ignore[name-defined,misc]
        __tablename__ = "payment"

    class PaymentCallback(CallbackLogMixin, parts.base):  # type: ignore[name-defined,misc]
        __tablename__ = "payment_callback"

    class PaymentOutboxEntry(OutboxMixin, parts.base):  # type: ignore[name-defined,misc]
        __tablename__ = "payment_outbox_entry"

    class Basket(parts.base):  # type: ignore[name-defined,misc]
        __tablename__ = "basket"

        id: Mapped[int] = mapped_column(primary_key=True)
        note: Mapped[str] = mapped_column(default="")

    records = Records(
        parts.engine, Payment, PaymentCallback, PaymentOutboxEntry, session=parts.session
    )
    mpesa.init_app(app, records=records)
    with app.app_context():
        parts.base.metadata.create_all(parts.engine())
        yield Shop(app, mpesa, parts, Basket, PaymentOutboxEntry)
        app.extensions["mpesa"].forget()
        parts.engine().dispose()


def test_what_a_handler_writes_is_committed_with_its_row_and_the_payment_is_in_its_session(
    shop: Shop,
) -> None:
    seen: list[Any] = []

    @shop.mpesa.handler(signals.payment_completed)
    def ship(payment: Any) -> None:
        g.receiver = "my own"
        shop.note(payment, f"ship {payment.reference}")
        session = object_session(payment)
        seen.append((session is not None, current_app.name, payment.state))
        payment.metadata_ = {"shipped": True}

    g.receiver = "the view's"
    paid = shop.mpesa.c2b(**PAYMENT)
    assert (paid.state, seen) == ("completed", [(True, "shop", "completed")])
    assert (shop.notes(), g.receiver) == (["ship ORDER 7"], "the view's")
    assert paid.metadata_ == {"shipped": True}
    assert shop.mpesa.unfinished_handlers() == []


def test_one_that_raises_is_undone_and_tried_again(shop: Shop) -> None:
    fails = [True]

    @shop.mpesa.handler("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        shop.note(payment, "ship")
        shop.parts.own(payment).flush()
        if fails:
            raise ValueError

    @shop.mpesa.handler("payment_completed", name="mail")
    def mail(payment: Any) -> None:
        shop.note(payment, "mail")

    assert shop.mpesa.c2b(**PAYMENT).state == "completed"
    assert shop.notes() == ["mail"]
    fails.clear()
    shop.make_due()
    shop.mpesa.reconcile()
    assert shop.notes() == ["mail", "ship"]


def test_the_row_outlives_a_commit_of_the_handlers_own(shop: Shop) -> None:
    @shop.mpesa.handler("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        shop.note(payment, "ship")
        shop.parts.own(payment).commit()
        raise ValueError

    shop.mpesa.c2b(**PAYMENT)
    assert shop.notes() == ["ship"]
    assert [left.attempts for left in shop.mpesa.unfinished_handlers()] == [1]


def test_a_handlers_code_may_not_write_the_librarys_columns(shop: Shop) -> None:
    @shop.mpesa.handler("payment_completed", name="cheat")
    def cheat(payment: Any) -> None:
        payment.state = "failed"

    assert shop.mpesa.c2b(**PAYMENT).state == "completed"
    (left,) = shop.mpesa.unfinished_handlers()
    assert left.problem.startswith("ProtectedRecord in ")


@pytest.mark.parametrize("shop", [_flask_sqlalchemy], indirect=True)
@each_disguise
def test_an_asynchronous_handler_is_run_to_its_end(shop: Shop, disguise: Disguise) -> None:
    fails = [True]

    async def ship(payment: Any) -> None:
        await asyncio.sleep(0)
        shop.note(payment, "ship")
        if fails:
            raise ValueError

    shop.mpesa.handler("payment_completed", name="ship")(disguise(ship))
    shop.mpesa.c2b(**PAYMENT)
    (left,) = shop.mpesa.unfinished_handlers()
    assert left.problem.startswith("ValueError")
    fails.clear()
    assert shop.mpesa.run_again(left.event_id) is Ran.DONE
    assert shop.notes() == ["ship"]


@pytest.mark.filterwarnings("error::RuntimeWarning")  # a coroutine that nobody awaits
@pytest.mark.parametrize("shop", [_flask_sqlalchemy], indirect=True)
@each_disguise
def test_without_the_extra_for_coroutines_an_asynchronous_handler_is_not_settled(
    shop: Shop, disguise: Disguise, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ship(payment: Any) -> None: ...

    monkeypatch.setitem(sys.modules, "asgiref.sync", None)
    shop.mpesa.handler("payment_completed", name="ship")(disguise(ship))
    shop.mpesa.c2b(**PAYMENT)
    (left,) = shop.mpesa.unfinished_handlers()
    assert left.problem.startswith("RuntimeError")


@pytest.mark.parametrize("shop", [_flask_sqlalchemy], indirect=True)
def test_a_slow_one_does_not_keep_the_caller(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifier, "PATIENCE", 0.05)
    go_on = threading.Event()

    @shop.mpesa.handler("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        go_on.wait(10)

    assert shop.mpesa.c2b(**PAYMENT).state == "completed"
    assert "signal.receiver_slow handler=ship" in caplog.text
    (thread,) = [one for one in threading.enumerate() if one.name == "mpesa-handler=ship"]
    go_on.set()
    thread.join(10)
    assert shop.mpesa.unfinished_handlers() == []


@pytest.mark.parametrize("shop", [_flask_sqlalchemy], indirect=True)
def test_a_person_is_told_by_a_signal(shop: Shop) -> None:
    told: list[Any] = []

    @shop.mpesa.handler("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        raise ValueError

    def tell(app: Flask, *, transaction: Any, handler: str, event_id: str) -> None:
        told.append((app.name, transaction.reference, handler, event_id))

    with signals.handler_failed.connected_to(tell):
        shop.mpesa.c2b(**PAYMENT)
        for _ in range(MOST_ATTEMPTS):
            shop.make_due()
            shop.mpesa.reconcile()
    (left,) = shop.mpesa.unfinished_handlers()
    assert told == [("shop", "ORDER 7", "ship", left.event_id)]


@pytest.mark.parametrize(
    "shop", [_session_of_a_request, _session_of_a_request_by_a_function], indirect=True
)
def test_a_handler_is_not_given_the_session_of_the_calling_code(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """As one is whose scope goes along with the context into the handler's thread."""

    @shop.mpesa.handler("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        shop.note(payment, "ship")

    session = shop.parts.own(None)
    mine = session()
    half_done = shop.basket(note="half done")
    mine.add(half_done)  # not flushed: SQLite has one writer
    assert shop.mpesa.c2b(**PAYMENT).state == "completed"
    (left,) = shop.mpesa.unfinished_handlers()
    assert left.problem.startswith("ConfigurationError")
    assert "each thread, or each Flask app context, a session of its own" in caplog.text
    assert (shop.notes(), half_done in mine, mine.in_transaction()) == ([], True, True)
    session.remove()
    assert shop.mpesa.run_again(left.event_id) is Ran.DONE
    assert shop.notes() == ["ship"]


def test_one_extension_serves_apps_that_are_made_later(mpesa_simulator: Simulator) -> None:
    """Without a database: what failed is tried again as long as the process lives."""
    mpesa = Mpesa()
    called: list[str] = []
    fails = [True]

    @mpesa.handler(signals.payment_completed, name="ship")
    def ship(payment: Any) -> None:
        called.append(payment.reference)
        if fails:
            raise ValueError

    @mpesa.handler(signals.payment_completed, name="book")
    def book(payment: Any) -> None:
        called.append("book")

    for name in ("one", "two"):
        app = Flask(name)
        app.config.update(flat_config(mpesa_simulator), TESTING=True)
        with pytest.warns(UserWarning, match="no records"):
            mpesa.init_app(app)
        called.clear()
        with app.app_context():
            assert mpesa.c2b(**PAYMENT).state == "completed"
            assert called == ["ORDER 7", "book"]
            (left,) = mpesa.unfinished_handlers()
            assert (left.handler, left.attempts) == ("ship", 1)
            fails.clear()
            assert mpesa.run_again(left.event_id) is Ran.DONE
            assert mpesa.unfinished_handlers() == []
        fails.append(True)
        app.extensions["mpesa"].forget()


def test_without_a_database_what_failed_is_tried_again_in_order_by_the_same_process(
    mpesa_simulator: Simulator,
) -> None:
    mpesa = Mpesa()
    done: list[str] = []
    tries: list[str] = []

    @mpesa.handler(signals.payment_completed, name="ship")
    def ship(payment: Any) -> None:
        tries.append("ship")
        if len(tries) <= MOST_ATTEMPTS:
            raise ValueError
        done.append("ship")

    @mpesa.handler(signals.payment_reversed, name="take back")
    def take_back(payment: Any) -> None:
        done.append("take back")

    app = Flask("light")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with pytest.warns(UserWarning, match="no records"):
        mpesa.init_app(app)
    with app.app_context():
        paid = mpesa.c2b(**PAYMENT)
        mpesa.reverse(transaction_id=paid.transaction_id)
        assert mpesa.reconcile().dispatched == 0  # its time has not come
        store = mpesa["default"].store
        for _ in range(MOST_ATTEMPTS + 1):
            for left in mpesa.unfinished_handlers():
                store.defer_outbox([left.event_id], left.next_try_at.replace(year=2020))
            mpesa.reconcile()
        first, second = mpesa.unfinished_handlers()
        assert (first.attempts, first.given_up_at is None) == (MOST_ATTEMPTS, False)
        assert (second.handler, second.attempts, done) == ("take back", 0, [])
        assert mpesa.run_again(first.event_id) is Ran.DONE
        assert (done, mpesa.unfinished_handlers()) == (["ship", "take back"], [])
    app.extensions["mpesa"].forget()
