"""Resolutions: a person decides what became of a payment that the gateway does not tell of."""

from __future__ import annotations

import math
from functools import partial
from typing import Generic

from ..errors import ValidationError, nothing_sent
from ..failures import log_failure
from ..messages import Message
from .callback_intake import CallbackIntake
from .evidence import DECIDED_BY, StatusReport
from .lifecycle import FINAL_STATES, MONEY_MOVED_STATES, OPEN_STATES, Evidence, State
from .orders import is_in_conflict
from .ownership import refuse_other_account
from .persistence import persist, reread
from .recorder import Recorder
from .records import C, OrderClaimed, R, Record, TransactionClaimed
from .status_queries import seconds_under_way
from .store import Store

_EVIDENCE = {
    State.COMPLETED: Evidence.SUCCEEDED,
    State.FAILED: Evidence.DECLINED,
    State.CANCELLED: Evidence.CANCELLED,
}


class Resolutions(Generic[R, C]):
    """Applies what people decide of one account's payments, as any other evidence is applied.

    Args:
        alias: the account's name.
        store: where the records are.
        recorder: writes a decision down.
        callbacks: of which some may have waited, since nothing proved them.
    """

    def __init__(
        self,
        alias: str,
        store: Store[R, C],
        recorder: Recorder[R, C],
        callbacks: CallbackIntake[R, C],
    ) -> None:
        self._alias = alias
        self._store = store
        self._recorder = recorder
        self._callbacks = callbacks

    def resolve(self, record: R, state: State, *, by: str, note: str) -> R:
        """As `Payments.resolve`."""
        refuse_other_account(record.account, self._alias)
        evidence = _EVIDENCE.get(State(state))
        if evidence is None:
            problem = Message("must be completed, failed or cancelled")
            raise nothing_sent({"state": [problem]})
        said = f"{DECIDED_BY} {by}: {note}"
        report = StatusReport(evidence=evidence, description=said, decided=True)
        decided = persist(self._store, partial(self._decide, record, report))
        try:
            # One that nothing proved until now may say otherwise.
            return persist(self._store, lambda: self._callbacks.apply_waiting(decided))
        except Exception as error:  # noqa: BLE001 - it is decided
            reference = decided.third_party_reference
            log_failure("callback.not_applied", error, third_party_reference=reference)
            return decided

    def _decide(self, record: R, report: StatusReport) -> R:
        known = self._store.get(record)
        refuse_other_account(known.account, self._alias)
        if State(known.state) in FINAL_STATES:
            return self._decide_contradiction(known, report)
        if State(known.state) is State.QUEUED:
            return self._decide_queued(known, report)
        if report.evidence is not Evidence.SUCCEEDED:
            self._refuse_under_way(known)
        decided = self._recorder.apply(known, report)
        if report.evidence is Evidence.SUCCEEDED and State(decided.state) in OPEN_STATES:
            raise _refuse_claimed(known)
        return reread(self._store, decided)

    def _refuse_under_way(self, known: R) -> None:
        """Refuse to say that no money moved while the customer may be typing the PIN.

        Else the order could be paid a second time meanwhile.
        """
        seconds = math.ceil(seconds_under_way(self._store, known))
        if seconds:
            problem = Message(
                "its call is under way, and the customer may pay yet: look at it again in "
                "%(seconds)s seconds",
                seconds=seconds,
            )
            raise nothing_sent({"record": [problem]})

    def _decide_queued(self, known: R, report: StatusReport) -> R:
        """Decide of a payment of which nothing was sent that nothing is to be sent."""
        if report.evidence is Evidence.SUCCEEDED:
            problem = Message("the payment is queued: nothing was sent, so no money moved by it")
            raise nothing_sent({"state": [problem]})
        decided = self._recorder.write(self._recorder.change_for(known, report), known)
        if decided is None:  # what was decided of a payment that is being sent, was not this
            problem = Message("the payment is being sent by now: look at it again")
            raise nothing_sent({"record": [problem]})
        return reread(self._store, decided)

    def _decide_contradiction(self, known: R, report: StatusReport) -> R:
        """Decide between what was evident of a payment first and what contradicted it."""
        if _is_decided_so(known, report):
            return known
        is_of_money = State(known.state) in MONEY_MOVED_STATES
        if not is_in_conflict(known) or (is_of_money and report.evidence is not Evidence.SUCCEEDED):
            problem = Message("the payment is %(state)s, which is final", state=str(known.state))
            raise nothing_sent({"record": [problem]})
        try:
            decided = self._recorder.decide(known, report)
        except TransactionClaimed as error:
            raise _refuse_claimed(known) from error
        except OrderClaimed as error:
            problem = Message(
                "its order is being paid, or was, by the payment %(reference)s",
                reference=error.reference,
            )
            raise nothing_sent({"record": [problem]}) from error
        return self._decide(known, report) if decided is None else reread(self._store, decided)


def _is_decided_so(known: Record, report: StatusReport) -> bool:
    """Whether this very decision is on record: a try whose commit was not heard of, or a click."""
    same = known.response_description == report.description[:255] and not is_in_conflict(known)
    return same and _EVIDENCE.get(State(known.state)) is report.evidence


def is_undecided(record: Record) -> bool:
    """Whether there is something that a person may decide of a payment."""
    return State(record.state) in OPEN_STATES or is_in_conflict(record)


def decisions(state: State) -> tuple[State, ...]:
    """What a person may decide of an undecided payment in a state."""
    if state is State.QUEUED:
        return (State.CANCELLED,)
    moved = state in MONEY_MOVED_STATES
    return (State.COMPLETED,) if moved else (State.COMPLETED, State.FAILED)


def _refuse_claimed(record: Record) -> ValidationError:
    problem = Message(
        "its transaction, %(id)s, is that of another payment", id=record.transaction_id
    )
    return nothing_sent({"record": [problem]})
