"""The caller's connection: whether it is in a transaction, when it is given back, and another one.

On which of them a payment is recorded, `isolation` says.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from mpesa_integrations.core.payments.wakeups import LISTEN, Listening, can_listen

_View = TypeVar("_View", bound=Callable[..., Any])
HUNG_UP = (OperationalError, InterfaceError)
"""What Django raises where a server hung up, is away or is locked."""
_REFERENCES = 2
"""How many references a driver's connection has without a cursor: Django's, and the counter's."""

_SESSION_IS_NEEDED = """
    SELECT EXISTS (SELECT 1 FROM pg_cursors WHERE name <> '')
        OR EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
        OR EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = pg_my_temp_schema())
        OR EXISTS (SELECT 1 FROM pg_listening_channels())
"""


def is_in_test_case(connection: BaseDatabaseWrapper) -> bool:
    """Whether Django's TestCase wraps this: what is committed here is committed for the test."""
    return any(block._from_testcase for block in connection.atomic_blocks)  # type: ignore[attr-defined]


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether the caller is in `atomic()`, or has autocommit off."""
    if connection.in_atomic_block:
        return True
    # Without a connection, what the setting will make of it: nothing need be asked for that.
    if connection.connection is None:
        return not connection.settings_dict["AUTOCOMMIT"]
    return not connection.autocommit


def has_callers_work(connection: BaseDatabaseWrapper) -> bool:
    """Whether what is written here is the caller's to commit, and Django's TestCase is not it.

    Where the settings have autocommit off there is no telling, since it is so in a worker, too.
    """
    if connection.in_atomic_block:
        return not is_in_test_case(connection)
    turned_off = bool(connection.settings_dict["AUTOCOMMIT"]) and not connection.autocommit
    return connection.connection is not None and turned_off


def non_atomic(view: _View) -> _View:
    """Run a view in no transaction, whichever of the databases has ATOMIC_REQUESTS."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def disconnect(alias: str) -> None:
    """Give the caller's connection back, unless it is in use; the next query has a fresh one."""
    connection = connections[alias]
    if connection.connection is None or not _may_be_given_back(connection):
        return
    with contextlib.suppress(Exception):  # a connection that is broken is as good as closed
        connection.close()


def another(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """Make a connection to the same database, outside the caller's pool.

    From the pool it would never come where each of its connections has a caller that waits for one.
    """
    kept = {name: value for name, value in connection.settings_dict.items() if name != "OPTIONS"}
    options = {k: v for k, v in connection.settings_dict["OPTIONS"].items() if k != "pool"}
    settings = {**kept, "OPTIONS": options, "AUTOCOMMIT": True, "CONN_MAX_AGE": 0}
    return type(connection)(settings, connection.alias)


def listen(alias: str) -> Listening | None:
    """Open a connection that listens, outside the caller's pool; None where that cannot be."""
    if connections[alias].vendor != "postgresql":
        return None
    own = another(connections[alias])
    try:
        with own.cursor() as cursor:
            cursor.execute(LISTEN)
        if can_listen(own.connection):
            return Listening(own.connection, own.close)
    except BaseException:
        own.close()
        raise
    own.close()
    return None


def close_if_broken(connection: BaseDatabaseWrapper) -> None:
    """Close a connection whose server hung up, so that the next query has a fresh one."""
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
    if connection.vendor == "sqlite" or is_in_transaction(connection):
        return False
    if connection.vendor != "postgresql":
        return not _has_open_cursors(connection)
    # Here, since it needs a driver that is installed only where PostgreSQL is used.
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    # A cursor of psycopg 3 keeps the rows that it has fetched, whatever becomes of its connection.
    if not is_psycopg3 and _has_open_cursors(connection):
        return False
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SESSION_IS_NEEDED)
            return not cursor.fetchone()[0]
    except HUNG_UP:
        return True
    except Exception:  # noqa: BLE001 - another database that speaks PostgreSQL's protocol
        return False


def _has_open_cursors(connection: BaseDatabaseWrapper) -> bool:
    """Whether the caller is in a loop over rows: only a cursor refers to a driver's connection."""
    try:
        return sys.getrefcount(connection.connection) > _REFERENCES
    except AttributeError:  # another Python than CPython
        return True
