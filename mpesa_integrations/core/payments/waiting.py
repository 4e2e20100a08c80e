"""Waiting for a payment's outcome: its record is looked at until it is decided, or time is over.

Between two looks nothing is held: no connection, and of a coroutine no thread. What decides a
payment is a callback, or a worker that asks the gateway; waiting asks nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Generic

from ..errors import RecordsUnavailable, nothing_sent
from ..messages import Message
from .lifecycle import OPEN_STATES, State
from .limits import check_seconds
from .ownership import refuse_other_account
from .queued import Queue
from .records import C, R
from .schedule import jittered
from .store import Store, find_exactly

logger: logging.Logger = logging.getLogger("mpesa_integrations")

FOR_A_PIN = 60.0
"""Seconds within which most customers have typed their PIN, or let the question go."""
_FIRST_PAUSE, _GROWTH, _LONGEST_PAUSE = 0.1, 1.5, 1.6


def pauses(seconds: float) -> Iterator[float]:
    """The pauses between looks, in seconds: short at first, and 2 at the most.

    Args:
        seconds: from now, after which there is none any more; the last one ends then.
    """
    until, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while (left := until - time.monotonic()) > 0:
        yield min(jittered(pause), left)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


class Waiting(Generic[R, C]):
    """Waits for the outcomes of one account's payments.

    Args:
        alias: the account's name.
        store: where the records are.
        queue: fails what was not sent in time, which nobody else may decide.
    """

    def __init__(self, alias: str, store: Store[R, C], queue: Queue[R, C]) -> None:
        self._alias = alias
        self._store = store
        self._queue = queue

    def wait(self, payment: R, timeout: float) -> R:
        """Wait in this thread; as `Payments.wait`."""
        self._check(payment, timeout)
        for pause in pauses(timeout):
            decided = self._decided(payment)
            if decided is not None:
                return decided
            time.sleep(pause)
        return self._look(payment)

    async def await_outcome(self, payment: R, timeout: float) -> R:
        """Wait in a coroutine; as `Payments.await_outcome`."""
        self._check(payment, timeout)
        for pause in pauses(timeout):
            decided = await self._store.in_thread(lambda: self._decided(payment))
            if decided is not None:
                return decided
            await asyncio.sleep(pause)
        return await self._store.in_thread(lambda: self._look(payment))

    def _check(self, payment: R, timeout: float) -> None:
        check_seconds("timeout", timeout)
        refuse_other_account(payment.account, self._alias)

    def _decided(self, payment: R) -> R | None:
        """The record where it is decided; None also where the database is away for now."""
        try:
            found = self._look(payment)
        except RecordsUnavailable as error:
            logger.warning("records.unavailable problem=%s", error)
            return None
        return None if State(found.state) in OPEN_STATES else found

    def _look(self, payment: R) -> R:
        reference = payment.third_party_reference
        try:
            # As a step that writes: on SQLite, a caller's transaction would see no change.
            found = self._store.isolated(lambda: find_exactly(self._store, reference))
            if found is None:
                raise nothing_sent({"payment": [Message("is not on record")]})
            return self._queue.expire_overdue(found)
        finally:
            self._store.disconnect()
