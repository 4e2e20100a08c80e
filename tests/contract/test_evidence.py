"""What the gateway says is believed only where it can be about this very payment; every store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations import (
    GatewayUnavailable,
    MpesaClient,
    TransactionStatus,
    ValidationError,
)
from mpesa_integrations.core.client.references import new_third_party_reference
from mpesa_integrations.core.payments import recorder
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.protocol.codes import Kind
from mpesa_integrations.core.protocol.results import TransactionStatusResult
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import ASYNC_URL
from tests.support.callbacks import TRANSACTION_ID as ID

from .backends import Backend
from .conftest import Heard, MakePayments
from .test_payments import PAYMENT, callback, pending

__all__ = ["pending"]

SHARED = "ORDER7"


def _other_deployment_pays(simulator: Simulator, reference: str = SHARED, amount: int = 10) -> str:
    """Somebody else on the same shortcode; gives the transaction ID."""
    with MpesaClient(simulator.config) as client:
        paid = client.c2b(
            msisdn="849999999", amount=amount, reference="X", third_party_reference=reference
        )
    assert paid.transaction_id
    return paid.transaction_id


def _reconcile(payments: Payments[Any, Any], backend: Backend) -> Any:
    backend.make_due()
    payments.reconcile()
    return backend.records()[-1]


def _hours_from_now(hours: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=hours)


@pytest.mark.parametrize("reference", [SHARED, None])
def test_somebody_elses_payment_never_completes_a_duplicate(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    reference: str | None, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if reference is None:
        reference = new_third_party_reference()
    theirs = _other_deployment_pays(mpesa_simulator, reference)
    record = payments.c2b(**{**PAYMENT, "amount": 5000}, third_party_reference=reference)
    assert (record.state, record.response_code) == ("unknown", "INS-10")
    assert "Another request has this reference" in record.conflict
    assert f"payment.conflict third_party_reference={reference}" in caplog.text
    assert (record.conversation_id, record.transaction_id) == ("", "")
    assert heard.names == ["initiated", "unknown", "conflict"]
    for _ in range(3):
        record = _reconcile(payments, backend)
    assert (record.state, record.transaction_id, record.checks) == ("unknown", "", 3)
    assert f"{reference}: Completed, transaction {theirs}" in record.response_description
    assert record.next_check_at > _hours_from_now(23)  # a query would say nothing; a person knows
    assert heard.names == ["initiated", "unknown", "conflict"]
    backend.set_all(created_at=_hours_from_now(-25))
    record = _reconcile(payments, backend)
    assert (record.state, record.next_check_at) == ("unknown", None)
    assert _reconcile(payments, backend).checks == record.checks == 4
    assert heard.names == ["initiated", "unknown", "conflict", "stuck"]
    assert payments.resolve(record, State.FAILED, by="Ana", note="not ours").state == "failed"


def test_nobody_decides_that_no_money_moved_while_a_call_is_under_way(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    decision: dict[str, Any] = {"by": "Ana", "note": "not on the statement"}
    for order in ("ORDER-1", "ORDER-2"):
        payments.c2b(msisdn="841234567", amount=10, order=order, send="worker")
    payments._queue.claim(2).take()  # by a worker, which sends them now
    first, second = backend.records()
    for state in (State.FAILED, State.CANCELLED):
        with pytest.raises(ValidationError, match=r"under way.* again in [0-9]+ seconds"):
            payments.resolve(first, state, **decision)
    assert [record.state for record in backend.records()] == ["initiated", "initiated"]
    assert payments.resolve(second, State.COMPLETED, **decision).state == "completed"

    backend.make_due()  # its call must be over by now
    assert payments.resolve(first, State.FAILED, **decision).state == "failed"


@pytest.mark.parametrize("code", ["0", "INS-2006"])
def test_an_early_callback_does_not_end_a_payments_call(
    payments: Payments[Any, Any], backend: Backend, code: str
) -> None:
    payments.c2b(msisdn="841234567", amount=10, order="ORDER-1", send="worker")
    payments._queue.claim(1).take()  # by a worker, which sends it now
    (record,) = backend.records()
    for conversation in ("AG_1", "AG_2"):
        payments.receive(callback(record, code, input_OriginalConversationID=conversation))
    assert backend.verdicts() == ["early", "early"]
    assert payments.reconcile().asked == 0
    with pytest.raises(ValidationError, match="under way"):
        payments.resolve(record, State.FAILED, by="Ana", note="not on the statement")

    backend.make_due()  # its call must be over by now
    assert payments.resolve(record, State.FAILED, by="Ana", note="not on the statement")


@pytest.mark.parametrize("said", ["N/A", "Pending", "nothing"])
def test_to_ask_for_a_payment_does_not_end_its_call(
    payments: Payments[Any, Any],
    backend: Backend,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
) -> None:
    """Who asks early may be told that the gateway does not know it, and still not decide that."""

    def answer(**_: Any) -> TransactionStatusResult:
        if said == "nothing":
            raise GatewayUnavailable("No answer")
        status = TransactionStatus.PENDING if said == "Pending" else None
        return TransactionStatusResult(
            code=None, description="", kind=Kind.SUCCESS, http_status=200, transaction_status=status
        )

    payments.c2b(msisdn="841234567", amount=10, order="ORDER-1", send="worker")
    payments._queue.claim(1).take()  # by a worker, which sends it now
    monkeypatch.setattr(payments.client, "query_transaction_status", answer)
    (record,) = backend.records()
    with pytest.raises(GatewayUnavailable) if said == "nothing" else nullcontext():
        assert payments.check(record).state == "initiated"
    (checked,) = backend.records()
    assert (checked.checks, checked.next_check_at) == (0, record.next_check_at)
    assert "unknown" not in heard.names
    with pytest.raises(ValidationError, match="under way"):
        payments.resolve(record, State.FAILED, by="Ana", note="the gateway does not know it")

    backend.make_due()  # its call must be over by now
    with pytest.raises(GatewayUnavailable) if said == "nothing" else nullcontext():
        payments.check(record)
    assert backend.records()[0].checks == 1


@pytest.mark.parametrize("code", ["INS-6", "INS-5"])
def test_somebody_elses_failure_never_fails_a_duplicate(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, code: str
) -> None:
    mpesa_simulator.scenarios.queue("cancelled" if code == "INS-5" else "wrong_pin")
    with MpesaClient(mpesa_simulator.config) as client, pytest.raises(Exception, match=code):
        client.c2b(msisdn="849999999", amount=1, reference="X", third_party_reference=SHARED)
    assert payments.c2b(**PAYMENT, third_party_reference=SHARED).response_code == "INS-10"
    assert _reconcile(payments, backend).state == "unknown"


def test_a_duplicate_that_the_gateway_then_does_not_know_is_not_failed(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    payments = make_payments(not_found_after=timedelta(seconds=1))
    mpesa_simulator.scenarios.queue("code:INS-10")
    payments.c2b(**PAYMENT)
    backend.set_all(created_at=_hours_from_now(-2))
    record = _reconcile(payments, backend)
    assert (record.state, record.checks) == ("unknown", 1)
    assert payments.check(record).state == "unknown"


@pytest.mark.parametrize(
    ("reference", "state", "event"),
    [(None, "completed", "completed"), ("MINE7", "unknown", "stuck")],
)
def test_a_duplicate_of_an_attempt_of_our_own_is_asked_for(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    reference: str | None, state: str, event: str,
) -> None:  # fmt: skip
    """INS-16 that lied, sent again: only a reference of this library's is surely ours."""
    mpesa_simulator.scenarios.queue("overloaded_unawares")
    record = payments.c2b(**PAYMENT, third_party_reference=reference)
    assert (record.state, record.response_code) == ("unknown", "INS-10")
    record = _reconcile(payments, backend)
    assert record.state == state
    assert heard.names == ["initiated", "unknown", event]
    assert len(mpesa_simulator.ledger.transactions()) == 1


