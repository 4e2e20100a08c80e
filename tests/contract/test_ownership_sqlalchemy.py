"""Whatever a Flask shop's sessions do, the library's columns are written by the library alone."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    bindparam,
    case,
    create_engine,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session, attributes, make_transient, sessionmaker
from sqlalchemy.pool import NullPool

from mpesa_integrations import ProtectedRecord, ValidationError
from mpesa_integrations.core.payments.calls import Payments

from .backends import Payment, SqlAlchemyBackend
from .test_payments import PAYMENT

pytestmark = pytest.mark.parametrize("backend", ["sqlalchemy"], indirect=True)


class OwnSession(Session):
    """A session of the shop's own class."""


@pytest.fixture
def engine(backend: SqlAlchemyBackend) -> Any:
    """An engine of the shop's own, which the library knows nothing of."""
    own = create_engine(backend.engine.url, poolclass=NullPool)
    yield own
    own.dispose()


@pytest.fixture
def paid(payments: Payments[Any, Any]) -> Any:
    return payments.c2b(**PAYMENT, metadata={"table": 4})


def _row(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return dict(connection.execute(select(Payment.__table__)).mappings().one())


def _set(record: Any, **columns: Any) -> Any:
    for name, value in columns.items():
        setattr(record, name, value)
    return record


def _transient(record: Any) -> Any:
    make_transient(record)
    record.id = None
    return record


TABLE: Any = Payment.__table__
NEW: dict[str, Any] = {"operation": "c2b", "amount": 1, "third_party_reference": "A"}
WRITES: dict[str, Callable[[Any, Any], Any]] = {
    "set": lambda s, t: _set(s.get(Payment, t.id), state="failed"),
    "set of what is not loaded": lambda s, t: (
        s.expire(found := s.get(Payment, t.id)),
        _set(found, state="failed"),
    ),
    "set of the key": lambda s, t: (_set(s.get(Payment, t.id), id=t.id + 1), s.flush()),
    "set of the detached": lambda s, t: s.merge(_set(t, reversed_amount=7)),
    "set of a copy": lambda s, t: _set(copy.copy(t), state="failed"),
    "set of a pickle": lambda s, t: _set(pickle.loads(pickle.dumps(t)), amount=1),
    "set by an expression": lambda s, t: _set(s.get(Payment, t.id), checks=Payment.checks + 1),
    "add": lambda s, t: (s.add(Payment(**NEW)), s.flush()),
    "add_all": lambda s, t: (s.add_all([Payment(**NEW)]), s.commit()),
    "add of the transient": lambda s, t: (s.add(_transient(t)), s.flush()),
    "merge of a new one": lambda s, t: (s.merge(Payment(id=t.id + 1, **NEW)), s.flush()),
    "insert": lambda s, t: s.execute(insert(Payment).values(**NEW)),
    "insert of many": lambda s, t: s.execute(insert(Payment), [NEW, NEW]),
    "insert into the table": lambda s, t: s.execute(TABLE.insert().values(**NEW)),
    "bulk_save_objects, new": lambda s, t: s.bulk_save_objects([Payment(**NEW)]),
    "bulk_save_objects": lambda s, t: s.bulk_save_objects([t], update_changed_only=False),
    "bulk_insert_mappings": lambda s, t: s.bulk_insert_mappings(inspect(Payment), [NEW]),
    "bulk_update_mappings": lambda s, t: s.bulk_update_mappings(
        inspect(Payment), [{"id": t.id, "state": "failed"}]
    ),
    "update": lambda s, t: s.execute(update(Payment).values(state="failed")),
    "update by attributes": lambda s, t: s.execute(update(Payment).values({Payment.amount: 1})),
    "update in order": lambda s, t: s.execute(
        update(Payment).ordered_values((Payment.order_id, 1), (Payment.state, "failed"))
    ),
    "update by an expression": lambda s, t: s.execute(
        update(Payment).values(reversed_amount=Payment.reversed_amount - 1)
    ),
    "update by a case": lambda s, t: s.execute(
        update(Payment).values(state=case((Payment.id == t.id, "failed"), else_=Payment.state))
    ),
    "update by parameters": lambda s, t: s.execute(
        update(Payment), [{"id": t.id, "state": "failed"}]
    ),
    "update by more parameters": lambda s, t: s.connection().execute(
        update(TABLE).where(TABLE.c.id == bindparam("key")).values(order_id=bindparam("order")),
        [{"key": t.id, "order": 1, "state": "failed"}],
    ),
    "update of the table": lambda s, t: s.execute(TABLE.update().values(next_check_at=func.now())),
    "update without the session": lambda s, t: s.connection().execute(
        TABLE.update().values(state="failed")
    ),
    "Query.update": lambda s, t: s.query(Payment).update({"state": "failed"}),
    "Query.update by attributes": lambda s, t: s.query(Payment).update({Payment.state: "failed"}),
    "delete": lambda s, t: s.execute(delete(Payment)),
    "delete of an object": lambda s, t: (s.delete(s.get(Payment, t.id)), s.flush()),
    "Query.delete": lambda s, t: s.query(Payment).delete(),
    "delete from the table": lambda s, t: s.connection().execute(TABLE.delete()),
}


@pytest.mark.parametrize("way", WRITES)
def test_the_librarys_columns_are_written_by_nobody_else(
    paid: Any, engine: Engine, way: str
) -> None:
    before = _row(engine)
    for made in (Session, OwnSession, sessionmaker(autoflush=False)):
        with made(bind=engine) as session:
            record = session.get(Payment, paid.id)
            session.expunge(record)
            with pytest.raises(ProtectedRecord, match="Nothing was"):
                WRITES[way](session, record)
    assert _row(engine) == before


def _merged(session: Session, record: Any) -> Any:
    record.metadata_ = {"a": 1}
    return session.merge(record)


def _dirtied(session: Session, record: Any) -> Any:
    session.add(record)
    attributes.flag_modified(record, "state")
    attributes.set_attribute(record, "state", "unknown")
    record.metadata_ = {"a": 1}
    return record


def _left_by_default(session: Session, record: Any) -> Any:
    found = session.get(Payment, record.id)
    session.expire(found)
    return _merged(session, record)


KEEPS: dict[str, Callable[[Any, Any], Any]] = {
    "merge": _merged,
    "merge into what is not loaded": _left_by_default,
    "dirty": _dirtied,
    "add": lambda s, t: (s.add(t), _set(t, metadata_={"a": 1})),
    "set to what it is": lambda s, t: _set(
        found := s.get(Payment, t.id), state=found.state, amount=150, metadata_={"a": 1}
    ),
    "set to what it is, not loaded": lambda s, t: (
        s.expire(found := s.get(Payment, t.id)),
        _set(found, state="partly_reversed", amount=Decimal(150), metadata_={"a": 1}),
    ),
    "update": lambda s, t: s.execute(
        update(Payment).where(Payment.state != "failed").values(metadata_={"a": 1})
    ),
    "update by attributes": lambda s, t: s.execute(
        update(Payment).values({Payment.order_id: Payment.id, Payment.metadata_: {"a": 1}})
    ),
    "update by parameters": lambda s, t: s.execute(
        update(Payment), [{"id": t.id, "metadata_": {"a": 1}}]
    ),
    "update of the table": lambda s, t: s.connection().execute(
        TABLE.update().where(TABLE.c.id == bindparam("key")), [{"key": t.id, "metadata": {"a": 1}}]
    ),
    "bulk_save_objects": lambda s, t: s.bulk_save_objects([_set(t, metadata_={"a": 1})]),
    "bulk_update_mappings": lambda s, t: s.bulk_update_mappings(
        inspect(Payment), [{"id": t.id, "metadata_": {"a": 1}}]
    ),
    "Query.update": lambda s, t: s.query(Payment).update({"metadata_": {"a": 1}}),
}


@pytest.mark.parametrize("way", KEEPS)
def test_the_shops_columns_are_its_own(
    paid: Any, payments: Payments[Any, Any], engine: Engine, way: str
) -> None:
    with Session(engine, expire_on_commit=False) as session:
        old = session.get(Payment, paid.id)
        session.expunge(old)
    payments.reverse(transaction_id=paid.transaction_id, amount=100)
    with engine.begin() as connection:  # of the two, the payment
        connection.execute(text("DELETE FROM contract_payment WHERE operation = 'reversal'"))
    before = _row(engine)
    assert before["state"] == "partly_reversed"
    with Session(engine) as session:
        found = KEEPS[way](session, old)
        session.commit()
        if isinstance(found, Payment):  # it is read anew
            assert (found.state, found.reversed_amount) == ("partly_reversed", Decimal(100))
    after = _row(engine)
    assert after["metadata"] == {"a": 1}
    shops = {"metadata", "order_id"}
    assert {**after, **dict.fromkeys(shops)} == {**before, **dict.fromkeys(shops)}


def test_an_asynchronous_session_is_one_of_them(paid: Any, engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("no asynchronous driver is installed")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # needs greenlet

    async def write(statement: Any) -> None:
        own = create_async_engine(engine.url, poolclass=NullPool)
        async with AsyncSession(own) as session:
            await session.execute(statement)
            await session.commit()

    before = _row(engine)
    for statement in (update(Payment).values(state="failed"), delete(Payment)):
        with pytest.raises(ProtectedRecord):
            asyncio.run(write(statement))
    assert _row(engine) == before
    asyncio.run(write(update(Payment).values(order_id=8)))
    assert _row(engine)["order_id"] == 8


def test_sql_as_text_is_not_looked_into(paid: Any, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE contract_payment SET state = 'failed'"))
    assert _row(engine)["state"] == "failed"


def test_a_relation_is_given_by_its_column(payments: Payments[Any, Any]) -> None:
    with pytest.raises(ValidationError, match="paid_for: is no argument of this call"):
        payments.c2b(**PAYMENT, paid_for=object())
