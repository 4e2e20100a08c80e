"""Which columns of a payment's record a status report changes, and to what; pure functions.

Writing them is `recorder`'s.
"""

from __future__ import annotations

from typing import Any

from ..masking import mask_msisdns_in
from .evidence import StatusReport, kept_id
from .lifecycle import AWAITED_STATES, FINAL_STATES, MONEY_MOVED_STATES, Evidence, Transition
from .orders import claim_in, is_in_conflict
from .records import Record
from .schedule import FIRST_CHECK, backoff, utc_now


def changed_columns(record: Record, step: Transition, report: StatusReport) -> dict[str, Any]:
    """The columns that a report changes; none where it says nothing new.

    Args:
        record: the payment as it is.
        step: what the report's evidence does to its state.
        report: what was reported, and does not contradict the record.
    """
    columns: dict[str, Any] = {}
    for name in ("conversation_id", "transaction_id"):
        said = kept_id(getattr(report, name))
        if said and not getattr(record, name):
            columns[name] = said
    known_as = columns.get("transaction_id") or record.transaction_id
    if _claims_transaction(record, step, report) and known_as:
        columns["claimed_transaction_id"] = known_as
    if step.changed:
        columns |= {
            "state": step.state,
            # A status query brings no code: why it failed was said before.
            "response_code": (report.code or _code_before(record, step))[:16],
            "response_description": _description(report)[:255],
            "next_check_at": None if step.state in FINAL_STATES else utc_now() + FIRST_CHECK,
        }
        if claim_in(record, step.state) != record.claimed_order_key:
            columns["claimed_order_key"] = claim_in(record, step.state)
        if report.decided and is_in_conflict(record):
            columns["conflict_decided_at"] = utc_now()
    if report.duplicate and not report.asked and step.state in AWAITED_STATES:
        columns |= {
            "response_code": (report.code or "")[:16],
            "response_description": report.description[:255],
            "conflict": report.description[:255],
        }
    if report.unproven and step.state in AWAITED_STATES:
        columns["response_description"] = report.description[:255]
    if report.asked and (step.changed or step.state in AWAITED_STATES):
        checked = columns_after_check(record)
        columns |= checked if step.state in AWAITED_STATES else {"checks": checked["checks"]}
        if not report.check_again and not record.conversation_id:
            columns["next_check_at"] = report.next_check_at
    return columns


def columns_after_check(record: Record) -> dict[str, Any]:
    """The columns that say that a payment was asked for, and when it is asked for next."""
    checks = record.checks + 1
    return {"checks": checks, "next_check_at": utc_now() + backoff(checks)}


def _claims_transaction(record: Record, step: Transition, report: StatusReport) -> bool:
    """Whether the gateway's transaction, once it is known, is now this payment's alone.

    A reversal has none of its own: its answer may name what it gives back.
    """
    return (
        record.operation != "reversal"
        and step.state in MONEY_MOVED_STATES
        and report.evidence is Evidence.SUCCEEDED
        and record.claimed_transaction_id is None
    )


def _description(report: StatusReport) -> str:
    """What was said, and an ID that no record can keep."""
    if not report.transaction_id or kept_id(report.transaction_id):
        return report.description
    named = mask_msisdns_in(repr(report.transaction_id[:100]))
    return f"Transaction ID {named} was not kept. {report.description}"


def _code_before(record: Record, step: Transition) -> str:
    return "" if step.state in MONEY_MOVED_STATES else record.response_code
