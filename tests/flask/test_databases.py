"""The records with what shops use around SQLAlchemy: its Flask extensions, Alembic, Flask-Admin."""

from __future__ import annotations

import html
import re
import traceback
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from flask import Flask
from flask_admin import Admin
from flask_babel import Babel
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Engine, ForeignKey, create_engine, inspect, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import NullPool

from flask_mpesa import Mpesa
from flask_mpesa.admin import TransactionView
from flask_mpesa.records import CallbackLogMixin, OutboxMixin, Records, TransactionMixin
from mpesa_integrations.core.errors import CalledInTransaction
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.records import OutboxEntry
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.sqlalchemy.protection import THE_LIBRARY

from .conftest import flat_config
from .models import Base, Payment, PaymentCallback, PaymentOutboxEntry
from .test_admin_pages import _reverse

_Paid = TypeVar("_Paid", bound=TransactionMixin)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


def _app(simulator: Simulator, **config: Any) -> Flask:
    app = Flask("shop")
    app.config.update(flat_config(simulator), TESTING=True, SECRET_KEY="s", **config)
    return app


class Shop(NamedTuple):
    app: Flask
    db: SQLAlchemy
    mpesa: Mpesa
    payment: Any


@pytest.fixture
def shop(mpesa_simulator: Simulator, tmp_path: Path) -> Iterator[Shop]:
    """A shop with Flask-SQLAlchemy."""
    db = SQLAlchemy(engine_options={"poolclass": NullPool})

    class ShopPayment(TransactionMixin, db.Model):  # type: ignore[name-defined,misc]
        pass

    class ShopCallback(CallbackLogMixin, db.Model):  # type: ignore[name-defined,misc]
        pass

    class ShopOutboxEntry(OutboxMixin, db.Model):  # type: ignore[name-defined,misc]
        pass

    app = _app(mpesa_simulator, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'shop.db'}")
    db.init_app(app)
    records = Records(lambda: db.engine, ShopPayment, ShopCallback, ShopOutboxEntry)
    mpesa = Mpesa(app, records=records)
    with app.app_context():
        db.create_all()
        yield Shop(app, db, mpesa, ShopPayment)
        db.session.remove()
    app.extensions["mpesa"].forget()


def test_flask_sqlalchemy(shop: Shop) -> None:
    paid = shop.mpesa.c2b(**PAYMENT)
    kept: Any = shop.db.session.get(shop.payment, paid.id)
    assert (kept.state, kept.created_at) == ("completed", paid.created_at)
    assert shop.payment.__tablename__ == "shop_payment"


def _records(base: Any, payment: type[_Paid], tmp_path: Path) -> tuple[Engine, Records[_Paid]]:
    """A database with the tables of a payment's model, and of all that goes with it."""

    class OwnCallback(CallbackLogMixin, base):  # type: ignore[misc]
        __tablename__ = "own_callback"

    class OwnOutboxEntry(OutboxMixin, base):  # type: ignore[misc]
        __tablename__ = "own_outbox_entry"

    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=NullPool)
    base.metadata.create_all(engine)
    return engine, Records(engine, payment, OwnCallback, OwnOutboxEntry)


def test_a_time_of_the_shops_own_is_left_as_its_column_has_it(
    mpesa_simulator: Simulator, tmp_path: Path
) -> None:
    class Own(DeclarativeBase):
        pass

    class Sold(TransactionMixin, Own):
        __tablename__ = "sold"
        delivered_at: Mapped[datetime | None] = mapped_column(DateTime)

    engine, records = _records(Own, Sold, tmp_path)
    app = _app(mpesa_simulator)
    mpesa = Mpesa(app, records=records)
    local = datetime(2026, 5, 3, 9, 30)  # noqa: DTZ001 - as a shop keeps it
    with app.app_context():
        sold = mpesa.link(mpesa.c2b(**PAYMENT), delivered_at=local)
    with Session(engine) as session:
        for record in (sold, session.get(Sold, sold.id)):
            assert record is not None
            assert record.delivered_at == local
            assert record.created_at.utcoffset() == timedelta()
    app.extensions["mpesa"].forget()


def test_a_model_may_read_a_collection_of_the_shops_with_each_payment(
    mpesa_simulator: Simulator, tmp_path: Path
) -> None:
    class Own(DeclarativeBase):
        pass

    class Item(Own):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        payment_id: Mapped[int] = mapped_column(ForeignKey("bought.id"))

    class Bought(TransactionMixin, Own):
        __tablename__ = "bought"
        items: Mapped[list[Item]] = relationship(Item, lazy="joined")

    engine, records = _records(Own, Bought, tmp_path)
    app = _app(mpesa_simulator)
    mpesa = Mpesa(app, records=records)
    with app.app_context():
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        lost = mpesa.c2b(order="7", msisdn="84 123 4567", amount="150.00")
        with Session(engine) as session:
            session.add_all([Item(payment_id=lost.id) for _ in range(2)])
            session.commit()
        assert mpesa.reconcile(now=True).asked == 1
        (found,) = mpesa.attempts("7")
        assert (found.state, len(found.items)) == ("completed", 2)
        assert mpesa.check(lost).state == "completed"
        assert mpesa.reverse(found).state == "completed"
    app.extensions["mpesa"].forget()


