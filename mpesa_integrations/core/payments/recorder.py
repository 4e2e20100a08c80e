"""Moves records on by evidence: one conditional UPDATE each, with the outbox entries of the change.

What evidence does to a state is in `lifecycle`, which columns change in `changes`. Contradicting
evidence is noted for a person, and never applied; docs/design.md, "Invariants".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic

from ..telemetry import count_transition
from .changes import changed_columns, columns_after_check
from .encodings import substituted_change, texts_of, write_in_charset
from .events import Event, event_of
from .evidence import StatusReport, contradicts, kept_id
from .lifecycle import AWAITED_STATES, FINAL_STATES, Evidence, State, transition
from .orders import claim_in, is_contradicted
from .outbox import Outbox
from .records import C, Change, R, TransactionClaimed
from .schedule import utc_now
from .store import Store

logger: logging.Logger = logging.getLogger("mpesa_integrations")


class Recorder(Generic[R, C]):
    """Writes into one account's records what is found out about their payments.

    Its methods are steps of the store's work: who calls them sees to it that they are committed.

    Args:
        alias: the account's name.
        store: where the records are.
        outbox: dispatches what was committed.
        stuck_after: the age from which an open payment is one for a person.
    """

    def __init__(
        self, alias: str, store: Store[R, C], outbox: Outbox[R, C], *, stuck_after: timedelta
    ) -> None:
        self._alias = alias
        self._store = store
        self._outbox = outbox
        self._stuck_after = stuck_after

    def apply(self, record: R, report: StatusReport) -> R:
        """Move a record on by a report. Where another report was faster, it goes on from there.

        Returns:
            The record as it then is.
        """
        report = self.without_originals_id(record, report)
        while True:
            if contradicts(record, report):
                return self.note_conflict(record, report)
            change = self.change_for(record, report)
            if not change.values:
                return record
            try:
                changed = self.write(change, record)
            except TransactionClaimed as claimed:
                noted = self._note_claimed(record, report, change, claimed)
                # All else that was reported: that it was asked for, and in which conversation.
                report = replace(report, evidence=Evidence.NOTHING, transaction_id=None)
                return self.apply(noted, report)
            if changed is not None:
                return changed
            record = self._store.get(record)

    def without_originals_id(self, record: R, report: StatusReport) -> StatusReport:
        """The report without a transaction that is not the payment's own.

        Whatever the source, a reversal may be reported with the transaction that it gives back.
        """
        if record.operation != "reversal" or not report.transaction_id:
            return report
        named = self._store.find_paid(report.transaction_id)
        if named is None or named.pk != record.original_id:
            return report
        return replace(report, transaction_id=None)

    def change_for(self, record: R, report: StatusReport) -> Change:
        """What a report that contradicts nothing changes; without values, nothing."""
        step = transition(State(record.state), report.evidence)
        values = changed_columns(record, step, report)
        return self.change_to(step.state if step.changed else None, record, values)

    def write(self, change: Change, record: R) -> R | None:
        """Change a record, and dispatch that; None where it is not in its state any more.

        Raises:
            TransactionClaimed: as `Store.change`.
        """
        state = State(record.state)
        changed = write_in_charset(
            lambda substitute: self._store.change(
                record, state, substituted_change(change, substitute)
            ),
            texts_of(change),
        )
        if changed is None:
            return None
        self._log_change(changed[0], change)
        original = changed[1]
        if original is not None:
            self.log_state(original)
            of_original = change.outbox_of(original)
            self._outbox.dispatch((change.outbox, changed[0]), (of_original, original))
            return changed[0]
        self._outbox.dispatch((change.outbox, changed[0]))
        if change.reverses:
            self._note_unbooked(changed[0])
        return changed[0]

    def note_conflict(self, record: R, report: StatusReport) -> R:
        """Keep a report that contradicts the record, for a person; the record stays as it is."""
        said = f"{report.evidence} ({report.code or 'no code'}, "
        said += f"transaction {report.transaction_id or 'N/A'}): {report.description}"
        named = kept_id(report.transaction_id)
        if named and report.evidence is Evidence.SUCCEEDED and not record.transaction_id:
            # It is the payment's only if a person decides so; by it, it can then be given back.
            values = {"transaction_id": named}
            self._store.change(record, State(record.state), Change(values=values))
        return self._note_for_a_person(record, said, report.evidence)

    def decide(self, record: R, report: StatusReport) -> R | None:
        """Write down what a person decided of a payment that evidence contradicted.

        Args:
            record: the payment, in a final state.
            report: the decision. One that the money moved completes a payment that had failed.

        Returns:
            The record; None where it was not in its state any more, and nothing was written.

        Raises:
            TransactionClaimed: its transaction is another payment's by now.
            OrderClaimed: another payment of its order is open or paid by now.
        """
        values: dict[str, Any] = {
            "conflict_decided_at": utc_now(),
            "response_description": report.description[:255],
        }
        if report.evidence is not Evidence.SUCCEEDED or not is_contradicted(record):
            return self.write(Change(values=values), record)
        values |= {
            "state": State.COMPLETED,
            "response_code": "",
            "claimed_order_key": claim_in(record, State.COMPLETED),
        }
        if record.operation != "reversal":  # it has no transaction of its own
            values["claimed_transaction_id"] = record.transaction_id or None
        return self.write(self.change_to(State.COMPLETED, record, values), record)

    def check_now(self, record: R) -> None:
        """Have an open payment asked for as soon as a worker looks."""
        self._store.change(record, State(record.state), Change(values={"next_check_at": utc_now()}))

    def defer(self, record: R, problem: Exception) -> R:
        """Note that a payment was asked for in vain, which says nothing of it."""
        logger.warning(
            "reconcile.unanswered third_party_reference=%s problem=%s",
            record.third_party_reference,
            problem,
        )
        state = State(record.state)
        if state in AWAITED_STATES:
            self._store.change(record, state, Change(values=columns_after_check(record)))
        return self.escalate(self._store.get(record))

    def escalate(self, record: R, *, at_once: bool = False) -> R:
        """Have a person look, once, at a payment that was sent and has been open for too long.

        Args:
            record: the payment.
            at_once: whether it has been, whatever its age.
        """
        if (
            State(record.state) not in AWAITED_STATES
            or record.stuck_at is not None
            or (not at_once and self.age(record) < self._stuck_after)
        ):
            return record
        outbox = self._outbox.entries_for(Event.PAYMENT_STUCK)
        change = Change(values={"stuck_at": utc_now()}, outbox=outbox)
        changed = self._store.change(record, State(record.state), change)
        if changed is None:
            return self._store.get(record)
        self._outbox.dispatch((outbox, changed[0]))
        return changed[0]

    def age(self, record: R) -> timedelta:
        """How long ago a payment was recorded."""
        return utc_now() - self._store.aware(record.created_at)

    def change_to(self, state: State | None, record: R, values: Mapping[str, Any]) -> Change:
        """A change with its events, and with what it means for the payment that is given back.

        Args:
            state: the one that the record comes to; None where it stays in its own.
            record: the payment, as it is.
            values: the columns that change.
        """
        is_reversal = record.operation == "reversal"
        reverses = is_reversal and state is State.COMPLETED
        events = [event_of(record.operation, state)] if state is not None else []
        if "conflict" in values:
            events.append(Event.PAYMENT_CONFLICT)
        originals = (Event.PAYMENT_REVERSED, Event.PAYOUT_REVERSED) if reverses else ()
        return Change(
            values=values,
            outbox=self._outbox.entries_for(*events),
            reverses=reverses,
            settles=is_reversal and state in FINAL_STATES,
            original_outbox=self._outbox.entries_for(*originals),
        )

    def _note_claimed(
        self, record: R, report: StatusReport, change: Change, claimed: TransactionClaimed
    ) -> R:
        # The same words whatever the source: it is dispatched once.
        said = f"{report.evidence} (transaction {change.values['claimed_transaction_id']}), "
        said += f"but that transaction is payment {claimed.reference}'s"
        return self._note_for_a_person(record, said, report.evidence)

    def _note_unbooked(self, reversal: R) -> None:
        """Keep, for a person, that a payment's reversals gave back more than was paid."""
        logger.error(
            "reversal.unbooked third_party_reference=%s: more was given back than paid",
            reversal.third_party_reference,
        )
        original = self._store.original_of(reversal)
        if original is not None:
            said = f"reversal {reversal.third_party_reference} gave back {reversal.amount:.2f}, "
            self._note_for_a_person(original, said + "which is more than was left", "unbooked")

    def _note_for_a_person(self, record: R, said: str, evidence: str) -> R:
        outbox = self._outbox.entries_for(Event.PAYMENT_CONFLICT)
        noted = write_in_charset(
            lambda substitute: self._store.note_conflict(record, substitute(said[:255]), outbox),
            [said],
        )
        if noted is None:
            return self._store.get(record)
        logger.error(
            "payment.conflict third_party_reference=%s state=%s evidence=%s",
            record.third_party_reference,
            record.state,
            evidence,
        )
        self._outbox.dispatch((outbox, noted))
        return noted

    def _log_change(self, record: R, change: Change) -> None:
        if "state" in change.values:
            self.log_state(record)
        if "conflict" in change.values:
            logger.error(
                "payment.conflict third_party_reference=%s state=%s",
                record.third_party_reference,
                record.state,
            )

    def log_state(self, record: R) -> None:
        """Write and count that a payment came into its state."""
        logger.info(
            "payment.%s operation=%s third_party_reference=%s",
            record.state,
            record.operation,
            record.third_party_reference,
        )
        count_transition(self._alias, record.operation, record.state)
