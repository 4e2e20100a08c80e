"""`Records`: a database and an app's models, checked; it gives each account its store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from ..core.errors import ConfigurationError
from ..core.payments import tables
from .connections import blocking_engine, own_engine, pool_size, refuse_shared_connection
from .inspection import declared_tables
from .models import CallbackLogMixin, Models, OutboxMixin, P, TransactionMixin
from .store import SqlAlchemyStore

if TYPE_CHECKING:
    # It needs greenlet, which SQLAlchemy 2.1 brings with its extra `asyncio` alone.
    from sqlalchemy.ext.asyncio import AsyncEngine


class Records(Generic[P]):
    """Where payments are recorded: a database, and your three models.

    To a type checker it is `Records[Payment]`, by your payments' model.

    Args:
        engine: the engine; or what gives it, where it is known later, as `lambda: db.engine`. Of an
            asynchronous one, the URL, the execution options and the pool's kind, size and times
            are used: the library records in short steps, in threads, on connections of its own and
            over a driver that blocks (`psycopg` beside asyncpg, `pymysql` beside aiomysql and
            asyncmy, Python's own beside aiosqlite). Its `connect_args` and events are its driver's
            alone: where they matter, give an engine of `create_engine()`.
        transaction: your model with `TransactionMixin`.
        callback_log: your model with `CallbackLogMixin`.
        outbox: your model with `OutboxMixin`.
        session: what gives the session of the current thread or app context, as a
            `scoped_session`: durable handlers are run in its transaction, each in a thread and an
            app context of its own. One whose scope is a context variable is refused where it gives
            a session that is in a transaction already: the calling code's. None means
            Flask-SQLAlchemy's `db.session` where the models are its own, else a session on the
            engine; `object_session(payment)` gives that.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine | Callable[[], Engine | AsyncEngine],
        transaction: type[P],
        callback_log: type[CallbackLogMixin],
        outbox: type[OutboxMixin],
        *,
        session: Callable[[], Session] | None = None,
    ) -> None:
        self._engine = engine
        self._session = session
        self._quiet: tuple[Engine, Engine] | None = None  # made once: it costs as much as a SELECT
        self.transaction = transaction
        self.callback_log = callback_log
        self.outbox = outbox
        self._models = Models(transaction, callback_log, outbox)

    @property
    def engine(self) -> Engine:
        """The engine, whose errors and log do not show what was to be written."""
        engine = self._given()
        if self._quiet is None or self._quiet[0] is not engine:
            quiet = engine.execution_options()
            quiet.hide_parameters = True
            self._quiet = (engine, quiet)
        return self._quiet[1]

    @property
    def library_engine(self) -> Engine:
        """The engine of the store: on connections of its own, the library's columns are written.

        Raises:
            ConfigurationError: yours has one connection for everybody.
        """
        return own_engine(self._given())

    def check(self) -> None:
        """Refuse an engine that payments cannot be recorded with; it connects to nothing.

        Raises:
            ConfigurationError: it has one connection for everybody.
        """
        refuse_shared_connection(self._given())

    def pool_size(self) -> int | None:
        """How many connections the app's pool has at the most; ours has as many. None: no limit."""
        return pool_size(self._given())

    def _given(self) -> Engine:
        given = self._engine() if callable(self._engine) else self._engine
        return given if isinstance(given, Engine) else blocking_engine(given)

    def check_models(self) -> None:
        """Check what the models are to have in the database; the database is not asked.

        Raises:
            ConfigurationError: a model is not made with its mixin, or its table lacks what the
                guarantees stand on.
        """
        for model, mixin in (
            (self.transaction, TransactionMixin),
            (self.callback_log, CallbackLogMixin),
            (self.outbox, OutboxMixin),
        ):
            if not (isinstance(model, type) and issubclass(model, mixin)):
                raise ConfigurationError(
                    f"records: {model!r} is no model with {mixin.__name__}", setting="records"
                )
        for table in declared_tables(self._models):
            for fault in tables.faults(table):
                raise ConfigurationError(f"records: {fault.text}", setting="records")

    def store(self, account: str) -> SqlAlchemyStore:
        """One account's store."""
        return SqlAlchemyStore(
            account, self._models, lambda: self.library_engine, self._handlers_session
        )

    def _handlers_session(self) -> Session:
        of_flask_sqlalchemy = getattr(self.transaction, "__fsa__", None)
        if self._session is not None:
            return self._session()
        if of_flask_sqlalchemy is not None:
            found: Session = of_flask_sqlalchemy.session()
            return found
        return Session(self.engine)
