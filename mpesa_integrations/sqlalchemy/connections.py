"""The library's own connections to the database: from a pool beside the app's, never from it.

A view that holds a session while it pays holds a connection. If ours came from the same pool, then
as many paying views as it has connections would wait for each other. Ours are held for one short
step at a time, and no holder of one waits for another. Sessions on them are in `sessions`.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, Pool, QueuePool, SingletonThreadPool, StaticPool

from ..core.errors import ConfigurationError, RecordLocked, RecordsUnavailable
from ..core.payments.tables import NOT_MIGRATED, not_migrated
from ..core.payments.wakeups import LISTEN, Listening, can_listen
from .protection import THE_LIBRARY

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

LOCK_TIMEOUT = 5
"""Seconds for which a row is waited for: the caller's own transaction may have it."""
MYSQL = frozenset({"mysql", "mariadb"})
_POSTGRESQL_LOCKED, _MARIADB_LOCKED = "55P03", 1205
_OURS = "_mpesa_integrations"
"""The attribute of the app's engine that ours is kept in."""
_POOLS = "_mpesa_integrations_pools"
"""The attribute of the engine with the app's pool that those beside it are kept in."""
_BLOCKING = "_mpesa_integrations_blocking"
"""The attribute of an asynchronous engine that those beside it are kept in, which block."""
_BLOCKING_DRIVERS = {
    "postgresql": "psycopg",
    "mysql": "pymysql",
    "mariadb": "pymysql",
    "sqlite": "pysqlite",
}
_UNKNOWN_OPTION = re.compile("invalid connection option|keyword argument")
"""What psycopg says of an option that it does not know, and Python of others' arguments."""


class _OwnEngine(OptionEngine):
    """An engine with another's options, dialect and events, and a pool of its own.

    Its errors and its log do not show what was to be written.
    """

    pool: Any = None  # in place of the property that gives the other's

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, THE_LIBRARY)
        self.hide_parameters = True
        self.beside = engine.pool
        self.process = os.getpid()
        self.pool = _pool_beside(engine)

    def is_of(self, engine: Engine) -> bool:
        """Whether it may be used still: no connection is shared with the process that forked."""
        return self.beside is engine.pool and self.process == os.getpid()


def blocking_engine(engine: AsyncEngine) -> Engine:
    """Give an engine for the same database whose calls block; made where there is none.

    Raises:
        ConfigurationError: no driver is known for it, or the driver is not installed.
    """
    beside = _with_pool(engine.sync_engine)
    # By process, as the pools beside the app's are.
    kept: dict[int, Engine] = vars(beside).setdefault(_BLOCKING, {})
    found = kept.get(os.getpid())
    if found is None:
        found = kept.setdefault(os.getpid(), _made_blocking(beside))
        event.listen(beside, "engine_disposed", _dispose_blocking)
    options = engine.sync_engine.get_execution_options()
    return found.execution_options(**options) if options else found


def _made_blocking(engine: Engine) -> Engine:
    name = engine.dialect.name
    driver = _BLOCKING_DRIVERS.get(name)
    if driver is None:
        raise ConfigurationError(
            f"the payments' database has an asynchronous engine for {name}, beside which no driver "
            "is known that blocks: give Records an engine of create_engine()",
            setting="engine",
        )
    refuse_shared_connection(engine)
    url = engine.url.set(drivername=f"{name}+{driver}")
    try:
        made = create_engine(url, **_options_of_pool(engine.pool))
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"payments are recorded over {driver}, beside {engine.driver}: pip install {driver}",
            setting="engine",
        ) from None
    event.listen(made, "do_connect", partial(_connect, engine.driver))
    return made


def _options_of_pool(pool: Any) -> dict[str, Any]:
    """What makes a pool like that of an asynchronous engine, as far as it says so itself."""
    options = {"pool_pre_ping": True, "pool_recycle": pool._recycle}
    if isinstance(pool, NullPool):
        return options | {"poolclass": NullPool}
    if not isinstance(pool, QueuePool):
        return options
    return options | {
        "poolclass": QueuePool,
        "pool_size": pool.size(),
        "max_overflow": pool._max_overflow,
        "pool_timeout": pool._timeout,
        "pool_use_lifo": pool._pool.use_lifo,
    }


def _connect(beside: str, dialect: Any, record: Any, args: Any, options: Any) -> Any:
    """Connect, and say what to do where the driver does not know an option of the other's URL.

    Raises:
        ConfigurationError: it does not.
    """
    try:
        return dialect.connect(*args, **options)
    except (TypeError, dialect.loaded_dbapi.ProgrammingError) as error:
        if not _UNKNOWN_OPTION.search(str(error)):
            raise
        raise ConfigurationError(
            f"the payments' database has an asynchronous engine, beside which {dialect.driver} is "
            f"used, and an option of its URL is {beside}'s alone ({error}): give Records an engine "
            "of create_engine()",
            setting="engine",
        ) from None


