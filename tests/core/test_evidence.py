"""By what a payment is asked for, and whether the answer can only be about it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations import ResponseCode
from mpesa_integrations.core.client.references import new_third_party_reference
from mpesa_integrations.core.errors import (
    AuthenticationError,
    GatewayUnavailable,
    MpesaError,
    OutcomeUnknown,
)
from mpesa_integrations.core.payments.evidence import (
    StatusQuery,
    StatusReport,
    agree,
    contradicts,
    gateway_had,
    kept_id,
    names_another_transaction,
    report_of_callback,
    report_of_error,
    report_of_result,
    status_query_for,
)
from mpesa_integrations.core.payments.lifecycle import MONEY_MOVED_STATES, Evidence, State
from mpesa_integrations.core.protocol.callbacks import Callback
from mpesa_integrations.core.protocol.codes import Kind
from mpesa_integrations.core.protocol.references import made_about
from mpesa_integrations.core.protocol.results import Result

from .conftest import make_record

NOW = datetime.now(timezone.utc)
OURS = new_third_party_reference()


@pytest.mark.parametrize(
    ("columns", "query"),
    [
        ({}, StatusQuery(OURS, proves=True)),
        ({"conversation_id": "AG.1:2"}, StatusQuery("AG.1:2", proves=True)),
        ({"conversation_id": "AG 1", "transaction_id": "T1"}, StatusQuery(OURS, proves=True)),
        ({"third_party_reference": "ORDER7"}, StatusQuery("ORDER7", proves=False)),
        (
            {"third_party_reference": "ORDER7", "transaction_id": "T1"},
            StatusQuery("T1", proves=True),
        ),
        (
            {"third_party_reference": "ORDER7", "transaction_id": "T1", "conversation_id": "AG_1"},
            StatusQuery("AG_1", proves=True),
        ),
        # It may be that of the payment that is given back.
        (
            {"third_party_reference": "R7", "transaction_id": "T1", "operation": "reversal"},
            StatusQuery("R7", proves=False),
        ),
        ({"response_code": "INS-10", "conflict": "x"}, StatusQuery(OURS, proves=False)),
        ({"response_code": "INS-10"}, StatusQuery(OURS, proves=True)),  # of an attempt of its own
        ({"response_code": "INS-9", "conflict": "x"}, StatusQuery(OURS, proves=True)),
        # Its conversation may be the original's, too.
        ({"conversation_id": "AG_1", "operation": "reversal"}, StatusQuery(OURS, proves=True)),
    ],
)
def test_what_is_asked_can_only_be_this_payment_or_proves_nothing(
    columns: dict[str, str], query: StatusQuery
) -> None:
    record = make_record(**{"third_party_reference": OURS, **columns})
    assert status_query_for(record, NOW) == query


def test_a_reference_of_this_librarys_is_known_by_its_form_and_its_time() -> None:
    assert all(made_about(new_third_party_reference(), datetime.now(timezone.utc)) for _ in "123")
    for hours in (-23, 23):
        assert made_about(OURS, NOW + timedelta(hours=hours))
    for other in (OURS[:-1], OURS + "A", "x" + OURS[1:], "A" * 20, "0" * 20, "", "F7T1"):
        assert not made_about(other, NOW)
    for days in (-2, 2):
        assert not made_about(OURS, NOW + timedelta(days=days))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, ""), ("AG_1", "AG_1"), ("AG 1", "AG 1"), ("x" * 64, "x" * 64), ("x" * 65, ""),
        ("\u00e7", ""), ("a\nb", ""), ("", ""),
    ],
)  # fmt: skip
def test_an_id_is_kept_whole_or_not_at_all(said: str | None, kept: str) -> None:
    assert kept_id(said) == kept


def _result(code: Any = "INS-0", kind: Kind = Kind.SUCCESS, **changes: Any) -> Result:
    fields: dict[str, Any] = {
        "code": code and ResponseCode(code), "kind": kind, "description": "said the gateway",
        "http_status": 200, "conversation_id": "AG_1", "transaction_id": "T1", **changes,
    }  # fmt: skip
    return Result(**fields)


@pytest.mark.parametrize(
    ("code", "kind", "evidence"),
    [
        ("INS-0", Kind.SUCCESS, Evidence.SUCCEEDED),
        ("INS-0", Kind.ACCEPTED, Evidence.ACCEPTED),
        ("INS-6", Kind.FAILED, Evidence.DECLINED),
        (None, Kind.UNKNOWN, Evidence.NOTHING),
    ],
)
def test_an_answer_reports_all_that_it_says(code: str | None, kind: Kind, evidence: Any) -> None:
    report = StatusReport(
        evidence=evidence, code=code, description="said the gateway", conversation_id="AG_1",
        transaction_id="T1",
    )  # fmt: skip
    assert report_of_result(_result(code, kind)) == report
    error = MpesaError("raised for it", result=_result(code, kind))
    assert report_of_error(error) == report


@pytest.mark.parametrize(
    ("kind", "named", "surely"),
    [
        (Kind.DUPLICATE, "Another request has this reference", True),
        (Kind.UNKNOWN, "It names", False),
    ],
)
def test_a_duplicates_ids_are_told_in_words_only(kind: Kind, named: str, surely: bool) -> None:
    report = report_of_result(_result("INS-10", kind, description="of 258841234567"))
    assert report == StatusReport(
        evidence=Evidence.NOTHING,
        code="INS-10",
        description=f"of 25884•••4567. {named}: transaction T1, conversation AG_1",
        duplicate=surely,
    )
    nothing = _result("INS-10", kind, conversation_id=None, transaction_id=None)
    assert report_of_result(nothing).description.endswith("transaction N/A, conversation N/A")


@pytest.mark.parametrize(
    ("error", "evidence"),
    [
        (GatewayUnavailable("not connected"), Evidence.DECLINED),
        (OutcomeUnknown("no answer", third_party_reference="REF7"), Evidence.NOTHING),
        (AuthenticationError("no"), Evidence.NOTHING),
    ],
)
def test_only_what_was_surely_not_sent_is_declined_without_an_answer(
    error: MpesaError, evidence: Evidence
) -> None:
    assert report_of_error(error) == StatusReport(evidence=evidence, description=str(error))


@pytest.mark.parametrize(
    ("kind", "evidence", "transaction"),
    [
        (Kind.SUCCESS, Evidence.SUCCEEDED, "T1"),
        (Kind.FAILED, Evidence.DECLINED, None),
        (Kind.UNKNOWN, Evidence.NOTHING, None),
    ],
)
def test_a_callback_names_a_transaction_only_where_money_moved(
    kind: Kind, evidence: Evidence, transaction: str | None
) -> None:
    callback = Callback(
        conversation_id="AG_1", third_party_reference="REF7", transaction_id="T1",
        code=ResponseCode("INS-6"), description="said the callback", kind=kind, raw={},
    )  # fmt: skip
    assert report_of_callback(callback) == StatusReport(
        evidence=evidence, code="INS-6", description="said the callback", transaction_id=transaction
    )


@pytest.mark.parametrize(
    ("columns", "had"),
    [
        ({}, False),
        ({"state": "unknown"}, False),
        ({"state": "pending"}, True),
        ({"state": "unknown", "conversation_id": "AG_1"}, True),
        ({"state": "unknown", "transaction_id": "T1"}, True),
        ({"state": "unknown", "response_code": "INS-10", "conflict": "x"}, True),
        ({"state": "unknown", "response_code": "INS-10"}, False),
        ({"state": "unknown", "response_code": "INS-9", "conflict": "x"}, False),
    ],
)
def test_what_shows_that_the_gateway_had_a_request(columns: dict[str, str], had: bool) -> None:
    assert gateway_had(make_record(**columns)) is had


def test_two_pieces_of_evidence_agree_where_they_say_alike_whether_money_moved() -> None:
    no_money = {Evidence.DECLINED, Evidence.CANCELLED}
    for one in Evidence:
        for other in Evidence:
            alike = {one, other} <= no_money or one is other is Evidence.SUCCEEDED
            assert agree(one, other) is alike, (one, other)


@pytest.mark.parametrize(
    ("known", "said", "another"),
    [("", "T1", False), ("T1", None, False), ("T1", "T1", False), ("T1", "T2", True)],
)
def test_a_second_transaction_contradicts_only_as_a_success_that_was_not_asked_for(
    known: str, said: str | None, another: bool
) -> None:
    for state in [*sorted(MONEY_MOVED_STATES), State.PENDING]:
        record = make_record(state=state.value, transaction_id=known)
        for asked in (False, True):

            def report(evidence: Evidence, asked: bool = asked) -> StatusReport:
                return StatusReport(
                    evidence=evidence, description="", transaction_id=said, asked=asked
                )

            success = report(Evidence.SUCCEEDED)
            assert names_another_transaction(record, success) is another
            assert contradicts(record, success) is (another and not asked)
            assert not contradicts(record, report(Evidence.NOTHING))
            assert contradicts(record, report(Evidence.DECLINED)) is (state in MONEY_MOVED_STATES)
