"""The stores that keep the contract, each over the database that MPESA_TEST_DATABASE names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol, TypeVar

import django.db
import sqlalchemy.exc
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection, connections
from sqlalchemy import create_engine, delete, event, inspect, select, update
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session
from sqlalchemy.pool import NullPool

from django_mpesa.models import CallbackLog, OutboxEntry, Transaction
from django_mpesa.store import DjangoStore
from django_mpesa.times import stored
from flask_mpesa.records import CallbackLogMixin, OutboxMixin, Records, TransactionMixin
from mpesa_integrations.sqlalchemy.protection import THE_LIBRARY
from mpesa_integrations.sqlalchemy.store import SqlAlchemyStore
from tests.support import hasty_sqlite, rows

hasty_sqlite.through_sqlalchemy()

_T = TypeVar("_T")
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


class Base(DeclarativeBase):
    pass


class Payment(TransactionMixin, Base):
    __tablename__ = "contract_payment"

    order_id: Mapped[int | None] = mapped_column()
    """A column of the shop's own."""


class PaymentCallback(CallbackLogMixin, Base):
    __tablename__ = "contract_callback"


class PaymentOutboxEntry(OutboxMixin, Base):
    __tablename__ = "contract_outbox_entry"


class Backend(Protocol):
    """A store, and what a test must see and change behind its back."""

    def store(self, account: str = "default") -> Any: ...

    def records(self) -> list[Any]: ...

    def callbacks(self) -> list[Any]: ...

    def verdicts(self) -> list[str]: ...

    def outbox(self) -> int: ...

    def outbox_rows(self) -> list[Any]: ...

    def set_all(self, **columns: Any) -> None: ...

    def what_for(self, number: int) -> dict[str, Any]:
        """The argument by which a shop says what a payment is for."""

    def write_back(self, record: Any, note: str) -> None:
        """Write a note into the metadata of an object that may be old, as shops do."""

    def write(self, record: Any, note: str) -> None:
        """Add a note to the metadata of an object that a handler was given, as that would."""

    def columns(self) -> set[str]: ...

    def forget(self, record: Any) -> None:
        """Delete a payment behind everybody's back."""

    def set_callbacks(self, **columns: Any) -> None: ...

    def set_outbox_entry(self, entry_id: str, **columns: Any) -> None: ...

    def execute(self, sql: str) -> None:
        """With `{payments}` and `{callbacks}` for the tables' names."""

    def make_due(self) -> None: ...

    def address(self) -> tuple[str, str]:
        """By which `backend_at` finds it in another process."""

    def done(self) -> None:
        """Called by a thread at its end."""

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine as the framework's users do from blocking code."""

    def before_each_statement(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        """Have a call made before each statement; `ConnectionError` from it hangs up."""


class DjangoBackend:
    name = "django"

    def store(self, account: str = "default") -> DjangoStore:
        return DjangoStore(account)

    def records(self) -> list[Any]:
        return list(Transaction.objects.order_by("pk"))

    def callbacks(self) -> list[Any]:
        return list(CallbackLog.objects.order_by("pk"))

    def verdicts(self) -> list[str]:
        return list(CallbackLog.objects.order_by("pk").values_list("verdict", flat=True))

    def outbox(self) -> int:
        return int(OutboxEntry.objects.count())

    def outbox_rows(self) -> list[Any]:
        return list(OutboxEntry.objects.order_by("transaction_id", "event"))

    def set_all(self, **columns: Any) -> None:
        rows.change(Transaction.objects.all(), **_as_stored(columns))

    def what_for(self, number: int) -> dict[str, Any]:
        found, _ = User.objects.get_or_create(pk=number, username=f"order {number}")
        return {"paid_for": found}

    def write_back(self, record: Any, note: str) -> None:
        record.metadata["note"] = note
        record.save()

    def write(self, record: Any, note: str) -> None:
        record.metadata["done"] = [*record.metadata.get("done", []), note]
        record.save(update_fields=("metadata",))

    def columns(self) -> set[str]:
        return {field.name for field in Transaction._meta.concrete_fields}

    def forget(self, record: Any) -> None:
        rows.remove(Transaction.objects.filter(pk=record.pk))

    def set_callbacks(self, **columns: Any) -> None:
        CallbackLog.objects.update(**_as_stored(columns))

    def set_outbox_entry(self, entry_id: str, **columns: Any) -> None:
        OutboxEntry.objects.filter(pk=entry_id).update(**_as_stored(columns))

    def execute(self, sql: str) -> None:
        tables = {"payments": Transaction._meta.db_table, "callbacks": CallbackLog._meta.db_table}
        with connection.cursor() as cursor:
            cursor.execute(sql.format(**tables))

    def make_due(self) -> None:
        past = stored(_past())
        rows.change(Transaction.objects.filter(next_check_at__isnull=False), next_check_at=past)
        OutboxEntry.objects.update(due_at=past)
        CallbackLog.objects.update(received_at=past, next_attempt_at=None)

    def address(self) -> tuple[str, str]:
        return "django", str(connection.settings_dict["NAME"])

    def done(self) -> None:
        connections.close_all()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        async def ends() -> _T:
            return await coroutine

        return async_to_sync(ends)()

    @contextmanager
    def before_each_statement(self, call: Callable[[], None]) -> Iterator[None]:
        def execute(go_on: Any, *args: Any) -> Any:
            try:
                call()
            except ConnectionError as error:
                raise django.db.OperationalError("server has gone away") from error
            return go_on(*args)

        with connection.execute_wrapper(execute):
            yield


class SqlAlchemyBackend:
    name = "sqlalchemy"

    def __init__(self, url: URL) -> None:
        self.engine: Engine = create_engine(url, **_options(url))
        Base.metadata.create_all(self.engine)
        self._library = self.engine.execution_options(**THE_LIBRARY)
        self._models = Records(self.engine, Payment, PaymentCallback, PaymentOutboxEntry)

    def empty(self) -> None:
        with Session(self._library) as session, session.begin():
            for model in (PaymentOutboxEntry, PaymentCallback):
                session.execute(delete(model))
            session.execute(update(Payment).values(original_id=None))
            session.execute(delete(Payment))

    def store(self, account: str = "default") -> SqlAlchemyStore:
        return self._models.store(account)

    def records(self) -> list[Any]:
        with Session(self.engine) as session:
            return list(session.scalars(select(Payment).order_by(Payment.id)))

    def callbacks(self) -> list[Any]:
        with Session(self.engine) as session:
            return list(session.scalars(select(PaymentCallback).order_by(PaymentCallback.id)))

    def verdicts(self) -> list[str]:
        with Session(self.engine) as session:
            return list(
                session.scalars(select(PaymentCallback.verdict).order_by(PaymentCallback.id))
            )

    def outbox(self) -> int:
        with Session(self.engine) as session:
            return len(session.scalars(select(PaymentOutboxEntry.id)).all())

    def outbox_rows(self) -> list[Any]:
        rows = select(PaymentOutboxEntry).order_by(
            PaymentOutboxEntry.transaction_key, PaymentOutboxEntry.event
        )
        with Session(self.engine) as session:
            return list(session.scalars(rows))

    def set_all(self, **columns: Any) -> None:
        self._update(Payment, columns)

    def what_for(self, number: int) -> dict[str, Any]:
        return {"order_id": number}

    def write_back(self, record: Any, note: str) -> None:
        record.metadata_ = {**record.metadata_, "note": note}
        with Session(self.engine) as session, session.begin():
            session.merge(record)

    def write(self, record: Any, note: str) -> None:
        known = record.metadata_
        record.metadata_ = {**known, "done": [*known.get("done", []), note]}
        session = object_session(record)
        assert session is not None
        session.flush()

    def columns(self) -> set[str]:
        return {attribute.key for attribute in inspect(Payment).column_attrs}

    def forget(self, record: Any) -> None:
        with Session(self._library) as session, session.begin():
            session.execute(delete(Payment).where(Payment.id == record.pk))

    def set_callbacks(self, **columns: Any) -> None:
        self._update(PaymentCallback, columns)

    def set_outbox_entry(self, entry_id: str, **columns: Any) -> None:
        with Session(self.engine) as session, session.begin():
            entry = update(PaymentOutboxEntry).where(PaymentOutboxEntry.id == entry_id)
            session.execute(entry.values(**columns))

    def execute(self, sql: str) -> None:
        tables = {"payments": Payment.__tablename__, "callbacks": PaymentCallback.__tablename__}
        with self.engine.begin() as connection:
            connection.exec_driver_sql(sql.format(**tables))

    def make_due(self) -> None:
        with Session(self._library) as session, session.begin():
            open_ = update(Payment).where(Payment.next_check_at.is_not(None))
            session.execute(open_.values(next_check_at=_past()))
        self._update(PaymentOutboxEntry, {"due_at": _past()})
        self._update(PaymentCallback, {"received_at": _past(), "next_attempt_at": None})

    def address(self) -> tuple[str, str]:
        return "sqlalchemy", self.engine.url.render_as_string(hide_password=False)

    def done(self) -> None:
        pass

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run(coroutine)

    @contextmanager
    def before_each_statement(self, call: Callable[[], None]) -> Iterator[None]:
        def execute(*args: Any) -> None:
            try:
                call()
            except ConnectionError as error:
                raise sqlalchemy.exc.OperationalError("SELECT", {}, error) from error

        event.listen(self.engine, "before_cursor_execute", execute)
        try:
            yield
        finally:
            event.remove(self.engine, "before_cursor_execute", execute)

    def _update(self, model: Any, columns: Mapping[str, Any]) -> None:
        with Session(self._library) as session, session.begin():
            session.execute(update(model).values(**columns))


def backend_at(kind: str, where: str) -> Backend:
    """The backend of another process, which has made its tables."""
    if kind == "sqlalchemy":
        return SqlAlchemyBackend(make_url(where))
    connection.settings_dict["NAME"] = where
    return DjangoBackend()


def url_of_test_database(sqlite_file: str) -> URL:
    """The database that Django's tests use, for SQLAlchemy; with SQLite a file of its own."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return URL.create("sqlite", database=sqlite_file)
    return URL.create(
        _DRIVERS[connection.vendor], settings["USER"], None, settings["HOST"], None,
        settings["NAME"],
    )  # fmt: skip


def _options(url: URL) -> dict[str, Any]:
    if url.drivername == "sqlite":
        # No pool: what a thread opened is closed when the thread has ended.
        return {"poolclass": NullPool, "connect_args": {"timeout": 20}}
    # A pool as sites have it, in which nobody waits, and which other tests' hang-ups do not break.
    pool = {"pool_pre_ping": True, "max_overflow": -1}
    # From 1.2 on, PyMySQL reads all authorities' certificates for each connection that may use TLS.
    return {**pool, "connect_args": {"ssl_disabled": True}} if _is_mysql(url) else pool


def _is_mysql(url: URL) -> bool:
    return url.get_backend_name() == "mysql"


def _as_stored(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {n: stored(v) if isinstance(v, datetime) else v for n, v in columns.items()}


def _past() -> datetime:
    return datetime.now(timezone.utc) - timedelta(hours=1)