def test_flask_sqlalchemy_lite(mpesa_simulator: Simulator, tmp_path: Path) -> None:
    # It needs Flask 3; Flask 2.3 is supported without it.
    lite = pytest.importorskip("flask_sqlalchemy_lite", exc_type=ImportError)
    db = lite.SQLAlchemy()
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    app = _app(mpesa_simulator, SQLALCHEMY_ENGINES={"default": {"url": url, "poolclass": NullPool}})
    db.init_app(app)
    records = Records(lambda: db.engine, Payment, PaymentCallback, PaymentOutboxEntry)
    mpesa = Mpesa(app, records=records)
    with app.app_context():
        Base.metadata.create_all(db.engine)
        paid = mpesa.c2b(**PAYMENT)
        assert db.session.scalars(select(Payment.state)).one() == paid.state == "completed"
    app.extensions["mpesa"].forget()


@pytest.fixture
def migrations(tmp_path: Path) -> Config:
    """Alembic's folder as `alembic init` makes it, for the test models, on an empty database."""
    config = Config()
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{tmp_path / 'migrated.db'}")
    config.set_main_option("path_separator", "os")
    config.config_file_name = str(tmp_path / "alembic.ini")
    command.init(config, str(tmp_path / "migrations"))
    env = tmp_path / "migrations" / "env.py"
    env.write_text(
        env.read_text()
        .replace("target_metadata = None", "from tests.flask.models import Base\n"
                 "target_metadata = Base.metadata")
        .replace("fileConfig(config.config_file_name)", "pass")
    )  # fmt: skip
    return config


def test_alembic_autogenerates_a_right_migration(migrations: Config, tmp_path: Path) -> None:
    command.revision(migrations, message="payments", autogenerate=True)
    command.upgrade(migrations, "head")
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}", poolclass=NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    inspector = inspect(engine)
    checks = {check["name"] for check in inspector.get_check_constraints("payment")}
    assert checks == {"payment_amount", "payment_reversed", "payment_state"}
    unique = {constraint["name"] for constraint in inspector.get_unique_constraints("payment")}
    assert unique == {"payment_reference", "payment_key", "payment_claimed", "payment_order"}
    with (
        warnings.catch_warnings(),
        Session(engine.execution_options(**THE_LIBRARY)) as session,
    ):
        session.add(Payment(operation="c2b", amount=1, third_party_reference="A"))
        session.commit()
        assert session.scalars(select(Payment)).one().state == "initiated"


def test_the_columns_are_those_of_the_django_app() -> None:
    from django_mpesa.models import CallbackLog, OutboxEntry, Transaction

    def django(model: Any) -> set[str]:
        names = {field.column for field in model._meta.fields}
        return {"transaction_key" if name == "transaction_id" and model is not Transaction
                else name for name in names}  # fmt: skip

    def flask(model: Any) -> set[str]:
        return {column.name for column in model.__table__.columns}

    generic = {"content_type_id", "object_id"}  # what is paid for, which only Django has
    assert django(Transaction) - generic == flask(Payment)
    assert django(CallbackLog) == flask(PaymentCallback)
    assert django(OutboxEntry) == flask(PaymentOutboxEntry)
    for model, mixin in (
        (Transaction, Payment),
        (CallbackLog, PaymentCallback),
        (OutboxEntry, PaymentOutboxEntry),
    ):
        for field in model._meta.fields:
            length = getattr(field, "max_length", None)
            columns: Any = mixin.__table__.columns
            column = columns.get(field.column)
            if length and column is not None and field.name != "remote_address":
                assert column.type.length == length, field.name


class ReversingView(TransactionView):
    can_reverse = True


def test_flask_admin_gives_nothing_back_unless_that_was_allowed() -> None:
    view: Any = TransactionView.__new__(TransactionView)
    assert not view.is_action_allowed("reverse")
    assert not view.is_action_allowed("delete")
    assert view.is_action_allowed("ask_gateway")


