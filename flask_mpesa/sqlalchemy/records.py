"""`Records`: a database and an app's models, checked; it gives each account its store."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import Engine

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.payments import tables

from .connections import own_engine, pool_size, refuse_shared_connection
from .inspection import declared_tables
from .models import CallbackLogMixin, Models, OutboxMixin, TransactionMixin
from .store import SqlAlchemyStore


class Records:
    """Where payments are recorded: a database, and your three models.

    Args:
        engine: the engine; or what gives it, where it is known later, as `lambda: db.engine`.
        transaction: your model with `TransactionMixin`.
        callback_log: your model with `CallbackLogMixin`.
        outbox: your model with `OutboxMixin`.
    """

    def __init__(
        self,
        engine: Engine | Callable[[], Engine],
        transaction: type[TransactionMixin],
        callback_log: type[CallbackLogMixin],
        outbox: type[OutboxMixin],
    ) -> None:
        self._engine = engine
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
        return self._engine if isinstance(self._engine, Engine) else self._engine()

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
        return SqlAlchemyStore(account, self._models, lambda: self.library_engine)
