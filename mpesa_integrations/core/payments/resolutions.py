"""Resolutions: a person decides what became of a payment that the gateway does not tell of."""

from __future__ import annotations

from functools import partial
from typing import Generic

from ..errors import nothing_sent
from ..failures import log_failure
from ..messages import Message
from .callback_intake import CallbackIntake
from .evidence import StatusReport
from .lifecycle import FINAL_STATES, OPEN_STATES, Evidence, State
from .ownership import refuse_other_account
from .persistence import persist, reread
from .recorder import Recorder
from .records import C, R
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
        report = StatusReport(evidence=evidence, description=f"Decided by {by}: {note}")
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
            problem = Message("the payment is %(state)s, which is final", state=str(known.state))
            raise nothing_sent({"record": [problem]})
        decided = self._recorder.apply(known, report)
        if report.evidence is Evidence.SUCCEEDED and State(decided.state) in OPEN_STATES:
            problem = Message(
                "its transaction, %(id)s, is that of another payment", id=known.transaction_id
            )
            raise nothing_sent({"record": [problem]})
        return reread(self._store, decided)
