"""What happened to a payment, in its order: nothing made up, and each thing in words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from mpesa_integrations import State
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.payments.records import Verdict
from mpesa_integrations.core.payments.timeline import TimelineEntry, callback_story, timeline

from .conftest import make_record

START = datetime(2026, 5, 3, 16, 15, tzinfo=timezone.utc)
BODY = (
    b'{"input_ResultCode": "INS-0", "input_ResultDesc": "Request processed successfully",'
    b' "input_OriginalConversationID": "AG_1", "input_ThirdPartyReference": "REF7",'
    b' "input_TransactionID": "4XDF1"}'
)


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}"


def _record(**columns: Any) -> Any:
    return make_record(
        **{"created_at": START, "updated_at": START, "next_check_at": None,
           "response_description": "", **columns}
    )  # fmt: skip


def _callback(seconds: float, verdict: Verdict, body: bytes = BODY) -> Any:
    return SimpleNamespace(received_at=_at(seconds), verdict=verdict.value, body=body)


def _told(record: Any, **rows: Any) -> list[tuple[str, str]]:
    found = timeline(record, moment=_clock, market=MOZAMBIQUE, **rows)
    return [("" if each.at is None else _clock(each.at), str(each.text)) for each in found]


def test_a_payment_that_a_callback_decided() -> None:
    record = _record(
        state="completed", conversation_id="AG_1", transaction_id="4XDF1", response_code="INS-0",
        response_description="Request processed successfully", updated_at=_at(9),
    )  # fmt: skip
    callback = _callback(9, Verdict.APPLIED)
    assert _told(record, callbacks=[callback]) == [
        ("16:15:00", "Recorded, before anything was sent"),
        ("", "Sent; the gateway answered, in the conversation AG_1"),
        ("16:15:09", "Callback: it decided the payment"),
        ("16:15:09", "Result: the money moved"),
    ]
    entries = timeline(record, moment=_clock, market=MOZAMBIQUE, callbacks=[callback])
    assert entries[2].row is callback
    assert entries[2].said == "INS-0: Request processed successfully"
    assert entries[3].said == "INS-0: Request processed successfully (4XDF1)"


def test_a_result_stands_after_the_callback_that_it_is_by() -> None:
    record = _record(state="completed", updated_at=_at(9))
    told = _told(record, callbacks=[_callback(9.001, Verdict.APPLIED)])
    assert [text for _time, text in told[1:]] == [
        "Callback: it decided the payment", "Result: the money moved"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"state": "initiated"}, []),
        ({"state": "pending"}, ["Sent, and accepted by the gateway"]),
        ({"state": "unknown"}, ["Sent, and no clear answer came: it may have arrived"]),
        ({"state": "unknown", "checks": 3, "next_check_at": _at(60)},
         ["Sent, and no clear answer came: it may have arrived",
          "How often the gateway was asked: 3", "The gateway is asked next"]),
        ({"state": "failed", "response_code": "INS-6"},
         ["Result: it failed, and no money moved"]),
        ({"state": "cancelled", "response_description": "Status query: Cancelled"},
         ["Asked, the gateway said: it was cancelled, and no money moved"]),
        ({"state": "failed", "response_description": "Decided by Ana: statement"},
         ["A person decided: it failed, and no money moved"]),
        ({"state": "unknown", "conversation_id": "AG_1", "stuck_at": _at(99)},
         ["Sent; the gateway answered, in the conversation AG_1",
          "Open for too long: given to a person"]),
    ],
)  # fmt: skip
def test_what_is_on_record_is_told(columns: dict[str, Any], told: list[str]) -> None:
    found = [text for _time, text in _told(_record(**columns))]
    assert found == ["Recorded, before anything was sent", *told]


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_the_time_of_a_result_is_only_told_where_it_is_on_record(state: State) -> None:
    record = _record(state=state.value, updated_at=_at(5))
    assert _told(record)[-1][0] == "16:15:05"
    # The row was written to again since: when its result came is not on record any more.
    record.conflict = "declined: said later"
    assert [time for time, text in _told(record) if text.startswith("Result")] == [""]
    record.conflict = ""
    later = _callback(4, Verdict.REPEATED)
    assert [time for time, text in _told(record, callbacks=[later]) if "Result" in text] == [""]
    given_back = _record(state="partly_reversed", updated_at=_at(5))
    assert _told(given_back)[-1] == ("", "Result: the money moved")


def test_a_persons_decision_has_its_time() -> None:
    record = _record(
        state="completed", conflict="succeeded: paid", conflict_decided_at=_at(500),
        response_description="Decided by Ana: statement", updated_at=_at(900),
    )  # fmt: skip
    assert ("16:23:20", "A person decided: the money moved") in _told(record)
    assert ("", "Contradicting news") in _told(record)


def test_reversals_handlers_and_what_the_framework_knows_are_in_their_order() -> None:
    record = _record(state="partly_reversed")
    reversals = [
        _record(operation="reversal", state=state, amount=Decimal(number), created_at=_at(number))
        for state, number in (("completed", 50), ("failed", 60), ("unknown", 70))
    ]
    handlers = [
        SimpleNamespace(handler="shop.ship", attempts=10, problem="ValueError in ship",
                        due_at=_at(0), given_up_at=_at(40)),
        SimpleNamespace(handler="shop.book", attempts=1, problem="", due_at=_at(45),
                        given_up_at=None),
    ]  # fmt: skip
    more = [TimelineEntry(text=callback_story("early", START, None, _clock), at=_at(65))]
    told = _told(record, reversals=reversals, handlers=handlers, more=more)
    assert told[2:] == [
        ("16:15:40", "The handler shop.ship was given up after 10 tries"),
        ("16:15:45", "The handler shop.book is to be run; tries so far: 1"),
        ("16:15:50", "50.00 MZN were given back"),
        ("16:16:00", "60.00 MZN could not be given back"),
        ("16:16:05", "it arrived before the answer to the request, and waits for that"),
        ("16:16:10", "70.00 MZN are being given back"),
    ]
    of_reversal = timeline(reversals[0], moment=_clock, market=MOZAMBIQUE, original=record)
    assert of_reversal[0].row is record
    assert str(of_reversal[0].text) == "It gives this payment's money back"


ASKED = {"state": "completed", "response_description": "Status query: Completed"}


@pytest.mark.parametrize(
    ("verdict", "seconds", "columns", "told"),
    [
        (Verdict.REPEATED, 10, ASKED,
         "it arrived early, and agreed with the status query of 16:16:00"),
        (Verdict.REPEATED, 90, ASKED,
         "it agreed with the status query of 16:16:00, which was before it"),
        (Verdict.REPEATED, 90, {"state": "completed"}, "it said what was known"),
        (Verdict.APPLIED, 60, {"state": "completed"}, "it decided the payment"),
        (Verdict.APPLIED, 10, {"state": "completed"},
         "it arrived early, and decided the payment by 16:16:00"),
        # A payment that was given back was written to since.
        (Verdict.APPLIED, 10, {"state": "reversed"}, "it decided the payment"),
        (Verdict.REPEATED, 10, {**ASKED, "state": "reversed"}, "it said what was known"),
        (Verdict.CONFLICT, 90, {"state": "failed", "conflict": "succeeded: paid"},
         "it contradicted what was known; a person has to decide"),
    ],
)  # fmt: skip
def test_a_callback_says_in_which_order_it_came(
    verdict: Verdict, seconds: float, columns: dict[str, Any], told: str
) -> None:
    record = _record(**columns, updated_at=_at(60))
    assert callback_story(verdict.value, _at(seconds), record, _clock) == told


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_has_words_in_both_languages(verdict: Verdict) -> None:
    story = callback_story(verdict.value, START, None, _clock)
    assert story.in_language("pt") != story.in_language("en")


def test_a_body_that_cannot_be_read_has_no_words() -> None:
    found = timeline(
        _record(state="pending"), moment=_clock, market=MOZAMBIQUE,
        callbacks=[_callback(1, Verdict.UNREADABLE, b"\xff")],
    )  # fmt: skip
    assert (found[-1].said, str(found[-1].text)) == ("", "Callback: it could not be read")


def test_it_speaks_portuguese() -> None:
    entries = timeline(
        _record(state="failed", response_description="Decided by Ana: x"), moment=_clock,
        market=MOZAMBIQUE, reversals=[_record(operation="reversal", state="completed")],
    )  # fmt: skip
    assert [entry.text.in_language("pt") for entry in entries] == [
        "Registado, antes de se enviar alguma coisa",
        "Uma pessoa decidiu: falhou, e nenhum dinheiro foi transferido",
        "150,00 MZN foram devolvidos",
    ]
