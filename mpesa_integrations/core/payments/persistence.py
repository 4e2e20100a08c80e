"""Steps of a store's work, tried again within a bound where the database hung up or is locked.

A step is some of the work that is committed together. No connection need outlive it: the next may
run on a fresh one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import RecordsUnavailable
from ..failures import log_failure
from ..redaction import forgetful
from .records import R
from .schedule import jittered
from .store import Store

logger: logging.Logger = logging.getLogger("mpesa_integrations")

PATIENCE = 3.0
"""Seconds within which a step is begun again: nothing is lost if it fails, and somebody waits."""
AFTER_SENDING = 15.0
"""The same for what the answer to a payment said, which nobody says twice."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 4.0
_T = TypeVar("_T")

sleep: Callable[[float], None] = time.sleep
clock: Callable[[], float] = time.monotonic


@forgetful
def persist(store: Store[Any, Any], call: Callable[[], _T], *, patience: float = PATIENCE) -> _T:
    """Run a step of the store's work, isolated from the caller's transaction.

    Args:
        store: whose work it is.
        call: the step. Where it is tried again, a part of it may have been done before.
        patience: seconds after its beginning, after which it is not tried again.

    Raises:
        RecordsUnavailable: the database was not there in all that time.
        CalledInTransaction: as `Store.isolated`.
    """
    began, pause = clock(), _FIRST_PAUSE
    while True:
        try:
            return store.isolated(call)
        except RecordsUnavailable as error:
            if clock() - began + pause > patience:
                raise
            logger.warning("records.unavailable problem=%s", error)
        sleep(jittered(pause))
        pause = min(2 * pause, _LONGEST_PAUSE)


def raise_if_database_is_away(store: Store[Any, Any], error: Exception) -> None:
    """Raise where an error is no row's fault, since the database is away for all of them.

    Args:
        store: is asked something harmless where the error says that its database may be away.
        error: what one row's work has raised.

    Raises:
        RecordsUnavailable: it is away.
    """
    if isinstance(error, RecordsUnavailable):
        persist(store, store.oldest_open)


def reread(store: Store[R, Any], record: R) -> R:
    """Read a record again for the caller; as it was, where that cannot be.

    Receivers and others have had it meanwhile. What they wrote of the shop's own columns, a
    `save()` of the caller's would else undo.
    """
    try:
        # Isolated by itself, so that a connection that breaks here is given up.
        return store.isolated(lambda: store.get(record), writes=False)
    except Exception as error:  # noqa: BLE001 - what matters is written
        reference = record.third_party_reference
        log_failure("payment.not_read", error, third_party_reference=reference)
        return record


def describe(error: BaseException) -> str:
    """What went wrong and where, with none of an exception's own words: they may show a row."""
    if isinstance(error, RecordsUnavailable):
        return str(error)
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = "" if last is None else f" in {last.tb_frame.f_code.co_name}, line {last.tb_lineno}"
    return type(error).__name__ + where
