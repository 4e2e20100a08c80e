"""On which connection payments are recorded: never inside the caller's transaction.

Outside `atomic()` that is the caller's own connection, given back while the gateway is waited for;
inside of it, one more for each step, in a thread of its own, since Django has one for each thread.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from mpesa_integrations.core.errors import CalledInTransaction, RecordLocked, RecordsUnavailable
from mpesa_integrations.core.failures import log_failure

_T = TypeVar("_T")
_HUNG_UP = (OperationalError, InterfaceError)
LOCK_TIMEOUT = 5
"""Seconds for which a step on a connection of its own waits for a row: the caller may have it."""
_POSTGRESQL_LOCKED, _MARIADB_LOCKED = "55P03", 1205
_REFERENCES = 2
"""To a driver's connection: Django's, and that of who counts them."""
_own = threading.local()

_SESSION_IS_NEEDED = """
    SELECT EXISTS (SELECT 1 FROM pg_cursors WHERE name <> '')
        OR EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
        OR EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = pg_my_temp_schema())
        OR EXISTS (SELECT 1 FROM pg_listening_channels())
"""


def run_isolated(alias: str, call: Callable[[], _T], *, writes: bool = True) -> _T:
    """Run a call so that its records are committed, whatever the caller's transaction does.

    Args:
        alias: the database.
        call: what writes records there.
        writes: False where it only reads; SQLite lets that be done anywhere.

    Raises:
        CalledInTransaction: SQLite, inside `atomic()` or with autocommit off.
        RecordLocked: inside `atomic()`, a row stayed locked.
        RecordsUnavailable: the database hung up, is away or is locked.
    """
    connection = connections[alias]
    if is_in_test_case(connection) or not _is_in_transaction(connection):
        return _run_here(connection, call)
    if connection.vendor != "sqlite":
        return run_on_its_own(alias, call)
    if writes:
        raise CalledInTransaction(
            "An M-Pesa call inside transaction.atomic(), or with autocommit off, cannot be "
            "recorded safely on SQLite, which has one writer at a time: call it outside, or with "
            "transaction.on_commit(); see also ATOMIC_REQUESTS"
        )
    return _run_here(connection, call)


def run_on_its_own(alias: str, call: Callable[[], _T]) -> _T:
    """Run a call in a thread and on a connection of its own, which are gone when it returns.

    Raises:
        RecordLocked: a row stayed locked.
        RecordsUnavailable: the database hung up, is away or is locked.
    """
    callers = connections[alias]
    events: list[Callable[[], None]] = []

    def work() -> _T:
        _own.events = events
        connections[alias] = _another(callers)
        try:
            return call()
        except _HUNG_UP as error:
            raise _unavailable(error) from error
        finally:
            with contextlib.suppress(Exception):  # what was done is done, however it is parted from
                connections.close_all()

    try:
        with ThreadPoolExecutor(1, thread_name_prefix="mpesa-recorded") as pool:
            return pool.submit(work).result()
    finally:
        for send in events:
            _after_commit_harmlessly(alias, send)


def after_commit(alias: str, send: Callable[[], None]) -> None:
    """Send a signal once the caller's transaction, if there is one, has been committed."""
    events: list[Callable[[], None]] | None = getattr(_own, "events", None)
    connection = connections[alias]
    if events is not None:
        events.append(send)
    elif connection.in_atomic_block and not is_in_test_case(connection):
        transaction.on_commit(send, using=alias, robust=True)
    else:
        send()


def _after_commit_harmlessly(alias: str, send: Callable[[], None]) -> None:
    try:
        after_commit(alias, send)
    except Exception as error:  # noqa: BLE001 - it stays to be told, and keeps no other from it
        log_failure("signal.not_sent", error)


def disconnect(alias: str) -> None:
    """Give the caller's connection back, unless it is in use; the next query has a fresh one."""
    connection = connections[alias]
    if connection.connection is None or not _may_be_given_back(connection):
        return
    with contextlib.suppress(Exception):  # a connection that is broken is as good as closed
        connection.close()