@pytest.mark.parametrize("scenario", ["overloaded_but_paid", "failed_but_paid"])
@pytest.mark.parametrize("operation", ["c2b", "reversal"])
def test_what_contradicts_itself_is_not_sent_again_and_asked_for(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, scenario: str,
    operation: str,
) -> None:  # fmt: skip
    paid = payments.c2b(**PAYMENT) if operation == "reversal" else None
    mpesa_simulator.scenarios.queue(scenario)
    if paid is not None:
        record = payments.reverse(transaction_id=paid.transaction_id)
    else:
        record = payments.c2b(**PAYMENT)
    assert record.state == "unknown"
    assert "no money moved" in record.response_description
    assert _reconcile(payments, backend).state == "completed"
    assert mpesa_simulator.ledger.total() == 0
    assert len(mpesa_simulator.ledger.transactions()) == len(backend.records())


@pytest.mark.parametrize("scenario", ["cut_before", "cut_after"])
def test_a_reference_that_was_given_may_be_another_requests(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    scenario: str,
) -> None:  # fmt: skip
    """Nothing says whether what the gateway has by it is ours: it is a person's at once."""
    mpesa_simulator.scenarios.queue(scenario)
    assert payments.c2b(**PAYMENT, third_party_reference=SHARED).state == "unknown"
    if scenario == "cut_before":
        _other_deployment_pays(mpesa_simulator)
    record = _reconcile(payments, backend)
    assert (record.state, record.transaction_id, record.next_check_at) == ("unknown", "", None)
    assert f"{SHARED}: Completed" in record.response_description
    assert heard.names == ["initiated", "unknown", "stuck"]
    assert _reconcile(payments, backend).checks == 1
    resolved = payments.resolve(record, State.COMPLETED, by="Ana", note="on the statement")
    assert resolved.state == "completed"