def _dispose_blocking(engine: Engine) -> None:
    """Close this process's, and none of the process that forked."""
    made: Engine | None = vars(_with_pool(engine))[_BLOCKING].pop(os.getpid(), None)
    if made is not None:
        made.dispose()


def own_engine(engine: Engine) -> Engine:
    """Give the engine for the library's own connections; made where there is none.

    Raises:
        ConfigurationError: as `refuse_shared_connection`.
    """
    found: _OwnEngine | None = vars(engine).get(_OURS)
    if found is not None and found.is_of(engine):
        return found
    refuse_shared_connection(engine)
    made = _OwnEngine(engine)
    vars(engine)[_OURS] = made
    return made


def refuse_shared_connection(engine: Engine) -> None:
    """Refuse an engine that has one connection for everybody.

    Raises:
        ConfigurationError: it is one, as that of an in-memory SQLite database.
    """
    # SingletonThreadPool has one for each thread: the view's and ours.
    if isinstance(engine.pool, (StaticPool, SingletonThreadPool)) or _is_in_memory(engine):
        raise ConfigurationError(
            "The payments' database has one connection for everybody "
            f"({type(engine.pool).__name__}), as an in-memory SQLite database has: with each step "
            "of a payment, what your own session has half done would be committed, too. Use a "
            "file, in a test as f\"sqlite:///{tmp_path / 'shop.db'}\", or another pool",
            setting="engine",
        )


def listen(engine: Engine) -> Listening | None:
    """Open a connection that listens, which no pool has; None where that cannot be.

    Args:
        engine: the library's own.
    """
    if engine.dialect.name != "postgresql":
        return None
    connection = engine.connect()
    try:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        driver = connection.connection.driver_connection
        connection.detach()
        connection.exec_driver_sql(LISTEN)
        if can_listen(driver):
            return Listening(driver, connection.close)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def pool_size(engine: Engine) -> int | None:
    """How many connections the app's pool has at the most; ours has as many. None: no limit."""
    overflow = getattr(engine.pool, "_max_overflow", -1)
    size = getattr(engine.pool, "size", None)
    return None if size is None or overflow < 0 or not size() else int(size()) + int(overflow)


def unavailable(error: Exception) -> RecordsUnavailable | ConfigurationError | None:
    """Our error for a fault of the database that may pass, or for a table that is not there.

    The database's own text stays with the cause: it may show a row.
    """
    if isinstance(error, PoolTimeout):
        return RecordsUnavailable(
            "No connection to the payments' database came free in time: more payments are "
            "recorded at once than pool_size, max_overflow and pool_timeout allow"
        )
    # SQLAlchemy does not wrap all of a driver's errors, as where it sets the isolation level.
    cause: Any = (error.orig if isinstance(error, DBAPIError) else None) or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if code == _POSTGRESQL_LOCKED or cause.args[:1] == (_MARIADB_LOCKED,):
        return RecordLocked(
            f"A row stayed locked for {LOCK_TIMEOUT} seconds. If your own session has locked the "
            "payment, or what it refers to, as with_for_update() does, call before that or after "
            "its commit"
        )
    # PEP 249's names, by which any driver calls them, and SQLAlchemy.
    kinds = {kind.__name__ for one in (error, cause) for kind in type(one).__mro__}
    hung_up = isinstance(error, DBAPIError) and error.connection_invalidated
    if str(cause).startswith(NOT_MIGRATED):
        return not_migrated(cause)
    if not hung_up and kinds.isdisjoint({"OperationalError", "InterfaceError"}):
        return None
    what = "is locked" if "is locked" in str(cause) else "cannot be used"
    return RecordsUnavailable(f"The database of the payments {what} ({type(cause).__name__})")


def _pool_beside(engine: Engine) -> Pool:
    """A pool like the app's: its size, its time-outs, its way to connect and its events."""
    shared = _with_pool(engine)
    # By process. A parent's stays referenced, since to collect a connection is to end it.
    kept: dict[int, Pool] = vars(shared).setdefault(_POOLS, {})
    found = kept.get(os.getpid())
    if found is None:
        made = engine.pool.recreate()
        if engine.dialect.name in MYSQL:
            event.listen(made, "connect", _bound_lock_waits)
        found = kept.setdefault(os.getpid(), made)  # another thread's, which came first
        event.listen(shared, "engine_disposed", _dispose)
    return found


def _with_pool(engine: Engine) -> Engine:
    """The engine that has the pool: those with execution options of their own share it."""
    while isinstance(engine, OptionEngine):
        engine = engine._proxied
    return engine


def _bound_lock_waits(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT}")
    cursor.close()


def _dispose(engine: Engine) -> None:
    """Close ours when the app closes its own, unless they are those of the process that forked."""
    ours: Pool | None = vars(_with_pool(engine))[_POOLS].pop(os.getpid(), None)
    if ours is not None:
        ours.dispose()


def _is_in_memory(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite" and engine.url.database in (None, "", ":memory:")
