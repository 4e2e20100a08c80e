"""Each receiver of a signal has an app context, a session and a record of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask, current_app, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, create_engine, inspect, select
from sqlalchemy.orm import Mapped, Session, attributes, mapped_column, scoped_session, sessionmaker

from flask_mpesa import Mpesa, signals
from flask_mpesa.records import Records
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.signals import notifier
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.awaitables import Disguise, each_disguise
from tests.support.waiting import until

from .conftest import flat_config
from .models import Base, Payment, PaymentCallback, PaymentOutboxEntry

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


class Basket(Base):
    __tablename__ = "basket"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str] = mapped_column(default="")


class Shop(NamedTuple):
    app: Flask
    mpesa: Mpesa
    engine: Engine
    session: Callable[[], Session]
    """The session that the code at hand has, as views and receivers get it."""

    def notes(self) -> list[str]:
        with Session(self.engine) as another:
            return list(another.scalars(select(Basket.note).order_by(Basket.id)))


def _flask_sqlalchemy(app: Flask, url: str) -> tuple[Engine, Callable[[], Session]]:
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db = SQLAlchemy(app, model_class=Base)
    with app.app_context():
        return db.engine, lambda: db.session()


def _flask_sqlalchemy_lite(app: Flask, url: str) -> tuple[Engine, Callable[[], Session]]:
    # It needs Flask 3; Flask 2.3 is supported without it.
    lite = pytest.importorskip("flask_sqlalchemy_lite", exc_type=ImportError)
    app.config["SQLALCHEMY_ENGINES"] = {"default": url}
    db = lite.SQLAlchemy(app)
    with app.app_context():
        return db.engine, lambda: db.session


def _scoped_session(app: Flask, url: str) -> tuple[Engine, Callable[[], Session]]:
    """One for each thread, as Flask's documentation shows it."""
    engine = create_engine(url)
    session = scoped_session(sessionmaker(engine))
    app.teardown_appcontext(lambda error: session.remove())
    return engine, lambda: session()


@pytest.fixture(params=[_flask_sqlalchemy, _flask_sqlalchemy_lite, _scoped_session])
def shop(
    request: pytest.FixtureRequest, mpesa_simulator: Simulator, tmp_path: Path
) -> Iterator[Shop]:
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    engine, session = request.param(app, f"sqlite:///{tmp_path / 'shop.db'}")
    Base.metadata.create_all(engine)
    mpesa = Mpesa(app, records=Records(engine, Payment, PaymentCallback, PaymentOutboxEntry))
    yield Shop(app, mpesa, engine, session)
    app.extensions["mpesa"].forget()
    engine.dispose()


def _connected(*receivers: Callable[..., Any], to: Any = signals.payment_completed) -> ExitStack:
    stack = ExitStack()
    for receiver in receivers:
        stack.callback(to.disconnect, to.connect(receiver, weak=False))
    return stack


