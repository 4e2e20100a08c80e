"""Checks: an open payment's status is queried, and its record moved on by what the answer proves.

A check is one call, or three steps for a worker that waits for many answers at a time.
"""

from __future__ import annotations

from typing import Generic

from ..errors import MpesaError
from ..protocol.results import TransactionStatusResult
from .callback_intake import CallbackIntake
from .evidence import DECIDED
from .lifecycle import AWAITED_STATES, FINAL_STATES, State
from .ownership import refuse_other_account
from .persistence import persist, reread
from .queued import Queue
from .recorder import Recorder
from .records import C, R
from .status_queries import StatusQueries, seconds_under_way
from .store import Store


class Checks(Generic[R, C]):
    """Finds out from the gateway what became of one account's payments.

    Args:
        alias: the account's name.
        store: where the records are.
        queries: asks, and says what an answer proves.
        recorder: writes it down.
        callbacks: of which some may have waited for what an answer says.
        queue: has what nothing was sent of, so that there is nothing to ask.
    """

    def __init__(
        self,
        alias: str,
        store: Store[R, C],
        *,
        queries: StatusQueries[R, C],
        recorder: Recorder[R, C],
        callbacks: CallbackIntake[R, C],
        queue: Queue[R, C],
    ) -> None:
        self._alias = alias
        self._store = store
        self._queries = queries
        self._recorder = recorder
        self._callbacks = callbacks
        self._queue = queue

    def check(self, record: R) -> R:
        """Ask the gateway, and move the record on; as `Payments.check`."""
        known = self.begin(record)
        if not self.is_open(known):
            return known
        try:
            answer = self.query_status(known)
        except MpesaError as error:
            self.unanswered(known, error)
            raise
        return self.answered(known, answer)

    def begin(self, record: R) -> R:
        """Read what is to be asked for, and hold no connection from then on; or what is final."""
        refuse_other_account(record.account, self._alias)
        if State(record.state) in FINAL_STATES:
            return self._store.isolated(lambda: self._store.get(record), writes=False)
        known = persist(self._store, lambda: self._store.get(record))
        refuse_other_account(known.account, self._alias)
        if State(known.state) is State.QUEUED:
            return persist(self._store, lambda: self._queue.expire(known))
        if self.is_open(known):
            self._store.disconnect()
        return known

    def is_open(self, record: R) -> bool:
        """Whether the gateway is to be asked for a payment."""
        return State(record.state) in AWAITED_STATES

    def answered(self, record: R, answer: TransactionStatusResult) -> R:
        """Write down what the gateway said, and read the record again.

        While the payment's own call is under way, that is only what decides it: else it would look
        as if that call had ended, and a person could decide that no money moved.
        """
        is_early = seconds_under_way(self._store, record) > 0
        if is_early and self._queries.report_on(record, answer).evidence not in DECIDED:
            return reread(self._store, record)
        return persist(self._store, lambda: reread(self._store, self.apply_status(record, answer)))

    def unanswered(self, record: R, problem: MpesaError) -> None:
        """Write down that it said nothing, unless the payment's own call is under way."""
        if not seconds_under_way(self._store, record):
            persist(self._store, lambda: self.defer(record, problem))

    def query_reference(self, record: R) -> str:
        """By what the gateway is asked for a payment."""
        return self._queries.reference_of(record)

    def query_status(self, record: R) -> TransactionStatusResult:
        """The first step: ask the gateway, touching no record. Safe in any thread."""
        return self._queries.query_status(record)

    def apply_status(self, record: R, answer: TransactionStatusResult) -> R:
        """The second step: move the record on by the answer, and note that it was asked for."""
        report = self._queries.report_on(record, answer)
        after = self._callbacks.apply_waiting(self._recorder.apply(record, report))
        # Where no query can tell any more, there is nothing to wait for.
        over = report.unproven and not report.check_again and not report.duplicate
        return self._recorder.escalate(after, at_once=over and not after.conversation_id)

    def defer(self, record: R, problem: Exception) -> R:
        """Instead of that, where there was no answer: ask again later."""
        return self._recorder.defer(record, problem)
