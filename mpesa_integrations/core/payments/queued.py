"""Queued payments: recorded for a worker to send, until they are claimed, withdrawn or too late.

Of these nothing was sent, so none is ever asked for. How the claimed ones are sent is in
`queue_sender`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, get_args

from ..client.blocking import MpesaClient
from ..errors import CalledInTransaction, RecordsUnavailable, nothing_sent, wrong_setting
from ..failures import log_failure
from ..messages import Message
from ..settings.account import AccountSettings, Send
from .callback_intake import CallbackIntake
from .events import event_of
from .evidence import StatusReport
from .lifecycle import Evidence, State
from .outbox import Outbox
from .ownership import refuse_other_account
from .persistence import persist, reread
from .queue_claims import QueueClaim
from .recorder import Recorder
from .records import NOT_SENT_IN_TIME, WITHDRAWN, C, Change, OutboxEntry, R
from .schedule import FIRST_CHECK, utc_now
from .store import Store

_NOT_SHARED = Message("needs records in a database, which a worker sees, too")


def is_overdue(store: Store[R, Any], record: R) -> bool:
    """Whether a payment is queued, and may not be sent any more.

    Args:
        store: where it is recorded.
        record: the payment.
    """
    until = record.send_before
    if State(record.state) is not State.QUEUED:
        return False
    return until is None or store.aware(until) <= utc_now()


class Queue(Generic[R, C]):
    """One account's payments that a worker is to send.

    But for `withdraw`, its methods are steps of the store's work, as the recorder's are.

    Args:
        alias: the account's name.
        settings: who sends, and how long a payment may wait for that.
        client: whose settings say how long an answer may take.
        store: where the records are.
        outbox: has the entries of events.
        recorder: writes down what became of a payment.
        callbacks: of which some may have come for a payment that was never sent.
        enqueue: puts a task that sends a payment on a queue; called with its account and its
            third-party reference. None where there is no such queue.

    Raises:
        ConfigurationError: a worker is to send, and would not see the records; or a task, and
            there is no queue.
    """

    def __init__(
        self,
        alias: str,
        *,
        settings: AccountSettings,
        client: MpesaClient,
        store: Store[R, C],
        outbox: Outbox[R, C],
        recorder: Recorder[R, C],
        callbacks: CallbackIntake[R, C],
        enqueue: Callable[[str, str], object] | None,
    ) -> None:
        if settings.send != "now" and not store.is_shared:
            raise wrong_setting("send", f'is "{settings.send}", which {_NOT_SHARED}')
        if settings.send == "task" and enqueue is None:
            raise wrong_setting("send", 'is "task", which Django and Flask have; use "worker"')
        self._alias = alias
        self._settings = settings
        self._client = client
        self._store = store
        self._outbox = outbox
        self._recorder = recorder
        self._callbacks = callbacks
        self._enqueue = enqueue

    def is_for(self, send: Send | None) -> bool:
        """Whether a call's payment is to be queued.

        Args:
            send: what the call says; None means as the account's settings say.

        Raises:
            ValidationError: it is neither "now" nor "worker", or a worker would not see the record.
        """
        if send is not None and send not in get_args(Send):
            raise nothing_sent({"send": [Message('must be "now" or "worker"')]})
        is_worker = (send or self._settings.send) != "now"
        if is_worker and not self._store.is_shared:
            raise nothing_sent({"send": [_NOT_SHARED]})
        return is_worker

    def columns(self) -> dict[str, Any]:
        """What is written of a payment that is queued now; it is looked at when its time is up."""
        until = utc_now() + self._settings.send_within
        return {"state": State.QUEUED, "send_before": until, "next_check_at": until}

    def expire(self, record: R) -> R:
        """Fail a payment that was not sent in time; any other is given as it is."""
        if not is_overdue(self._store, record):
            return record
        return self._end(record, Evidence.DECLINED, NOT_SENT_IN_TIME) or self._store.get(record)

    def expire_overdue(self, record: R) -> R:
        """Fail a payment that was just read where it was not sent in time; it raises nothing.

        So a page does not wait for what no worker may send any more. Where that cannot be written
        now, the record is given as it is, and who comes next writes it.
        """
        if not is_overdue(self._store, record):
            return record
        try:
            return self._store.isolated(lambda: self.expire(record))
        except CalledInTransaction:  # on SQLite, a caller's transaction is the only writer
            return record
        except RecordsUnavailable as error:
            reference = record.third_party_reference
            log_failure("queue.not_expired", error, third_party_reference=reference)
            return record

    def look_at(self, record: R) -> bool:
        """Do what is due of a queued payment, whose time should be up; True where it failed."""
        if is_overdue(self._store, record):
            return self._end(record, Evidence.DECLINED, NOT_SENT_IN_TIME) is not None
        if State(record.state) is State.QUEUED and record.send_before is not None:
            values = {"next_check_at": self._store.aware(record.send_before)}
            self._store.change(record, State.QUEUED, Change(values=values))
        return False

    def withdraw(self, record: R) -> R:
        """Take back what is still queued; as `Payments.withdraw`."""
        refuse_other_account(record.account, self._alias)
        return persist(self._store, partial(self._withdraw, record))

    def announce(self, record: R) -> None:
        """Have a task sent for a payment that is queued, and committed; it raises nothing."""
        if self._settings.send != "task" or self._enqueue is None:
            return
        reference = record.third_party_reference
        try:
            self._enqueue(self._alias, reference)
        except Exception as error:  # noqa: BLE001 - any worker may send it, or its time runs out
            log_failure("queue.not_announced", error, third_party_reference=reference)

    def claim(self, limit: int, reference: str | None = None) -> QueueClaim[R, C]:
        """Begin a claim of payments that are to be sent now, by this process alone.

        Args:
            limit: how many at the most.
            reference: only the one with this third-party reference.
        """
        now = utc_now()
        # As for a payment that its own call sends.
        check_at = now + self._client.longest_attempt + FIRST_CHECK
        claim = partial(
            self._store.claim_queued, now, check_at, limit, self._entries, reference=reference
        )
        return QueueClaim(self._store, self._recorder, check_at, claim)

    def hand_back(self, record: R) -> R | None:
        """Queue a claimed payment again, of which surely nothing was sent.

        Returns:
            The record; None where it is not as it was when it was claimed.
        """
        until = record.send_before
        values = {
            "state": State.QUEUED,
            "next_check_at": None if until is None else self._store.aware(until),
        }
        change = self._recorder.change_to(State.QUEUED, record, values)
        # A try whose commit was not heard of may have queued it, and another worker be sending it.
        return self._recorder.write(replace(change, as_claimed=True), record)

    def _withdraw(self, record: R) -> R:
        known = self._store.get(record)
        refuse_other_account(known.account, self._alias)
        if State(known.state) is State.QUEUED:
            withdrawn = self._end(known, Evidence.CANCELLED, WITHDRAWN)
            if withdrawn is not None:
                return reread(self._store, withdrawn)
            known = self._store.get(known)
        return known

    def _end(self, record: R, evidence: Evidence, said: str) -> R | None:
        """End a queued payment; None where a worker has claimed it meanwhile."""
        report = StatusReport(evidence=evidence, description=said)
        # Once, and not as `apply`, which goes on from whatever state the payment is in by then.
        ended = self._recorder.write(self._recorder.change_for(record, report), record)
        return None if ended is None else self._callbacks.apply_waiting(ended)

    def _entries(self, operation: str) -> Sequence[OutboxEntry]:
        return self._outbox.entries_for(event_of(operation, State.INITIATED))
