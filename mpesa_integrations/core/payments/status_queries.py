"""Asks the gateway where a payment stands, and says what its answer proves of that very payment.

No record is changed here: that is `checks`'s, which applies a report.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Generic

from ..client.blocking import MpesaClient
from ..masking import mask_msisdns_in
from ..protocol.results import TransactionStatusResult
from ..settings.account import AccountSettings
from .evidence import (
    DECIDED,
    STATUS_QUERY,
    StatusQuery,
    StatusReport,
    gateway_had,
    is_duplicate,
    status_query_for,
)
from .lifecycle import Evidence, State, evidence_of_status
from .records import C, R
from .schedule import FIRST_CHECK, utc_now
from .store import Store


def seconds_under_way(store: Store[R, Any], record: R) -> float:
    """For how long a payment's own call may still be under way, its answer to come; 0 if it is not.

    Args:
        store: where it is recorded.
        record: the payment.
    """
    until = record.next_check_at
    if State(record.state) is not State.INITIATED or record.checks or until is None:
        return 0.0
    return max(0.0, (store.aware(until) - utc_now()).total_seconds())


class StatusQueries(Generic[R, C]):
    """Status queries about one account's recorded payments.

    Args:
        settings: the account's.
        client: asks the gateway.
        store: where the records are, to be read.
    """

    def __init__(self, settings: AccountSettings, client: MpesaClient, store: Store[R, C]) -> None:
        self._settings = settings
        self._client = client
        self._store = store

    def query_status(self, record: R) -> TransactionStatusResult:
        """Ask the gateway what became of a payment, touching no record: safe in any thread.

        Raises:
            MpesaError: there was no answer that could be read, or it refused the query.
        """
        return self._client.query_transaction_status(query_reference=self.reference_of(record))

    def reference_of(self, record: R) -> str:
        """By what the gateway is asked for a payment."""
        return self._query_for(record).reference

    def report_on(self, record: R, answer: TransactionStatusResult) -> StatusReport:
        """What the answer to `query_status` reports. Its conversation is the query's own."""
        query = self._query_for(record)
        if self._is_anothers_too(record, query, answer):
            query = replace(query, proves=False)
        if not query.proves and (answer.transaction_status or is_duplicate(record)):
            return self._unproven(record, query, answer)
        evidence = self._evidence_of(record, answer)
        succeeded = evidence is Evidence.SUCCEEDED
        return StatusReport(
            evidence=evidence,
            description=f"{STATUS_QUERY}: {answer.transaction_status or 'N/A'}",
            transaction_id=answer.transaction_id if succeeded else None,
            asked=True,
        )

    def _query_for(self, record: R) -> StatusQuery:
        return status_query_for(record, self._store.aware(record.created_at))

    def _is_anothers_too(
        self, record: R, query: StatusQuery, answer: TransactionStatusResult
    ) -> bool:
        """Whether a decided status may be that of another payment with the same conversation."""
        decided = evidence_of_status(answer.transaction_status) in DECIDED
        by_conversation = query.reference == record.conversation_id
        return decided and by_conversation and self._store.shares_conversation(record)

    def _unproven(
        self, record: R, query: StatusQuery, answer: TransactionStatusResult
    ) -> StatusReport:
        """What is said of a reference that may be another request's moves nothing."""
        duplicate = is_duplicate(record)
        decided = evidence_of_status(answer.transaction_status) in DECIDED
        given_up_at = self._store.aware(record.created_at) + self._settings.stuck_after
        waits = duplicate and record.stuck_at is None and given_up_at > utc_now()
        return StatusReport(
            evidence=Evidence.NOTHING,
            description=mask_msisdns_in(
                f"{STATUS_QUERY} by {query.reference}: {answer.transaction_status or 'N/A'}, "
                f"transaction {answer.transaction_id or 'N/A'}. "
                "That may be another request with this reference"
            ),
            asked=True,
            unproven=True,
            duplicate=duplicate,
            check_again=not (decided or duplicate),
            next_check_at=given_up_at if waits else None,
        )

    def _evidence_of(self, record: R, answer: TransactionStatusResult) -> Evidence:
        """What a status says of a payment.

        That the gateway does not know it, says that it never had it only where the account's
        settings say from what age on, its call cannot be under way any more, and nothing shows
        that the gateway ever had it.
        """
        grace = self._settings.not_found_after
        if (
            answer.transaction_status is None
            and grace is not None
            and not gateway_had(record)
            # One that a worker sent was sent before that time, and nobody knows how long before.
            and utc_now() - self._store.aware(record.send_before or record.created_at)
            >= max(grace, self._client.longest_call + FIRST_CHECK)
        ):
            return Evidence.DECLINED
        return evidence_of_status(answer.transaction_status)
