"""On which connection payments are recorded: never inside the caller's transaction.

Outside `atomic()` that is the caller's own connection, given back while the gateway is waited for;
inside of it, one more for each step, in a thread of its own, since Django has one for each thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn, TypeVar

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from mpesa_integrations.core.errors import CalledInTransaction, RecordLocked, RecordsUnavailable
from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.tables import NOT_MIGRATED, not_migrated

from .connections import (
    HUNG_UP,
    another,
    close_if_broken,
    has_callers_work,
    is_in_test_case,
    is_in_transaction,
)

_T = TypeVar("_T")
LOCK_TIMEOUT = 5
"""Seconds for which a step on a connection of its own waits for a row: the caller may have it."""
_POSTGRESQL_LOCKED, _MARIADB_LOCKED = "55P03", 1205
_own = threading.local()


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
    if is_in_test_case(connection) or not is_in_transaction(connection):
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
    signals: list[Callable[[], None]] = []

    def work() -> _T:
        _own.signals = signals
        connections[alias] = another(callers)
        try:
            return call()
        except HUNG_UP as error:
            _raise_unavailable(error)
        finally:
            with contextlib.suppress(Exception):  # the call's outcome stands, however closing goes
                connections.close_all()

    try:
        with ThreadPoolExecutor(1, thread_name_prefix="mpesa-recorded") as pool:
            return pool.submit(work).result()
    finally:
        for send in signals:
            _after_commit_harmlessly(alias, send)


def after_commit(alias: str, send: Callable[[], None]) -> None:
    """Send signals once no transaction of the caller's is open, in whatever database.

    Where one is rolled back they are not sent, and stay in the outbox for a worker; so where
    autocommit was turned off, since nothing tells then when a transaction has ended.

    Args:
        alias: the database of the payments.
        send: called then; at once where there is no transaction, and in Django's TestCase.
    """
    signals: list[Callable[[], None]] | None = getattr(_own, "signals", None)
    if signals is not None:
        signals.append(send)
        return
    here = connections[alias]
    # A receiver writes to the shop's database, too, and would do it inside of the caller's work.
    others = [each for each in connections.all(initialized_only=True) if each is not here]
    waits_for = next(filter(has_callers_work, [here, *others]), None)
    if waits_for is None:
        send()
    elif waits_for.in_atomic_block:
        again = partial(after_commit, alias, send)
        transaction.on_commit(again, using=waits_for.alias, robust=True)


def _after_commit_harmlessly(alias: str, send: Callable[[], None]) -> None:
    try:
        after_commit(alias, send)
    except Exception as error:  # noqa: BLE001 - it stays in the outbox; the others must be sent
        log_failure("signal.not_sent", error)


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
    """Whether this is the thread of a call that `run_on_its_own` runs."""
    return getattr(_own, "signals", None) is not None


def _run_here(connection: BaseDatabaseWrapper, call: Callable[[], _T]) -> _T:
    try:
        return call()
    except HUNG_UP as error:
        close_if_broken(connection)
        _raise_unavailable(error)


def _raise_unavailable(error: Exception) -> NoReturn:
    """Our error for the database's, whose own words are left to its cause: they may show a row."""
    if str(error).startswith(NOT_MIGRATED):
        raise not_migrated(error) from error
    cause: Any = error.__cause__ or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    locked = code == _POSTGRESQL_LOCKED or error.args[:1] == (_MARIADB_LOCKED,)
    if locked and is_on_its_own():
        raise RecordLocked(
            f"A row stayed locked for {LOCK_TIMEOUT} seconds. If your own transaction has locked "
            "the payment, or what it is for, as select_for_update() does, call before that or "
            "after it has ended"
        ) from error
    what = "is locked" if locked or "is locked" in str(error) else "cannot be used"
    raise RecordsUnavailable(
        f"The database of the payments {what} ({type(cause).__name__})"
    ) from error