def test_a_receiver_that_raises_harms_neither_others_nor_the_view(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(app: Flask, **values: Any) -> None:
        session = shop.session()
        session.add(Basket(id=1))
        session.flush()
        session.add(Basket(id=1))
        session.flush()  # the session can only be rolled back after this

    def ship(app: Flask, transaction: Any, **values: Any) -> None:
        shop.session().add(Basket(note=f"ship {transaction.reference}"))
        shop.session().commit()

    @shop.app.post("/pay")
    def pay() -> str:
        state = shop.mpesa.c2b(**PAYMENT).state
        shop.session().add(Basket(note="the view's"))
        shop.session().commit()
        return str(state)

    with _connected(broken, ship, partial(broken)):
        answer = shop.app.test_client().post("/pay")
    assert (answer.status_code, answer.text) == (200, "completed")
    assert sorted(shop.notes()) == ["ship ORDER 7", "the view's"]
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert errors == ["signal.receiver_failed signal=payment_completed"] * 2


def test_a_receivers_commit_does_not_commit_what_the_view_holds(shop: Shop) -> None:
    def commit(app: Flask, **values: Any) -> None:
        shop.session().commit()

    def roll_back(app: Flask, **values: Any) -> None:
        shop.session().rollback()

    @shop.app.post("/pay")
    def pay() -> str:
        mine = shop.session()
        basket = Basket(note="half-done")
        mine.add(basket)  # held, not flushed: SQLite has one writer
        shop.mpesa.c2b(**PAYMENT)
        assert shop.notes() == []
        assert shop.session() is mine
        assert basket in mine.new
        mine.commit()
        return "done"

    with _connected(commit, roll_back):
        assert shop.app.test_client().post("/pay").text == "done"
    assert shop.notes() == ["half-done"]


def test_each_receiver_has_a_record_of_its_own_as_it_now_is(shop: Shop) -> None:
    seen: list[Any] = []

    def count(app: Flask, transaction: Any, **values: Any) -> None:
        assert inspect(transaction).detached
        seen.append((transaction.amount, transaction.metadata_))
        kept = shop.session().get(Payment, transaction.id)
        assert kept is not None
        kept.metadata_ = {"told": kept.metadata_.get("told", 0) + 1}
        shop.session().commit()
        attributes.set_committed_value(transaction, "amount", 1)

    def take_in(app: Flask, transaction: Any, **values: Any) -> None:
        shop.session().add(transaction)
        shop.session().commit()  # which expires it

    with (
        shop.app.app_context(),
        # In whatever order they come: blinker knows none.
        _connected(count, take_in, lambda app, **v: count(app, **v), partial(count)),
    ):
        paid = shop.mpesa.c2b(**PAYMENT)
        assert (paid.state, paid.amount) == ("completed", 150)
    assert seen == [(150, {}), (150, {"told": 1}), (150, {"told": 2})]


def test_what_a_receiver_leaves_open_is_rolled_back_and_locks_nobody_out(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def leave_open(app: Flask, **values: Any) -> None:
        shop.session().add(Basket(note="left open"))
        shop.session().flush()

    with (
        _connected(leave_open, to=signals.payment_initiated),
        _connected(leave_open),
        shop.app.app_context(),
    ):
        assert shop.mpesa.c2b(**PAYMENT).state == "completed"
        with Session(shop.engine) as another:
            assert another.scalars(select(PaymentOutboxEntry)).all() == []
    assert shop.notes() == []
    assert [r.getMessage() for r in caplog.records if r.levelno >= 30] == []


def test_a_receiver_pays_and_sees_its_own_app_context(shop: Shop) -> None:
    seen: list[Any] = []

    def pay_on(app: Flask, transaction: Any, **values: Any) -> None:
        out = shop.mpesa.b2c(msisdn="841234567", amount=5, reference="CASHBACK")
        seen.append((app is current_app._get_current_object(), out.state, "mine" in g))  # type: ignore[attr-defined]

    with shop.app.app_context(), _connected(pay_on):
        g.mine = 1
        shop.mpesa.c2b(**PAYMENT)
    assert seen == [(True, "completed", False)]


@each_disguise
def test_coroutines_are_receivers_also_in_a_view_that_is_one(
    shop: Shop, disguise: Disguise
) -> None:
    pytest.importorskip("asgiref")
    seen: list[Any] = []

    async def receive(app: Flask, transaction: Any, **values: Any) -> None:
        await asyncio.sleep(0)
        seen.append(await asyncio.to_thread(lambda: transaction.state))

    async def pay() -> str:
        return str((await shop.mpesa.ac2b(**PAYMENT)).state)

    def pay_in_thread() -> str:
        return str(shop.mpesa.c2b(**PAYMENT).state)

    shop.app.add_url_rule("/async", view_func=pay)
    shop.app.add_url_rule("/sync", view_func=pay_in_thread)
    with _connected(disguise(receive)):
        for path in ("/async", "/sync"):
            assert shop.app.test_client().get(path).text == "completed"
    assert seen == ["completed", "completed"]


def test_a_rejected_callback_is_dispatched_likewise(shop: Shop) -> None:
    seen: list[Any] = []

    def take_in(app: Flask, callback: Any, **values: Any) -> None:
        shop.session().add(callback)
        shop.session().add(Basket(note="seen"))
        shop.session().commit()
        raise RuntimeError

    def read(app: Flask, callback: Any, verdict: str) -> None:
        seen.append((callback.verdict, verdict, inspect(callback).detached))

    with _connected(take_in, read, to=signals.callback_rejected):
        answer = shop.app.test_client().post(f"/mpesa/callback/{TOKEN}/", data=b"{}",
                                             content_type="application/json")  # fmt: skip
    assert answer.status_code == 400
    assert seen == [("unreadable", "unreadable", True)]
    assert shop.notes() == ["seen"]


def test_a_receiver_that_ends_the_process_ends_only_itself(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(app: Flask, **values: Any) -> None:
        raise SystemExit(1)

    with shop.app.app_context(), _connected(leave):
        assert shop.mpesa.c2b(**PAYMENT).state == "completed"
    assert "signal.receiver_failed" in caplog.text


def test_an_event_whose_record_cannot_be_read_is_dispatched_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def receive(app: Flask, transaction: Any, **values: Any) -> None:
        seen.append(transaction.state)

    def broken(record: Any) -> Any:
        raise RuntimeError("the database went away")

    with shop.app.app_context(), _connected(receive):
        payments: Payments[Any, Any] = shop.mpesa["default"]
        with monkeypatch.context() as patch:
            patch.setattr(payments.store, "get", broken)
            assert shop.mpesa.c2b(**PAYMENT).state == "completed"
        assert seen == []
        with Session(shop.engine) as another, another.begin():
            for entry in another.scalars(select(PaymentOutboxEntry)):
                entry.due_at = entry.due_at.replace(year=2020)
        assert payments.reconcile().dispatched == 1
    assert seen == ["completed"]


def test_a_receivers_request_is_the_one_in_which_the_payment_changed(shop: Shop) -> None:
    paths: list[str] = []

    def receive(app: Flask, **values: Any) -> None:
        paths.append(request.path if request else "none")

    @shop.app.get("/pay")
    def pay() -> str:
        return str(shop.mpesa.c2b(**PAYMENT).state)

    with _connected(receive):
        shop.app.test_client().get("/pay")
        with shop.app.app_context():
            shop.mpesa.c2b(**PAYMENT)
    assert paths in (["/pay", "none"], ["none", "none"])  # the latter from Flask 3.2 on


def test_a_slow_receivers_event_is_kept_where_the_engine_is_the_apps_own(
    mpesa_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lambda: db.engine` needs the app's context, also where the lease is renewed."""
    lasts = timedelta(seconds=0.9)
    for module in ("core.payments.outbox", "sqlalchemy.outbox_rows"):
        monkeypatch.setattr(f"mpesa_integrations.{module}.DISPATCH_GRACE", lasts)
    app = Flask("shop")
    app.config.update(
        flat_config(mpesa_simulator),
        TESTING=True,
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'shop.db'}",
    )
    db = SQLAlchemy(app, model_class=Base)
    records = Records(lambda: db.engine, Payment, PaymentCallback, PaymentOutboxEntry)
    mpesa = Mpesa(app, records=records)

    def due_at() -> datetime:
        with Session(db.engine) as another:
            return another.scalars(select(PaymentOutboxEntry.due_at)).one()

    renewed: list[bool] = []

    def receive(app: Flask, **values: Any) -> None:
        first = due_at()
        until(lambda: due_at() > first + lasts)
        renewed.append(True)

    with app.app_context(), _connected(receive):
        Base.metadata.create_all(db.engine)
        assert mpesa.c2b(**PAYMENT).state == "completed"
        assert renewed == [True]
        app.extensions["mpesa"].forget()
        db.engine.dispose()


def test_a_receiver_that_waits_for_the_calling_code_does_not_keep_it_for_ever(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As one does that writes to a row which the view has locked, and commits after the call.
    committed, order = threading.Event(), []

    def first(app: Flask, **values: Any) -> None:
        order.append("ship" if committed.wait(10) else "never")

    def second(app: Flask, **values: Any) -> None:
        order.append("thank")

    monkeypatch.setattr(notifier, "PATIENCE", 0.05)
    with shop.app.app_context(), _connected(first), _connected(second):
        with caplog.at_level("WARNING", "mpesa_integrations"):
            assert shop.mpesa.c2b(**PAYMENT).state == "completed"
        assert "signal.receiver_slow" in caplog.text
        assert "ship" not in order
        assert _outbox(shop) == 1  # and its lease is held: no worker dispatches it meanwhile
        assert shop.mpesa.reconcile().dispatched == 0
        committed.set()
        deadline = time.monotonic() + 10
        while _outbox(shop) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert _outbox(shop) == 0
    assert sorted(order) == ["ship", "thank"]


def _outbox(shop: Shop) -> int:
    with Session(shop.engine) as another:
        return len(another.scalars(select(PaymentOutboxEntry.id)).all())
