"""What the guarantees stand on is in the tables, whatever a shop's models say of themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import (
    Column,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, declarative_base, mapped_column
from sqlalchemy.pool import NullPool

from flask_mpesa import Mpesa
from flask_mpesa.records import CallbackLogMixin, OutboxMixin, Records, TransactionMixin
from mpesa_integrations import ConfigurationError
from mpesa_integrations.core.payments import persistence
from mpesa_integrations.core.payments.tables import faults_in_database
from mpesa_integrations.simulator import Simulator

from .conftest import flat_config

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
_UNIQUE = [
    {"third_party_reference", "account"},
    {"account", "idempotency_key"},
    {"account", "claimed_transaction_id"},
    {"account", "operation", "claimed_order_key"},
]
_COMMENTED: Any = {"comment": "what our customers pay"}
_NOTHING: Any = {}
_IN_SCHEMA: Any = {"schema": "shop"}
_PARENT: Any = {"polymorphic_on": "kind", "polymorphic_identity": "any"}
_CHILD: Any = {"polymorphic_identity": "card"}
Make = Callable[[Any], type[Any]]


def _comment(base: Any) -> type[Any]:
    class Payment(TransactionMixin, base):  # type: ignore[misc]
        __tablename__ = "payment"
        __table_args__ = _COMMENTED

    return Payment


def _own_constraints(base: Any) -> type[Any]:
    class Payment(TransactionMixin, base):  # type: ignore[misc]
        __tablename__ = "payment"
        table_number = Column(Integer)
        __table_args__ = (
            UniqueConstraint("account", "table_number"),
            Index("newest", "created_at"),
            {"mysql_charset": "utf8mb4", "sqlite_autoincrement": True},
        )

    return Payment


def _base_first(base: Any) -> type[Any]:
    class Payment(base, TransactionMixin):  # type: ignore[misc]
        __tablename__ = "payment"
        __table_args__ = ()

    return Payment


def _renamed_column(base: Any) -> type[Any]:
    class Payment(TransactionMixin, base):  # type: ignore[misc]
        __tablename__ = "payment"
        __table_args__ = _NOTHING
        idempotency_key: Mapped[str | None] = mapped_column("key_of_the_order", String(100))

    return Payment


def _abstract_between(base: Any) -> type[Any]:
    class Kept(TransactionMixin, base):  # type: ignore[misc]
        __abstract__ = True
        __table_args__ = _COMMENTED

    class Payment(Kept):
        __tablename__ = "payment"

    return Payment


def _already_there(base: Any) -> type[Any]:
    class Payment(TransactionMixin, base):  # type: ignore[misc]
        __tablename__ = "payment"
        __table_args__ = (
            UniqueConstraint("account", "idempotency_key", name="ours"),
            UniqueConstraint("account", "third_party_reference"),
        )

    return Payment


def _bases() -> list[Any]:
    class Plain(DeclarativeBase):
        pass

    class Conventional(DeclarativeBase):
        metadata = MetaData(
            naming_convention={
                "ck": "ck_%(table_name)s_%(constraint_name)s",
                "uq": "uq_%(table_name)s_%(column_0_N_name)s",
                "fk": "fk_%(table_name)s_%(column_0_name)s",
                "ix": "ix_%(column_0_label)s",
            }
        )

    return [Plain, Conventional, declarative_base()]


def _records(base: Any, make: Make, engine: Engine) -> Records:
    class PaymentCallback(CallbackLogMixin, base):  # type: ignore[misc]
        __tablename__ = "payment_callback"
        __table_args__ = _COMMENTED

    class PaymentOutboxEntry(OutboxMixin, base):  # type: ignore[misc]
        __tablename__ = "payment_outbox_entry"
        __table_args__ = _COMMENTED

    return Records(engine, make(base), PaymentCallback, PaymentOutboxEntry)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return create_engine(f"sqlite:///{tmp_path / 'shop.sqlite3'}", poolclass=NullPool)


def _app(records: Records, simulator: Simulator) -> tuple[Flask, Mpesa]:
    app = Flask("shop")
    app.config.update(flat_config(simulator), TESTING=True)
    mpesa = Mpesa(records=records)
    mpesa.init_app(app)
    return app, mpesa


@pytest.mark.parametrize("base", range(3), ids=["plain", "conventions", "legacy"])
@pytest.mark.parametrize(
    "make",
    [_comment, _own_constraints, _base_first, _renamed_column, _abstract_between, _already_there],
)
def test_whatever_a_model_says_its_table_has_them(make: Make, base: int, engine: Engine) -> None:
    base_class = _bases()[base]
    records = _records(base_class, make, engine)
    records.check_models()
    base_class.metadata.create_all(engine)
    found = inspect(engine)
    renamed = {"key_of_the_order": "idempotency_key"}
    unique = [
        {renamed.get(name, name) for name in constraint["column_names"]}
        for constraint in found.get_unique_constraints("payment")
    ]
    for columns in _UNIQUE:
        assert unique.count(columns) == 1, unique
    (key,) = found.get_foreign_keys("payment")
    assert (key["constrained_columns"], key["referred_table"]) == (["original_id"], "payment")
    assert len(found.get_check_constraints("payment")) == 3
    indexes = [index["column_names"] for index in found.get_indexes("payment")]
    assert indexes.count(["account", "next_check_at"]) == 1
    assert indexes.count(["created_at"]) == 1
    assert ["account", "due_at"] in [
        i["column_names"] for i in found.get_indexes("payment_outbox_entry")
    ]
    assert faults_in_database(records.store("default")) == []


def test_the_same_key_sends_once_through_a_model_with_a_comment(
    engine: Engine, mpesa_simulator: Simulator
) -> None:
    base = _bases()[0]
    records = _records(base, _comment, engine)
    base.metadata.create_all(engine)
    app, mpesa = _app(records, mpesa_simulator)
    with app.app_context():
        first = mpesa.c2b(**PAYMENT, idempotency_key="order-7")
        assert mpesa.c2b(**PAYMENT, idempotency_key="order-7").pk == first.pk
    assert len(mpesa_simulator.ledger.transactions()) == 1
    app.extensions["mpesa"].forget()


def test_a_table_in_a_schema_and_classes_below_it(engine: Engine) -> None:
    base: Any = _bases()[0]

    class Payment(TransactionMixin, base):  # type: ignore[misc]
        __tablename__ = "payment"
        __table_args__ = _IN_SCHEMA
        kind = Column(String(10))
        __mapper_args__ = _PARENT

    class CardPayment(Payment):
        __mapper_args__ = _CHILD

    records = _records(base, lambda _: CardPayment, engine)
    records.check_models()
    table = Payment.__table__
    assert sum(isinstance(found, UniqueConstraint) for found in table.constraints) == 4
    (key,) = table.c.original_id.foreign_keys
    assert key.column is table.c.id

    @event.listens_for(engine, "connect")
    def attach(connection: Any, _: Any) -> None:
        path = engine.url.database
        connection.execute("ATTACH DATABASE ? AS shop", (f"{path}.shop",))

    base.metadata.create_all(engine)
    store = records.store("default")
    assert [table.exists for table in store.tables()] == [True, True, True]
    assert faults_in_database(store) == []


def test_models_that_are_none_stop_the_app(engine: Engine, mpesa_simulator: Simulator) -> None:
    base = _bases()[0]

    class Payment(base):  # type: ignore[misc, valid-type]
        __tablename__ = "payment"
        id = Column(Integer, primary_key=True)

    with pytest.raises(ConfigurationError, match="no model with TransactionMixin"):
        _app(_records(base, lambda _: Payment, engine), mpesa_simulator)
    other = _bases()[0]
    records = _records(other, _comment, engine)
    table: Any = inspect(records.transaction).local_table
    table.constraints -= {c for c in table.constraints if str(c.name) == "payment_key"}
    with pytest.raises(ConfigurationError, match=r"payment has no unique .*idempotency_key"):
        _app(records, mpesa_simulator)


def _without(constraint: str) -> Callable[[Engine, Any], None]:
    """Make the tables as a migration would that was edited."""

    def make(engine: Engine, base: Any) -> None:
        base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            found = session.scalar(text("SELECT sql FROM sqlite_master WHERE name = 'payment'"))
            lines = [line for line in found.splitlines() if constraint not in line]
            session.execute(text("DROP TABLE payment"))
            session.execute(text("\n".join(lines).replace(", \n)", "\n)")))

    return make


@pytest.mark.parametrize(
    ("make_tables", "said"),
    [
        (lambda engine, base: None, "the table payment is not there"),
        (_without("payment_key"), r"no unique constraint on \(account, idempotency_key\)"),
        (_without("payment_claimed"), r"\(account, claimed_transaction_id\)"),
        (_without("payment_order"), r"\(account, operation, claimed_order_key\)"),
        (_without("payment_reference"), r"\(third_party_reference, account\)"),
    ],
    ids=["none", "key", "claimed", "order", "reference"],
)
def test_a_table_that_lacks_them_takes_no_payment(
    make_tables: Callable[[Engine, Any], None], said: str, engine: Engine,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    base = _bases()[0]
    records = _records(base, _comment, engine)
    make_tables(engine, base)
    app, mpesa = _app(records, mpesa_simulator)
    for order in (None, "ORDER-7"):
        with app.app_context(), pytest.raises(ConfigurationError, match=said) as caught:
            mpesa.c2b(**PAYMENT, order=order)
        assert str(caught.value).startswith("Nothing was sent.")
        assert "Alembic" in str(caught.value)
    assert mpesa_simulator.ledger.transactions() == []
    result = app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"])
    assert result.exit_code == 1
    assert "in the database of the payments" in result.output
    base.metadata.drop_all(engine)
    base.metadata.create_all(engine)
    with app.app_context():  # mended, and without a restart
        assert mpesa.c2b(**PAYMENT).state == "completed"
    assert app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"]).exit_code == 0
    app.extensions["mpesa"].forget()


def test_a_table_that_is_not_there_is_no_database_that_is_away(
    engine: Engine, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persistence, "sleep", lambda _: pytest.fail("it is tried again"))
    app, mpesa = _app(_records(_bases()[0], _comment, engine), mpesa_simulator)
    with app.app_context(), pytest.raises(ConfigurationError, match="not migrated: no such table"):
        mpesa.standing("ORDER-7")
    app.extensions["mpesa"].forget()


def test_what_only_a_check_says(engine: Engine, mpesa_simulator: Simulator) -> None:
    base = _bases()[0]
    records = _records(base, _comment, engine)
    _without("FOREIGN KEY")(engine, base)
    app, mpesa = _app(records, mpesa_simulator)
    with app.app_context():
        assert mpesa.c2b(**PAYMENT).state == "completed"
    result = app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"])
    assert "payment has no foreign key from original_id to itself" in result.output
    app.extensions["mpesa"].forget()
