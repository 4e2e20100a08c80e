"""What answers, callbacks and status queries report of a payment; pure functions.

A status query's answer carries no amount: one that could be about somebody else's request proves
nothing. What evidence does to a payment is in `lifecycle`, what it writes into a record in
`changes`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ..errors import GatewayUnavailable, MpesaError, OutcomeUnknown
from ..masking import mask_msisdns_in
from ..protocol.callbacks import Callback
from ..protocol.codes import DUPLICATE_CODE, Kind
from ..protocol.references import made_about
from ..protocol.results import Result
from ..protocol.schemas import GATEWAY_ID
from .lifecycle import Evidence, State, evidence_of_answer, transition
from .records import Record

ID_LENGTH = 64
"""Characters of a record's columns for the gateway's IDs."""
STATUS_QUERY = "Status query"
"""What a description begins with that a status query brought."""
DECIDED_BY = "Decided by"
"""What a description begins with that is a person's."""
DECIDED = frozenset({Evidence.SUCCEEDED, Evidence.DECLINED, Evidence.CANCELLED})
"""The evidence that says whether money moved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusReport:
    """What an answer, a callback, a status query or a person reports about a payment.

    Attributes:
        evidence: what it says of the money.
        description: the same in words, for people.
        code: the gateway's response code, as `INS-6`.
        conversation_id: the gateway's name for the request.
        transaction_id: the gateway's name for the movement of money.
        asked: whether a status query brought it.
        duplicate: whether another request has the payment's third-party reference.
        unproven: whether it may be of another request: kept in words, for a person.
        decided: whether a person decided it, knowing what contradicts the record.
        check_again: whether another status query, at the usual time, may say more.
        next_check_at: when to check instead, if ever.
    """

    evidence: Evidence
    description: str
    code: str | None = None
    conversation_id: str | None = None
    transaction_id: str | None = None
    asked: bool = False
    duplicate: bool = False
    unproven: bool = False
    decided: bool = False
    check_again: bool = True
    next_check_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """What to ask the gateway for.

    Attributes:
        reference: a conversation ID, a third-party reference or a transaction ID.
        proves: whether what is said of it can only be said of this payment.
    """

    reference: str
    proves: bool


def status_query_for(record: Record, created_at: datetime) -> StatusQuery:
    """By what a payment is best asked for.

    The conversation is this very request's. So is a reference that this library made, since nobody
    else can have it, unless the gateway called it a duplicate. A transaction ID that an answer of
    the payment's own named is its own, but a reversal's IDs may be the original's. A reference that
    the caller gave may be another request's, too.

    Args:
        record: the payment.
        created_at: when it was recorded, aware.
    """
    if is_duplicate(record):
        return StatusQuery(record.third_party_reference, proves=False)
    by_reference = StatusQuery(record.third_party_reference, proves=True)
    is_made = made_about(record.third_party_reference, created_at)
    if is_made and record.operation == "reversal":
        return by_reference
    if _can_be_asked_by(record.conversation_id):
        return StatusQuery(record.conversation_id, proves=True)
    if is_made:
        return by_reference
    if record.operation != "reversal" and _can_be_asked_by(record.transaction_id):
        return StatusQuery(record.transaction_id, proves=True)
    return StatusQuery(record.third_party_reference, proves=False)


def report_of_result(result: Result) -> StatusReport:
    """What the answer to a payment's own request reports."""
    if result.code == DUPLICATE_CODE:
        return _report_of_duplicate(result)
    return StatusReport(
        evidence=evidence_of_answer(result.kind),
        code=result.code.value if result.code else None,
        description=result.description,
        conversation_id=result.conversation_id,
        transaction_id=result.transaction_id,
    )


def report_of_error(error: MpesaError) -> StatusReport:
    """What an error of a payment's own request reports: its answer, or whether it was sent."""
    if error.result is not None:
        return report_of_result(error.result)
    unsent = isinstance(error, GatewayUnavailable) and not isinstance(error, OutcomeUnknown)
    evidence = Evidence.DECLINED if unsent else Evidence.NOTHING
    return StatusReport(evidence=evidence, description=str(error))


def report_of_callback(callback: Callback) -> StatusReport:
    """What a callback reports."""
    return StatusReport(
        evidence=evidence_of_answer(callback.kind),
        code=callback.code.value,
        description=callback.description,
        # One that contradicts itself, or proves nothing, names no transaction either.
        transaction_id=callback.transaction_id if callback.kind is Kind.SUCCESS else None,
    )


def is_duplicate(record: Record) -> bool:
    """Whether the gateway said that another request has the payment's third-party reference.

    It has not where the code is kept without a conflict: then it was sent twice, and the other
    request may be its own.
    """
    return record.response_code == DUPLICATE_CODE and bool(record.conflict)


def gateway_had(record: Record) -> bool:
    """Whether anything shows that the gateway had a request with the payment's reference."""
    named = record.conversation_id or record.transaction_id
    return bool(named) or State(record.state) is State.PENDING or is_duplicate(record)


def agree(one: Evidence, other: Evidence) -> bool:
    """Whether two pieces of evidence say alike whether money moved."""
    both = one in DECIDED and other in DECIDED
    return both and (one is Evidence.SUCCEEDED) == (other is Evidence.SUCCEEDED)


def names_another_transaction(record: Record, report: StatusReport) -> bool:
    """Whether a report names another transaction of the gateway than the one on record."""
    known, said = record.transaction_id, report.transaction_id
    return bool(known and said and known != said)


def contradicts(record: Record, report: StatusReport) -> bool:
    """Whether a report contradicts what is on record, so that a person must look at it."""
    # A status query's answer may name a transaction of its own.
    other_id = not report.asked and names_another_transaction(record, report)
    conflict = transition(State(record.state), report.evidence).conflict
    return conflict or (other_id and report.evidence is Evidence.SUCCEEDED)


def kept_id(said: str | None) -> str:
    """An ID of the gateway's as a record keeps it: whole, or not at all."""
    fits = said is not None and len(said) <= ID_LENGTH and said.isascii() and said.isprintable()
    return said if said and fits else ""


def _report_of_duplicate(result: Result) -> StatusReport:
    """Whatever else is doubtful of it, its IDs may be those of the request that was there first."""
    surely = result.kind is Kind.DUPLICATE
    named = "Another request has this reference" if surely else "It names"
    return StatusReport(
        evidence=Evidence.NOTHING,
        code=DUPLICATE_CODE,
        description=mask_msisdns_in(
            f"{result.description}. {named}: transaction {result.transaction_id or 'N/A'}, "
            f"conversation {result.conversation_id or 'N/A'}"
        ),
        duplicate=surely,
    )


def _can_be_asked_by(reference: str) -> bool:
    return re.fullmatch(GATEWAY_ID, reference) is not None
