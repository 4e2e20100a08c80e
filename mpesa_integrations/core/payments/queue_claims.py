"""A worker's claim of queued payments: taken by one commit and then read, over a hang-up at either.

Which payments may be claimed is in `queued`; how they are sent, in `queue_sender`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic

from .lifecycle import State
from .persistence import persist
from .recorder import Recorder
from .records import C, OutboxEntry, R
from .schedule import FIRST_CHECK, time_left
from .store import Store

_Taken = Mapping[Any, Sequence[OutboxEntry]]


class QueueClaim(Generic[R, C]):
    """Payments that one worker takes, for nobody else to send.

    So it is kept, and `take` called again, until that has given them.

    Args:
        store: where they are.
        recorder: logs them.
        check_at: when each is asked for, should this process die. By it they are found again where
            nobody heard whether they were taken.
        claim: takes them, committed; gives their keys, each with its outbox entries.

    Attributes:
        left: gives the seconds within which they may be sent. What a worker that stood still for
            longer has taken is not sent: by then a person may have decided of it.
    """

    def __init__(
        self,
        store: Store[R, C],
        recorder: Recorder[R, C],
        check_at: datetime,
        claim: Callable[[], _Taken],
    ) -> None:
        self.left: Callable[[], float] = time_left(FIRST_CHECK)
        self._store = store
        self._recorder = recorder
        self._check_at = check_at
        self._claim = claim
        self._is_begun = False
        self._taken: _Taken | None = None

    def take(self) -> list[tuple[R, Sequence[OutboxEntry]]]:
        """Claim them, unless that is done, and read them; each with its outbox entries.

        One that is not initiated any more was decided since, and is not to be sent.

        Raises:
            RecordsUnavailable: the database is away; to be called again.
        """
        taken = persist(self._store, self._take_once)
        records = persist(self._store, lambda: self._store.read_claimed(list(taken)))
        for record in records:
            if State(record.state) is State.INITIATED:
                self._recorder.log_state(record)
        return [(record, taken[record.pk]) for record in records]

    def _take_once(self) -> _Taken:
        if self._taken is None:
            # Entries of a commit that was not heard of are the outbox's to dispatch.
            before = self._store.claimed_queued(self._check_at) if self._is_begun else ()
            if before or (self._is_begun and self.left() <= 0):
                self._taken = dict.fromkeys(before, ())
            else:
                self._is_begun = True
                self._taken = self._claim()
        return self._taken