def may_bound_lock_waits(alias: str) -> bool:
    """Whether a transaction begun now can have a bound that ends with it, and needs one.

    PostgreSQL waits for ever unless told otherwise; the others have bounds of their own.
    """
    connection = connections[alias]
    return connection.vendor == "postgresql" and not connection.in_atomic_block


def bound_lock_waits(alias: str, *, always: bool = False) -> None:
    """Keep this transaction from waiting for another's lock for ever.

    Args:
        alias: the database.
        always: also where it is not on a connection of its own.
    """
    if not (always or is_on_its_own()):
        return
    connection = connections[alias]
    statements = {
        # For this transaction only: a pooler in between may hand the session to somebody else.
        "postgresql": f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'",
        "mysql": f"SET SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT}, "
        f"lock_wait_timeout = {LOCK_TIMEOUT}",
    }
    if connection.vendor in statements:
        with connection.cursor() as cursor:
            cursor.execute(statements[connection.vendor])


def is_on_its_own() -> bool:
    """Whether this is a thread that `run_isolated` has made."""
    return getattr(_own, "events", None) is not None


def is_in_test_case(connection: BaseDatabaseWrapper) -> bool:
    """Whether Django's TestCase wraps this: what is committed here is committed for the test."""
    return any(block._from_testcase for block in connection.atomic_blocks)  # type: ignore[attr-defined]


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    if connection.in_atomic_block:
        return True
    # Without a connection, what the setting will make of it: nothing need be asked for that.
    if connection.connection is None:
        return not connection.settings_dict["AUTOCOMMIT"]
    return not connection.autocommit


def _run_here(connection: BaseDatabaseWrapper, call: Callable[[], _T]) -> _T:
    try:
        return call()
    except _HUNG_UP as error:
        _close_if_broken(connection)
        raise _unavailable(error) from error


def _another(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """A connection to the same database, outside the caller's pool.

    From the pool it would never come where each of its connections has a caller that waits for one.
    """
    kept = {name: value for name, value in connection.settings_dict.items() if name != "OPTIONS"}
    options = {k: v for k, v in connection.settings_dict["OPTIONS"].items() if k != "pool"}
    settings = {**kept, "OPTIONS": options, "AUTOCOMMIT": True, "CONN_MAX_AGE": 0}
    return type(connection)(settings, connection.alias)


def _close_if_broken(connection: BaseDatabaseWrapper) -> None:
    if (
        connection.connection is None
        or connection.in_atomic_block
        or connection.vendor == "sqlite"  # it has no server that could hang up
    ):
        return
    with contextlib.suppress(Exception):
        if not connection.is_usable():
            connection.close()


def _may_be_given_back(connection: BaseDatabaseWrapper) -> bool:
    if connection.vendor == "sqlite" or _is_in_transaction(connection):
        return False
    if connection.vendor != "postgresql":
        return not _has_open_cursors(connection)
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    # A cursor of psycopg 3 keeps the rows that it has fetched, whatever becomes of its connection.
    if not is_psycopg3 and _has_open_cursors(connection):
        return False
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SESSION_IS_NEEDED)
            return not cursor.fetchone()[0]
    except _HUNG_UP:
        return True
    except Exception:  # noqa: BLE001 - another database that speaks PostgreSQL's protocol
        return False


def _has_open_cursors(connection: BaseDatabaseWrapper) -> bool:
    """Whether the caller is in a loop over rows: only a cursor refers to a driver's connection."""
    try:
        return sys.getrefcount(connection.connection) > _REFERENCES
    except AttributeError:  # another Python than CPython
        return True


def _unavailable(error: Exception) -> RecordsUnavailable:
    """Our error for the database's, whose own words are left to its cause: they may show a row."""
    cause: Any = error.__cause__ or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    locked = code == _POSTGRESQL_LOCKED or error.args[:1] == (_MARIADB_LOCKED,)
    if locked and is_on_its_own():
        return RecordLocked(
            f"A row stayed locked for {LOCK_TIMEOUT} seconds. If your own transaction has locked "
            "the payment, or what it is for, as select_for_update() does, call before that or "
            "after it has ended"
        )
    what = "is locked" if locked or "is locked" in str(error) else "cannot be used"
    return RecordsUnavailable(f"The database of the payments {what} ({type(cause).__name__})")