@pytest.mark.parametrize(
    ("not_found_after", "state"), [(None, "unknown"), (timedelta(minutes=5), "failed")]
)
def test_that_nobody_has_a_reference_is_as_good_of_one_that_was_given(
    make_payments: MakePayments, backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    not_found_after: timedelta | None, state: str,
) -> None:  # fmt: skip
    payments = make_payments(not_found_after=not_found_after)
    mpesa_simulator.scenarios.queue("cut_before")
    payments.c2b(**PAYMENT, third_party_reference=SHARED)
    backend.set_all(created_at=_hours_from_now(-1))
    record = _reconcile(payments, backend)
    assert record.state == state
    assert (record.next_check_at is None) == (state == "failed")


def test_once_the_gateway_named_the_conversation_any_reference_will_do(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    record = payments.c2b(**PAYMENT, third_party_reference=SHARED)
    assert record.state == "pending"
    mpesa_simulator.callbacks.drain()
    assert _reconcile(payments, backend).state == "completed"


def _answering(payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch,
               **said: Any) -> list[str]:  # fmt: skip
    """Have status queries answered with other fields; gives what is asked for."""
    ask = payments.client.query_transaction_status
    asked: list[str] = []

    def answer(*, query_reference: str) -> Any:
        asked.append(query_reference)
        return replace(ask(query_reference=query_reference), **said)

    monkeypatch.setattr(payments.client, "query_transaction_status", answer)
    return asked


def test_a_querys_own_ids_are_not_the_payments(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue("cut_after")
    first = payments.c2b(**PAYMENT)
    with monkeypatch.context() as patch:
        asked = _answering(
            payments, patch, conversation_id="AG_QUERY", transaction_id="QUERYS1",
            transaction_status=TransactionStatus.PENDING,
        )  # fmt: skip
        for _ in range(2):
            record = _reconcile(payments, backend)
            assert (record.state, record.conversation_id, record.transaction_id) == (
                "pending", "", ""
            )  # fmt: skip
        assert asked == [first.third_party_reference] * 2
    booked = mpesa_simulator.ledger.find(first.third_party_reference)
    assert booked is not None
    # The genuine callback has the query sent at once, whose answer decides.
    early = callback(first, input_OriginalConversationID=booked.conversation_id,
                     input_TransactionID=str(booked.transaction_id))  # fmt: skip
    assert payments.receive(early)[0] == 200
    assert backend.verdicts() == ["early"]
    payments.reconcile()
    (record,) = backend.records()
    assert (record.state, record.transaction_id) == ("completed", booked.transaction_id)
    assert backend.verdicts() == ["repeated"]
    assert heard.names == ["initiated", "unknown", "pending", "completed"]


def test_a_queries_transaction_counts_only_where_none_is_known(
    pending: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard,
    mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its answer, overtaken by the callback, is no contradiction either."""
    ask = payments.client.query_transaction_status

    def overtaken(*, query_reference: str) -> Any:
        answer = ask(query_reference=query_reference)
        payments.receive(callback(pending))
        return replace(answer, transaction_id="QUERYS1")

    monkeypatch.setattr(payments.client, "query_transaction_status", overtaken)
    record = payments.check(pending)
    assert (record.state, record.transaction_id, record.conflict) == ("completed", ID, "")
    assert heard.names == ["initiated", "pending", "completed"]


def test_a_reversal_is_never_known_by_its_originals_transaction(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    paid = payments.c2b(**PAYMENT)
    mpesa_simulator.scenarios.queue("cut_after", operation="reversal")
    back = payments.reverse(transaction_id=paid.transaction_id, amount=50)
    asked = _answering(payments, monkeypatch, transaction_id=paid.transaction_id)
    reversal = payments.check(back)
    assert asked == [back.third_party_reference]
    assert (reversal.state, reversal.transaction_id) == ("completed", "")
    assert backend.records()[0].state == "partly_reversed"


def test_a_reversal_that_was_never_sent_is_not_completed_by_its_original(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    paid = payments.c2b(**PAYMENT)
    send = payments.client.send

    def named(request: Any) -> Any:
        mpesa_simulator.scenarios.queue("code:INS-9")
        try:
            return send(request)
        except Exception as error:
            result: Any = error.result  # type: ignore[attr-defined]
            error.result = replace(  # type: ignore[attr-defined]
                result, transaction_id=paid.transaction_id
            )
            raise

    with monkeypatch.context() as patch:
        patch.setattr(payments.client, "send", named)
        back = payments.reverse(transaction_id=paid.transaction_id, third_party_reference="R7")
    assert (back.state, back.transaction_id) == ("unknown", "")
    assert _reconcile(payments, backend).state == "unknown"
    assert backend.records()[0].state == "completed"


def test_the_ids_of_an_answer_to_another_request_are_not_taken(
    payments: Payments[Any, Any], mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("wrong_reference")
    record = payments.c2b(**PAYMENT)
    assert (record.state, record.conversation_id, record.transaction_id) == ("unknown", "", "")


def _resolve(payments: Payments[Any, Any], record: Any) -> Any:
    return payments.resolve(record, State.FAILED, by="Ana", note="?")


@pytest.mark.parametrize("part", ["alias", "settings", "client", "store", "notifier"])
def test_what_an_account_is_made_of_cannot_be_exchanged(
    payments: Payments[Any, Any], part: str
) -> None:
    with pytest.raises(AttributeError):
        setattr(payments, part, getattr(payments, part))


def test_each_account_decides_its_own_payments(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    default, payouts = make_payments(), make_payments(alias="payouts")
    mpesa_simulator.scenarios.queue("cut_after")
    record = payouts.b2c(**PAYMENT)
    calls: list[Callable[[], Any]] = [
        lambda: default.check(record),
        lambda: default.resolve(record, State.FAILED, by="Ana", note="?"),
        lambda: default.link(record, metadata={}),
    ]
    for call in calls:
        with pytest.raises(ValidationError) as caught:
            call()
        assert "“payouts”, not of “default”" in str(caught.value)
        assert 'use mpesa["payouts"]' in str(caught.value)
        assert "conta “payouts”" in caught.value.errors_in("pt")["record"][0]
    (kept,) = backend.records()
    assert (kept.state, kept.checks) == ("unknown", 0)
    # An object that says that it is this account's does not make the record so.
    pretended = default.store.with_values(payouts.store.get(record), {"account": "default"})
    for call in (lambda: default.check(pretended), lambda: _resolve(default, pretended)):
        with pytest.raises(ValidationError, match="not of “default”"):
            call()
    (kept,) = backend.records()
    assert (kept.state, kept.checks) == ("unknown", 0)
    assert payouts.check(record).state == "completed"
    with pytest.raises(ValidationError):
        default.check(payouts.store.get(record))  # a final one, too


@pytest.mark.parametrize("reference", [None, SHARED])
@pytest.mark.parametrize(
    "conversation", ["AG.2026:1", "a/b?c=d&e", "AG 2026 1", "y" * 60, "y" * 99]
)
def test_a_conversation_of_any_shape_is_asked_for_by_what_can_be_asked(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, conversation: str, reference: str | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(mpesa_simulator.ledger, "new_conversation_id", lambda: conversation)
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    record = payments.c2b(**PAYMENT, third_party_reference=reference)
    mpesa_simulator.callbacks.drain()
    assert record.state == "pending"
    assert record.conversation_id == (conversation if len(conversation) <= 64 else "")
    askable = " " not in conversation and len(conversation) <= 64
    record = _reconcile(payments, backend)
    assert record.state == ("completed" if askable or reference is None else "pending")
    # Nobody can say whose a given reference is: it is for a person, and not asked for again.
    assert ("stuck" in heard.names) == (record.state == "pending" and not record.conversation_id)


@pytest.mark.parametrize("long", [False, True])
def test_a_callback_of_any_conversation_counts(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, long: bool,
) -> None:  # fmt: skip
    conversation = "AG 2026:" + "y" * (90 if long else 1)
    monkeypatch.setattr(mpesa_simulator.ledger, "new_conversation_id", lambda: conversation)
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    record = payments.c2b(**PAYMENT)
    mpesa_simulator.callbacks.drain()
    booked = mpesa_simulator.ledger.find(record.third_party_reference)
    assert booked is not None
    body = callback(record, input_OriginalConversationID=conversation,
                    input_TransactionID=str(booked.transaction_id))  # fmt: skip
    assert payments.receive(body)[0] == 200
    if long:  # no record can hold it, so the gateway is asked, at once
        assert backend.verdicts() == ["early"]
        payments.reconcile()
    assert backend.records()[0].state == "completed"


@pytest.mark.parametrize("transaction", ["4X:D.F/1+2", "y" * 64])
def test_a_transaction_of_any_shape_can_be_given_back(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, transaction: str,
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(mpesa_simulator.ledger, "new_transaction_id", lambda: transaction)
        paid = payments.c2b(**PAYMENT)
    assert paid.transaction_id == transaction
    assert payments.reverse(transaction_id=transaction).state == "completed"
    assert backend.records()[0].state == "reversed"


def test_a_transaction_that_no_record_can_hold_is_kept_in_words(
    payments: Payments[Any, Any], mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mpesa_simulator.ledger, "new_transaction_id", lambda: "y" * 70)
    paid = payments.c2b(**PAYMENT)
    assert (paid.state, paid.transaction_id) == ("completed", "")
    assert "y" * 70 in paid.response_description
    with pytest.raises(ValidationError, match="on record"):
        payments.reverse(transaction_id="y" * 64)


@pytest.mark.parametrize(
    ("said", "settled", "verdict", "state"),
    [
        ("INS-6", None, "unconfirmed", "pending"),
        ("INS-5", None, "unconfirmed", "pending"),
        ("INS-6", "INS-0", "unconfirmed", "completed"),
        ("INS-2006", "INS-6", "applied", "failed"),
        ("INS-5", "INS-5", "applied", "cancelled"),
        ("0", "INS-6", "unconfirmed", "failed"),
        ("0", "INS-0", "applied", "completed"),
    ],
)
@pytest.mark.parametrize("inline", [True, False])
def test_with_verification_nothing_a_callback_says_is_believed_unasked(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, said: str, settled: str | None, verdict: str, state: str,
    inline: bool,
) -> None:  # fmt: skip
    payments = make_payments(verify_callbacks=True)
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_delayed", operation="c2b", delay=600)
    record = payments.c2b(**PAYMENT)
    booked = mpesa_simulator.ledger.find(record.third_party_reference)
    assert booked is not None
    if settled:
        mpesa_simulator.ledger.settle(booked, settled)
    asked = _answering(payments, monkeypatch)
    payments.receive(callback(record, said), apply=inline)
    if not inline:
        assert asked == []
        payments.apply_callbacks()
    assert asked == [record.conversation_id]
    (kept,) = backend.records()
    assert (kept.state, backend.verdicts()) == (state, [verdict])
    if verdict == "applied":
        assert kept.response_code == {"0": "INS-0"}.get(said, said)  # why, as the callback knows
        assert kept.response_description == "said the callback"
    if state == "completed":
        found = mpesa_simulator.ledger.find(record.third_party_reference)
        assert found is not None
        assert kept.transaction_id == found.transaction_id


@pytest.mark.parametrize("code", ["INS-6", "INS-16"])
def test_a_callback_that_contradicts_itself_has_the_gateway_asked(
    pending: Any, payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    code: str,
) -> None:  # fmt: skip
    assert payments.receive(callback(pending, code, input_TransactionID=ID))[0] == 200
    (record,) = backend.records()
    assert (record.state, record.transaction_id) == ("pending", "")
    assert backend.verdicts() == ["unconfirmed"]
    assert payments.reconcile().asked == 1  # at once
    assert backend.records()[0].state == "completed"


def test_what_is_given_back_is_counted_of_the_payment_too(
    payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, ...]] = []
    monkeypatch.setattr(recorder, "count_transition", lambda *said: counted.append(said))
    paid = payments.c2b(**PAYMENT)
    counted.clear()
    payments.reverse(transaction_id=paid.transaction_id, amount=50)
    payments.reverse(transaction_id=paid.transaction_id)
    assert counted == [
        ("default", "reversal", "completed"), ("default", "c2b", "partly_reversed"),
        ("default", "reversal", "completed"), ("default", "c2b", "reversed"),
    ]  # fmt: skip


def test_a_payment_is_counted_when_it_comes_to_a_state_and_not_each_time_it_is_asked_for(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    counted: list[tuple[str, ...]] = []
    monkeypatch.setattr(recorder, "count_transition", lambda *said: counted.append(said))
    mpesa_simulator.scenarios.queue("cut_before")
    payments.c2b(**PAYMENT)
    for _ in range(2):
        assert _reconcile(payments, backend).state == "unknown"
    assert counted == [("default", "c2b", "unknown")]
