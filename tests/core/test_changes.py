"""Which columns of a payment a report changes, and to what."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations.core.payments import changes
from mpesa_integrations.core.payments.changes import changed_columns, columns_after_check
from mpesa_integrations.core.payments.evidence import StatusReport
from mpesa_integrations.core.payments.lifecycle import (
    AWAITED_STATES,
    FINAL_STATES,
    MONEY_MOVED_STATES,
    Evidence,
    State,
    transition,
)
from mpesa_integrations.core.payments.schedule import FIRST_CHECK

from .conftest import make_record

NOW = datetime(2026, 5, 3, tzinfo=timezone.utc)
LATER = NOW + timedelta(days=1)
SAID = "said the gateway"


@pytest.fixture(autouse=True)
def _no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time stands still, and a wait is as many minutes as there were tries."""
    monkeypatch.setattr(changes, "utc_now", lambda: NOW)
    monkeypatch.setattr(changes, "backoff", lambda attempts: timedelta(minutes=attempts))


def _changed(evidence: Evidence, state: State = State.INITIATED, **named: Any) -> dict[str, Any]:
    """The columns, of a report with these fields on a record with the `known` ones."""
    record = make_record(state=state.value, **named.pop("known", {}))
    report = StatusReport(evidence=evidence, **{"description": SAID, **named})
    return changed_columns(record, transition(state, evidence), report)


def _moved(state: State, code: str = "", **more: Any) -> dict[str, Any]:
    check = None if state in FINAL_STATES else NOW + FIRST_CHECK
    return {"state": state, "response_code": code, "response_description": SAID,
            "next_check_at": check, **more}  # fmt: skip


def test_an_answer_that_accepts_moves_on_names_and_waits() -> None:
    found = _changed(Evidence.ACCEPTED, code="INS-0", conversation_id="AG_1")
    assert found == _moved(State.PENDING, "INS-0", conversation_id="AG_1")


@pytest.mark.parametrize("operation", ["c2b", "b2c", "b2b", "reversal"])
@pytest.mark.parametrize("known", [False, True])
def test_a_payment_that_completes_claims_its_transaction_and_a_reversal_none(
    operation: str, known: bool
) -> None:
    columns = {"operation": operation, "transaction_id": "T1" if known else ""}
    found = _changed(Evidence.SUCCEEDED, known=columns, transaction_id="T1")
    claim = {} if operation == "reversal" else {"claimed_transaction_id": "T1"}
    assert found == _moved(State.COMPLETED, **claim, **({} if known else {"transaction_id": "T1"}))


def test_what_is_claimed_or_unknown_or_not_paid_is_not_claimed() -> None:
    claimed = {"transaction_id": "T1", "claimed_transaction_id": "T1"}
    assert _changed(Evidence.SUCCEEDED, State.COMPLETED, known=claimed) == {}
    assert _changed(Evidence.SUCCEEDED) == _moved(State.COMPLETED)
    for evidence, state in ((Evidence.DECLINED, State.FAILED), (Evidence.ACCEPTED, State.PENDING)):
        found = _changed(evidence, transaction_id="T1")
        assert found == _moved(state, transaction_id="T1")


@pytest.mark.parametrize("state", sorted(MONEY_MOVED_STATES))
def test_a_transaction_that_is_named_later_is_kept_and_claimed_then(state: State) -> None:
    found = _changed(Evidence.SUCCEEDED, state, transaction_id="T1", conversation_id="AG_1")
    assert found == {
        "transaction_id": "T1", "conversation_id": "AG_1", "claimed_transaction_id": "T1"
    }  # fmt: skip


def test_what_is_known_is_never_written_over() -> None:
    known = {"conversation_id": "AG_0", "transaction_id": "T0"}
    found = _changed(
        Evidence.DECLINED, State.PENDING, known=known, conversation_id="AG_1", transaction_id="T1",
    )  # fmt: skip
    assert found == _moved(State.FAILED)


