"""What every store lets core keep: whole payments, over the local gateway."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from mpesa_integrations import DuplicateTransaction, ValidationError
from mpesa_integrations.core.errors import GatewayUnavailable, IdempotencyConflict
from mpesa_integrations.core.payments import callback_intake
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import ASYNC_URL, accepted_payment, callback_body
from tests.support.callbacks import TRANSACTION_ID as ID

from .backends import Backend
from .conftest import BOTH_WAYS, Heard, MakePayments

way = BOTH_WAYS

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


def callback(record: Any, code: str = "0", **changes: str) -> bytes:
    return json.dumps(callback_body(record, code, **changes)).encode()


@pytest.fixture
def pending(payments: Payments[Any, Any], mpesa_simulator: Simulator) -> Any:
    """A payment that the gateway has accepted, and whose callback never comes by itself."""
    return accepted_payment(payments, mpesa_simulator, **PAYMENT)


def test_a_payment_is_recorded_paid_and_its_events_dispatched(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    record = payments.c2b(**PAYMENT)
    (kept,) = backend.records()
    booked = mpesa_simulator.ledger.find(kept.third_party_reference)
    assert booked is not None
    assert (record.state, record.is_paid, record.is_open) == ("completed", True, False)
    assert (kept.transaction_id, kept.amount, kept.msisdn, kept.currency) == (
        booked.transaction_id, Decimal("150.00"), "258841234567", "MZN"
    )  # fmt: skip
    assert kept.next_check_at is None
    created_at = payments.store.aware(kept.created_at)
    assert created_at.utcoffset() == timedelta(0)
    assert datetime.now(timezone.utc) - created_at < timedelta(minutes=1)
    assert record.masked_msisdn == "25884•••4567"
    assert heard.names == ["initiated", "completed"]
    assert heard.events[1][1].transaction_id == kept.transaction_id
    assert len(set(heard.ids)) == 2
    assert backend.outbox() == 0


@pytest.mark.parametrize(
    ("scenario", "state", "code"),
    [
        ("insufficient_balance", "failed", "INS-2006"),
        ("cancelled", "cancelled", "INS-5"),
        ("pin_timeout", "unknown", "INS-9"),
        ("cut_after", "unknown", ""),
        ("html", "unknown", ""),
    ],
)
def test_each_outcome_is_a_state(
    payments: Payments[Any, Any], mpesa_simulator: Simulator, heard: Heard,
    scenario: str, state: str, code: str,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue(scenario, delay=0)
    record = payments.c2b(**PAYMENT)
    assert (record.state, record.response_code) == (state, code)
    assert heard.names == ["initiated", state]


def test_one_key_pays_once(payments: Payments[Any, Any], mpesa_simulator: Simulator) -> None:
    first = payments.c2b(**PAYMENT, idempotency_key="order-7")
    assert payments.c2b(**{**PAYMENT, "amount": 150}, idempotency_key="order-7").pk == first.pk
    with pytest.raises(IdempotencyConflict, match="amount"):
        payments.c2b(**{**PAYMENT, "amount": 151}, idempotency_key="order-7")
    with pytest.raises(DuplicateTransaction):
        payments.c2b(**PAYMENT, third_party_reference=first.third_party_reference)
    assert len(mpesa_simulator.ledger.transactions()) == 1


def test_threads_with_one_key_pay_once(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    def pay(number: int) -> Any:
        try:
            return payments.c2b(**PAYMENT, idempotency_key="order-7").pk
        finally:
            backend.done()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(pay, range(16)))) == 1
    assert len(mpesa_simulator.ledger.transactions()) == 1


def test_a_reversal_in_parts_adds_up_to_the_centavo(
    payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    paid = payments.c2b(**{**PAYMENT, "amount": "0.30"})
    part = payments.reverse(
        transaction_id=paid.transaction_id, amount="0.10", idempotency_key="refund-1"
    )
    assert (part.state, part.amount, part.original_id) == ("completed", Decimal("0.10"), paid.pk)
    assert backend.records()[0].state == "partly_reversed"
    with pytest.raises(ValidationError, match=r"0\.20") as caught:
        payments.reverse(transaction_id=paid.transaction_id, amount="0.21")
    assert caught.value.errors_in("pt") == {
        "amount": ["tem de ser no máximo 0.20, que é o que resta"]
    }
    payments.reverse(transaction_id=paid.transaction_id, amount="0.20")
    original = backend.records()[0]
    assert (original.state, original.reversed_amount) == ("reversed", Decimal("0.30"))
    again = payments.reverse(
        transaction_id=paid.transaction_id, amount="0.10", idempotency_key="refund-1"
    )
    assert again.pk == part.pk
    with pytest.raises(ValidationError, match="reversed") as caught:
        payments.reverse(transaction_id=paid.transaction_id)
    assert "no estado “devolvido”" in caught.value.errors_in("pt")["transaction_id"][0]
    with pytest.raises(ValidationError, match="on record") as caught:
        payments.reverse(transaction_id="NOSUCHTHING")
    assert "não há registo" in caught.value.errors_in("pt")["transaction_id"][0]
    assert heard.names.count("reversed") == 2
    assert backend.outbox() == 0


def test_a_callback_counts_once(pending: Any, payments: Payments[Any, Any], backend: Backend,
                                heard: Heard) -> None:  # fmt: skip
    for _ in range(2):
        status, answer = payments.receive(callback(pending), remote_address="127.0.0.1")
        assert (status, answer["output_ResponseCode"]) == (200, "0")
    (record,) = backend.records()
    assert (record.state, record.transaction_id) == ("completed", ID)
    assert heard.names == ["initiated", "pending", "completed"]
    assert backend.verdicts() == ["applied", "repeated"]


def test_each_callback_is_counted_by_what_became_of_it(
    pending: Any, payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, str]] = []
    monkeypatch.setattr(callback_intake, "count_callback", lambda *said: counted.append(said))
    for conversation in (pending.conversation_id, "AG_20180206_x"):
        for _ in range(2):
            payments.receive(callback(pending, input_OriginalConversationID=conversation))
    mismatched = ("default", "mismatched")
    assert counted == [("default", "applied"), ("default", "repeated"), mismatched, mismatched]


def test_what_says_nothing_new_leaves_the_record_as_it_was_written(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    payments.receive(callback(pending))
    (before,) = backend.records()
    payments.receive(callback(pending))
    assert backend.records()[0].updated_at == before.updated_at


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"input_ThirdPartyReference": "SOMEBODYELSES"}, "unmatched"),
        ({"input_OriginalConversationID": "AG_20180206_x"}, "mismatched"),
    ],
)
def test_a_forged_callback_changes_nothing(
    pending: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard,
    changes: dict[str, str], verdict: str,
) -> None:  # fmt: skip
    assert payments.receive(callback(pending, **changes))[0] == 200
    assert backend.records()[0].state == "pending"
    assert backend.verdicts() == [verdict]
    assert heard.rejected == [verdict]


def test_references_swapped_between_two_payments_are_not_believed(
    pending: Any, payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    other = payments.c2b(**PAYMENT)
    swapped = callback(pending, input_ThirdPartyReference=other.third_party_reference)
    assert payments.receive(swapped)[0] == 200
    assert [record.state for record in backend.records()] == ["pending", "pending"]
    assert backend.verdicts() == ["mismatched"]


def test_an_account_does_not_see_anothers_payments(
    pending: Any, make_payments: MakePayments, backend: Backend
) -> None:
    other = make_payments(alias="payouts")
    other.receive(callback(pending))
    assert backend.records()[0].state == "pending"
    assert other.store.find(pending.third_party_reference) is None
    assert other.reconcile().asked == 0


def test_an_unreadable_callback_is_kept(payments: Payments[Any, Any], backend: Backend) -> None:
    status, answer = payments.receive(b'{"input_ResultCode": NaN')
    assert (status, answer["output_ResponseCode"]) == (400, "1")
    assert answer["output_ResponseDesc"].startswith("The body ")
    assert backend.verdicts() == ["unreadable"]


def test_contradicting_news_is_kept_for_a_person(
    pending: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    payments.receive(callback(pending))
    for _ in range(2):
        payments.receive(callback(pending, "INS-6"))
    payments.receive(callback(pending, input_TransactionID="ANOTHER1"))
    (record,) = backend.records()
    assert (record.state, record.transaction_id) == ("completed", ID)
    assert "ANOTHER1" in record.conflict
    assert heard.names.count("conflict") == 2
    assert backend.verdicts() == ["applied", "conflict", "conflict", "conflict"]


def test_a_callback_that_overtakes_the_answer_counts_once_the_answer_names_it(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    send = payments.client.send

    def overtaken(request: Any) -> Any:
        result = send(request)
        (early,) = backend.records()
        named = {"input_OriginalConversationID": str(result.conversation_id)}
        payments.receive(callback(early, **named))
        assert backend.records()[0].state == "initiated"
        assert backend.verdicts() == ["early"]
        return result

    monkeypatch.setattr(payments.client, "send", overtaken)
    assert payments.c2b(**PAYMENT).state == "completed"
    assert backend.verdicts() == ["applied"]
    assert heard.names == ["initiated", "pending", "completed"]


def test_many_callbacks_at_once_win_once(
    pending: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    def receive(number: int) -> int:
        try:
            return payments.receive(callback(pending))[0]
        finally:
            backend.done()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(receive, range(24))) == {200}
    assert heard.names.count("completed") == 1
    assert backend.verdicts().count("applied") >= 1
    assert set(backend.verdicts()) <= {"applied", "repeated"}
    assert len(backend.verdicts()) == 24


def test_success_and_failure_at_once_leave_one_of_them_and_a_conflict(
    pending: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    def receive(code: str) -> int:
        try:
            return payments.receive(callback(pending, code))[0]
        finally:
            backend.done()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(receive, ["0", "INS-6"] * 8))
    (record,) = backend.records()
    assert record.state in ("completed", "failed")
    assert heard.names.count(record.state) == 1
    assert "conflict" in heard.names
    assert record.conflict


def test_a_callback_can_be_stored_now_and_decided_later(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    assert payments.receive(callback(pending), apply=False)[0] == 200
    assert backend.records()[0].state == "pending"
    assert payments.apply_callbacks() == 1
    assert backend.records()[0].state == "completed"
    assert payments.apply_callbacks() == 0


def test_a_callback_is_stored_even_if_what_it_changes_cannot_be(
    pending: Any,
    payments: Payments[Any, Any],
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(payments.store, "change", broken)
        # It is kept and will be applied, so that the gateway need not send it again.
        assert payments.receive(callback(pending))[0] == 200
    assert backend.verdicts() == ["received"]
    assert payments.apply_callbacks() == 1
    assert backend.records()[0].state == "completed"
    assert backend.verdicts() == ["applied"]


def test_what_no_worker_decided_reconcile_does(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    payments.receive(callback(pending), apply=False)
    assert payments.reconcile().callbacks == 0  # a worker may still be about to
    backend.make_due()
    assert payments.reconcile().callbacks == 1
    assert backend.records()[0].state == "completed"


def test_a_success_is_confirmed_before_it_counts_where_that_is_asked_for(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    payments = make_payments(verify_callbacks=True)
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_delayed", operation="c2b", delay=600)
    record = payments.c2b(**PAYMENT)
    payments.receive(callback(record))
    assert backend.records()[0].state == "pending"
    assert backend.verdicts() == ["unconfirmed"]
    booked = mpesa_simulator.ledger.find(record.third_party_reference)
    assert booked is not None
    settled = mpesa_simulator.ledger.settle(booked)
    payments.receive(callback(record, input_TransactionID=str(settled.transaction_id)))
    assert backend.records()[0].state == "completed"


def test_a_person_decides_what_the_gateway_never_said(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("cut_before")
    record = payments.c2b(**PAYMENT)
    with pytest.raises(ValidationError, match="completed, failed or cancelled") as caught:
        payments.resolve(record, State.PENDING, by="Ana", note="?")
    assert caught.value.errors_in("pt") == {"state": ["tem de ser completed, failed ou cancelled"]}
    decided = payments.resolve(record, State.FAILED, by="Ana", note="not on the statement")
    assert decided.state == "failed"
    assert decided.response_description == "Decided by Ana: not on the statement"
    assert heard.names[-1] == "failed"
    with pytest.raises(ValidationError, match="final") as caught:
        payments.resolve(record, State.COMPLETED, by="Ana", note="oh")
    assert "no estado “falhado”, que é definitivo" in caught.value.errors_in("pt")["record"][0]


def test_a_check_that_gets_no_answer_is_deferred(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("cut_before")
    record = payments.c2b(**PAYMENT)
    mpesa_simulator.scenarios.queue("cut_before", operation="query_transaction_status", times=9)
    with pytest.raises(GatewayUnavailable):
        payments.check(record)
    (after,) = backend.records()
    assert (after.state, after.checks) == ("unknown", 1)
    assert payments.store.aware(after.next_check_at) > datetime.now(timezone.utc) + timedelta(
        seconds=20
    )


def test_no_connection_is_held_while_the_gateway_is_asked(
    payments: Payments[Any, Any], mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:  # fmt: skip
    done: list[str] = []
    mpesa_simulator.scenarios.queue("cut_after")
    monkeypatch.setattr(payments.store, "disconnect", lambda: done.append("disconnect"))
    for name in ("send", "query_transaction_status"):
        call = getattr(payments.client, name)

        def note(*args: Any, call: Any = call, **named: Any) -> Any:
            done.append("ask")
            return call(*args, **named)

        monkeypatch.setattr(payments.client, name, note)
    record = payments.c2b(**PAYMENT)
    assert done[:2] == ["disconnect", "ask"]
    if way == "awaited":  # nor in a thread that nobody may come back to
        assert done[-1] == "disconnect"
    done.clear()
    assert payments.check(record).state == "completed"
    assert done[:2] == ["disconnect", "ask"]


def test_a_check_of_what_has_ended_asks_nobody_and_gives_what_has_become_of_it_since(
    payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = payments.c2b(**PAYMENT)
    payments.reverse(transaction_id=paid.transaction_id)
    asked: list[str] = []
    monkeypatch.setattr(
        payments.client, "query_transaction_status", lambda **named: asked.append("status")
    )
    assert (paid.state, payments.check(paid).state) == ("completed", "reversed")
    assert asked == []


@pytest.mark.parametrize("key", ["", "x" * 101, "a\0b", "\ud800", 7.5])
def test_a_key_that_cannot_be_kept_is_refused(
    payments: Payments[Any, Any], backend: Backend, key: Any
) -> None:
    for call, arguments in ((payments.c2b, PAYMENT), (payments.reverse, {"transaction_id": "X"})):
        with pytest.raises(ValidationError) as caught:
            call(**arguments, idempotency_key=key)
        assert list(caught.value.errors) == ["idempotency_key"]
    assert backend.records() == []


@pytest.mark.parametrize("other", ["ORDER-7", "order-7 ", "\u00f3rder-7"])
def test_another_key_never_gives_a_keys_payment(
    payments: Payments[Any, Any], backend: Backend, other: str
) -> None:
    """MariaDB takes these for the same."""
    first = payments.c2b(**PAYMENT, idempotency_key="order-7")
    try:
        assert payments.c2b(**PAYMENT, idempotency_key=other).pk != first.pk
    except IdempotencyConflict:
        assert len(backend.records()) == 1


def test_a_reference_in_other_letters_is_another(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    small = pending.third_party_reference.lower()
    assert payments.receive(callback(pending, input_ThirdPartyReference=small))[0] == 200
    assert backend.records()[0].state == "pending"
    assert backend.verdicts() == ["unmatched"]


def test_a_callback_against_what_was_decided_before_any_answer_is_for_a_person(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("cut_after")
    record = payments.c2b(**PAYMENT)
    record = payments.resolve(record, State.FAILED, by="Ana", note="not on the statement")
    said = callback(record, input_OriginalConversationID="AG_20180206_x")
    assert payments.receive(said)[0] == 200
    (kept,) = backend.records()
    assert (kept.state, kept.conversation_id) == ("failed", "")
    assert ID in kept.conflict
    assert heard.names == ["initiated", "unknown", "failed", "conflict"]
    assert backend.verdicts() == ["conflict"]


def test_a_callback_that_agrees_with_what_was_decided_before_any_answer_may_be_anothers(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("cut_before")
    record = payments.c2b(**PAYMENT)
    payments.resolve(record, State.FAILED, by="Ana", note="not on the statement")
    said = callback(record, "INS-6", input_OriginalConversationID="AG_20180206_x")
    assert payments.receive(said)[0] == 200
    assert (backend.records()[0].conflict, backend.verdicts()) == ("", ["early"])
    assert heard.names == ["initiated", "unknown", "failed"]


def test_a_callback_whose_payment_is_answered_while_it_is_decided_counts(
    pending: Any, payments: Payments[Any, Any], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = callback(pending)
    before = payments.store.with_values(pending, {"conversation_id": ""})
    monkeypatch.setattr(payments._callbacks, "_find", lambda said: before)
    assert payments.receive(body)[0] == 200
    assert backend.records()[0].state == "completed"
    assert backend.verdicts() == ["applied"]


def test_what_a_reversal_under_way_may_give_back_is_not_left(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    paid = payments.c2b(**PAYMENT)
    mpesa_simulator.scenarios.queue("cut_after", operation="reversal")
    part = payments.reverse(transaction_id=paid.transaction_id, amount=40)
    assert part.state == "unknown"
    for amount in (111, None):
        with pytest.raises(ValidationError, match="under way") as caught:
            payments.reverse(transaction_id=paid.transaction_id, amount=amount)
        assert list(caught.value.errors) == ["amount"]
    assert len(backend.records()) == 2
    assert payments.check(part).state == "completed"
    assert payments.reverse(transaction_id=paid.transaction_id).amount == Decimal(110)
    original = backend.records()[0]
    assert (original.state, original.reversed_amount) == ("reversed", Decimal(150))


def test_a_reversal_cannot_itself_be_given_back(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    paid = payments.c2b(**PAYMENT)
    part = payments.reverse(paid, 40)
    assert (part.state, bool(part.transaction_id)) == ("completed", True)
    with pytest.raises(ValidationError, match="a reversal, which cannot itself be given back"):
        payments.reverse(part)
    with pytest.raises(ValidationError):
        payments.reverse(transaction_id=part.transaction_id)
    assert len(backend.records()) == 2


def test_a_key_of_a_refund_with_an_unknown_transaction_is_a_conflict(
    payments: Payments[Any, Any],
) -> None:
    paid = payments.c2b(**PAYMENT)
    payments.reverse(transaction_id=paid.transaction_id, idempotency_key="refund-1")
    with pytest.raises(IdempotencyConflict, match="another original_id"):
        payments.reverse(transaction_id="NOSUCHTHING", idempotency_key="refund-1")


@pytest.mark.parametrize("given_back", ["50.01", "100.00"])
def test_what_was_given_back_beyond_what_was_paid_is_told_and_not_booked_of_the_payment(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    caplog: pytest.LogCaptureFixture, given_back: str,
) -> None:  # fmt: skip
    """As after a backup of the database was put back, or a row was edited by hand."""
    paid = payments.c2b(**PAYMENT)
    mpesa_simulator.scenarios.queue("cut_after", operation="reversal")
    part = payments.reverse(transaction_id=paid.transaction_id, amount=100)
    backend.set_all(reversed_amount=Decimal(given_back))
    assert payments.check(part).state == "completed"
    original, reversal = backend.records()
    assert (original.state, original.reversed_amount) == ("completed", Decimal(given_back))
    assert reversal.state == "completed", "the money has moved"
    assert f"reversal.unbooked third_party_reference={part.third_party_reference}" in caplog.text
    assert caplog.text.count("reversal.unbooked") == 1
    assert heard.names[-3:] == ["reversal_unknown", "reversal_completed", "conflict"]
    assert "reversed" not in heard.names
    assert heard.events[-1][1].pk == original.pk, "a person is to look at the payment"
    assert original.conflict == (
        f"reversal {part.third_party_reference} gave back 100.00, which is more than was left"
    )
    assert backend.outbox() == 0


def test_reversals_at_once_give_back_no_more_than_was_paid(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    paid = payments.c2b(**PAYMENT)
    for _ in range(12):
        mpesa_simulator.scenarios.queue("cut_before", operation="reversal")

    def give_back(number: int) -> str:
        try:
            return str(payments.reverse(transaction_id=paid.transaction_id, amount=60).state)
        except ValidationError:
            return "refused"
        finally:
            backend.done()

    with ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(give_back, range(12)))
    assert sorted(ends) == ["refused"] * 10 + ["unknown"] * 2
    assert len(backend.records()) == 3


def test_the_rest_is_asked_for_by_its_amount(
    payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = payments.c2b(**PAYMENT)
    asked: list[Any] = []
    send = payments.client.send

    def note(request: Any) -> Any:
        asked.append(request.parameters.get("input_ReversalAmount"))
        return send(request)

    monkeypatch.setattr(payments.client, "send", note)
    payments.reverse(transaction_id=paid.transaction_id, amount=40)
    payments.reverse(transaction_id=paid.transaction_id)
    assert asked == ["40", "110"]