def test_flask_admin_shows_asks_gives_back_and_edits_nothing(
    shop: Shop, mpesa_simulator: Simulator
) -> None:
    Babel(shop.app)  # Flask-Admin uses it where it is installed
    Admin(shop.app).add_view(ReversingView(shop.payment, shop.db, endpoint="payments"))
    mpesa_simulator.scenarios.queue("cut_after")
    lost = shop.mpesa.c2b(**PAYMENT)
    client = shop.app.test_client()
    page = client.get("/admin/payments/").text
    assert "Being checked" in page
    assert "25884•••4567" in page
    assert "258841234567" not in page

    def act(action: str, **form: str) -> str:
        form = {"action": action, "rowid": str(lost.id), **form}
        return client.post("/admin/payments/action/", data=form, follow_redirects=True).text

    def state() -> str:
        shop.db.session.expire_all()
        record: Any = shop.db.session.get(shop.payment, lost.id)
        return str(record.state)

    act("ask_gateway")
    assert state() == "unknown"  # no token, nothing done
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert token is not None
    assert "asked about 1 payment." in act("ask_gateway", csrf_token=token[1])
    assert state() == "completed"
    for _ in range(2):
        _reverse(client, lost)
    assert state() == "reversed"
    assert len(shop.db.session.scalars(select(shop.payment)).all()) == 2
    for path in ("new/", f"edit/?id={lost.id}"):
        assert client.get(f"/admin/payments/{path}").status_code in (302, 403, 404)
    assert client.get(f"/admin/payments/details/?id={lost.id}").status_code == 200
    assert "ORDER 7" in client.get("/admin/payments/?search=ORDER+7").text


def test_flask_admin_tries_again_after_a_reversal_that_failed(
    shop: Shop, mpesa_simulator: Simulator
) -> None:
    Babel(shop.app)  # Flask-Admin uses it where it is installed
    Admin(shop.app).add_view(ReversingView(shop.payment, shop.db, endpoint="payments"))
    paid = shop.mpesa.c2b(**PAYMENT)
    client = shop.app.test_client()
    mpesa_simulator.scenarios.queue("cancelled", operation="reversal")
    for _ in range(2):
        _reverse(client, paid)
    shop.db.session.expire_all()
    states = [record.state for record in shop.db.session.scalars(select(shop.payment))]
    assert states == ["reversed", "cancelled", "completed"]


def test_flask_admin_speaks_portuguese(shop: Shop, mpesa_simulator: Simulator) -> None:
    Babel(shop.app, default_locale="pt")
    Admin(shop.app).add_view(ReversingView(shop.payment, shop.db, endpoint="payments"))
    paid = shop.mpesa.c2b(**PAYMENT)
    client = shop.app.test_client()
    page = client.get("/admin/payments/").text
    for words in ("Pago", "Pagamento (C2B)", "Número de telefone", "Perguntar agora ao gateway"):
        assert words in page, words
    assert "Referência de terceiros" in client.get(f"/admin/payments/details/?id={paid.id}").text
    assert "está agora: Pago" in _reverse(client, paid).text
    shop.db.session.expire_all()
    assert "Só um pagamento concluído pode ser devolvido." in _reverse(client, paid).text


def test_flask_admin_shows_numbers_times_and_notes_for_people(
    shop: Shop, mpesa_simulator: Simulator
) -> None:
    shop.app.config["BABEL_DEFAULT_TIMEZONE"] = "Africa/Maputo"
    Babel(shop.app, default_locale="pt")
    Admin(shop.app).add_view(TransactionView(shop.payment, shop.db, endpoint="payments"))
    many = {**PAYMENT, "amount": "1250.50"}
    paid = shop.mpesa.c2b(**many, metadata={"asked_by": "258841234567"})
    at = datetime(2026, 11, 25, 6, 50, 46, tzinfo=timezone.utc)
    made = update(shop.payment).values(created_at=at)
    shop.db.session.execute(made, execution_options=THE_LIBRARY)
    shop.db.session.commit()
    client = shop.app.test_client()
    page = client.get("/admin/payments/").text
    details = client.get(f"/admin/payments/details/?id={paid.id}").text
    for shown in (page, details):
        assert "1.250,50" in shown
        assert "25 de nov. de 2026 08:50:46 CAT" in shown
        assert "258841234567" not in shown
    assert '["completed", "Pago"]' in html.unescape(page)  # chosen in the filter, not typed


def test_an_error_of_the_database_shows_no_phone_number(tmp_path: Path) -> None:
    engine = create_engine(
        f"sqlite:///{tmp_path / 'shop.db'}", poolclass=NullPool, connect_args={"timeout": 0}
    )
    Base.metadata.create_all(engine)
    store = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry).store("default")
    values = {"operation": "c2b", "amount": 10, "msisdn": "258841234567"}
    with engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(CalledInTransaction) as caught:
            store.create({**values, "third_party_reference": "A"}, ())
    assert "258841234567" not in "".join(traceback.format_exception(caught.value))


def test_a_signal_of_a_payment_that_was_deleted_stops_no_worker(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=NullPool)
    Base.metadata.create_all(engine)
    store = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry).store("default")
    for reference in ("GONE", "THERE"):
        values = {"operation": "c2b", "amount": 10, "third_party_reference": reference}
        store.create(values, [OutboxEntry(Event.PAYMENT_INITIATED)])
    with Session(engine) as session, session.begin():  # as an archiving script may do it
        session.execute(text("DELETE FROM payment WHERE third_party_reference = 'GONE'"))
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    claimed = store.claim_outbox(later, later + timedelta(minutes=2), 10)
    dispatched = [due.record and due.record.third_party_reference for due in claimed]
    assert sorted(dispatched, key=str) == [None, "THERE"]