def test_what_no_column_holds_is_cut_or_told_in_words() -> None:
    found = _changed(Evidence.DECLINED, code="INS-" + "6" * 20, description="x" * 300)
    assert (found["response_code"], found["response_description"]) == ("INS-" + "6" * 12, "x" * 255)
    found = _changed(Evidence.SUCCEEDED, transaction_id="y" * 65)
    assert "transaction_id" not in found
    assert "claimed_transaction_id" not in found
    told = f"Transaction ID '{'y' * 65}' was not kept. {SAID}"
    assert found["response_description"] == told
    found = _changed(Evidence.SUCCEEDED, transaction_id="258841234567" + "z" * 200)
    assert "258841234567" not in found["response_description"]
    assert f"{'z' * 88}' was not kept" in found["response_description"]


@pytest.mark.parametrize(
    ("evidence", "kept"),
    [(Evidence.SUCCEEDED, ""), (Evidence.DECLINED, "INS-9"), (Evidence.CANCELLED, "INS-9")],
)
def test_a_status_query_forgets_why_a_payment_was_doubtful_only_where_it_was_paid(
    evidence: Evidence, kept: str
) -> None:
    known = {"response_code": "INS-9", "checks": 2}
    found = _changed(evidence, State.UNKNOWN, known=known, asked=True)
    state = transition(State.UNKNOWN, evidence).state
    assert found == _moved(state, kept, checks=3)


@pytest.mark.parametrize("state", sorted(AWAITED_STATES - {State.INITIATED}))
def test_who_was_asked_for_in_vain_is_counted_and_waits_longer(state: State) -> None:
    checked = {"checks": 3, "next_check_at": NOW + timedelta(minutes=3)}
    assert _changed(Evidence.NOTHING, state, known={"checks": 2}, asked=True) == checked
    assert columns_after_check(make_record(checks=2)) == checked


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_what_is_final_is_not_counted(state: State) -> None:
    assert _changed(Evidence.NOTHING, state, asked=True, unproven=True, duplicate=True) == {}
    assert _changed(Evidence.NOTHING, state, duplicate=True, code="INS-10") == {}


@pytest.mark.parametrize("next_check_at", [None, LATER])
def test_a_payment_that_no_query_can_prove_waits_as_the_report_says(
    next_check_at: datetime | None,
) -> None:
    report: dict[str, Any] = {"asked": True, "unproven": True, "check_again": False,
                              "next_check_at": next_check_at}  # fmt: skip
    found = _changed(Evidence.NOTHING, State.UNKNOWN, **report)
    assert found == {
        "response_description": SAID, "checks": 1, "next_check_at": next_check_at
    }  # fmt: skip
    # Its conversation is its own: asked by that, it may be told yet.
    found = _changed(Evidence.NOTHING, State.UNKNOWN, known={"conversation_id": "AG_1"}, **report)
    assert found["next_check_at"] == NOW + timedelta(minutes=1)


def test_a_duplicate_is_for_a_person() -> None:
    found = _changed(Evidence.NOTHING, duplicate=True, code="INS-10", description="x" * 300)
    assert found == {
        "state": State.UNKNOWN, "next_check_at": NOW + FIRST_CHECK, "response_code": "INS-10",
        "response_description": "x" * 255, "conflict": "x" * 255,
    }  # fmt: skip
    again = _changed(Evidence.NOTHING, State.UNKNOWN, duplicate=True, code="INS-10" * 9)
    assert again == {
        "response_code": ("INS-10" * 9)[:16], "response_description": SAID, "conflict": SAID
    }  # fmt: skip
    assert _changed(Evidence.NOTHING, State.UNKNOWN, duplicate=True)["response_code"] == ""
    asked = _changed(Evidence.NOTHING, State.UNKNOWN, duplicate=True, asked=True, code="INS-10")
    assert asked.keys() == {"checks", "next_check_at"}
