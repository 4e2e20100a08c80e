"""IDs that two payments share, and what else a gateway or a stranger mixes up; over every store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from flask_mpesa.memory_store import MemoryStore
from mpesa_integrations import MpesaClient, RequestsTransport
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.callbacks import ASYNC_URL

from .backends import Backend
from .conftest import BOTH_WAYS, Heard, MakePayments
from .test_payments import PAYMENT, callback

way = BOTH_WAYS


def _naming(payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch, **said: Any) -> None:
    """Have the next calls' answers name other IDs."""
    send = payments.client.send

    def named(request: Any) -> Any:
        try:
            return replace(send(request), **said)
        except Exception as error:
            if getattr(error, "result", None) is not None:
                error.result = replace(error.result, **said)  # type: ignore[attr-defined]
            raise

    monkeypatch.setattr(payments.client, "send", named)


@pytest.mark.parametrize("reference", ["R7", None])
def test_a_reversal_is_never_known_by_its_originals_conversation(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, reference: str | None,
) -> None:  # fmt: skip
    paid = payments.c2b(**PAYMENT)
    assert paid.conversation_id
    with monkeypatch.context() as patch:
        _naming(payments, patch, conversation_id=paid.conversation_id)
        mpesa_simulator.scenarios.queue("code:INS-9", operation="reversal")
        back = payments.reverse(transaction_id=paid.transaction_id, third_party_reference=reference)
    assert back.state == "unknown"
    for _ in range(2):
        backend.make_due()
        payments.reconcile()
    assert [r.state for r in backend.records()] == ["completed", "unknown"]


@pytest.mark.parametrize("theirs", ["completed", "failed"])
def test_two_payments_with_one_conversation_are_known_by_their_callbacks_only(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, heard: Heard,
    monkeypatch: pytest.MonkeyPatch, theirs: str,
) -> None:  # fmt: skip
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b", times=2)
    first = payments.c2b(**PAYMENT)
    with monkeypatch.context() as patch:
        _naming(payments, patch, conversation_id=first.conversation_id)
        second = payments.c2b(**PAYMENT)
    mpesa_simulator.callbacks.drain()
    booked = mpesa_simulator.ledger.find(first.third_party_reference)
    assert booked is not None
    if theirs == "failed":
        mpesa_simulator.ledger.settle(booked, "INS-6")
    ask = payments.client.query_transaction_status
    monkeypatch.setattr(  # as was seen: a status without a transaction ID
        payments.client, "query_transaction_status",
        lambda **asked: replace(ask(**asked), transaction_id=None),
    )  # fmt: skip
    for _ in range(2):
        backend.make_due()
        payments.reconcile()
    assert [r.state for r in backend.records()] == ["pending", "pending"]
    assert "another request" in backend.records()[1].response_description
    assert backend.records()[1].next_check_at is not None
    payments.receive(callback(second))
    assert [r.state for r in backend.records()] == ["pending", "completed"]


def test_a_conversation_that_differs_in_capitals_is_another(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    names = iter(["ag_1x", "AG_1X"])
    monkeypatch.setattr(mpesa_simulator.ledger, "new_conversation_id", lambda: next(names))
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b", times=2)
    for _ in range(2):
        payments.c2b(**PAYMENT)
    mpesa_simulator.callbacks.drain()
    backend.make_due()
    payments.reconcile()
    assert [r.state for r in backend.records()] == ["completed", "completed"]


@pytest.fixture
def going_back(payments: Payments[Any, Any], mpesa_simulator: Simulator) -> tuple[Any, Any]:
    """A payment, and its reversal that the gateway has accepted."""
    paid = payments.c2b(**PAYMENT)
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="reversal")
    back = payments.reverse(transaction_id=paid.transaction_id)
    mpesa_simulator.callbacks.drain()
    assert back.state == "pending"
    return paid, back


@pytest.mark.parametrize("inline", [True, False])
def test_a_reversals_callback_may_name_the_originals_transaction(
    going_back: tuple[Any, Any], payments: Payments[Any, Any], backend: Backend, heard: Heard,
    inline: bool,
) -> None:  # fmt: skip
    paid, back = going_back
    for _ in range(2):
        body = callback(back, input_TransactionID=paid.transaction_id)
        payments.receive(body, apply=inline)
        payments.apply_callbacks()
    assert [r.state for r in backend.records()] == ["reversed", "completed"]
    assert backend.verdicts() == ["applied", "repeated"]
    assert heard.names.count("reversed") == 1
    assert "conflict" not in heard.names


def test_a_callback_that_waits_contradicts_what_a_person_decides(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    """The answer was lost, and with it the conversation: a person must hear of it."""
    mpesa_simulator.scenarios.queue("cut_before")
    lost = payments.c2b(**PAYMENT)
    payments.receive(callback(lost, input_OriginalConversationID="AG_1"))
    assert backend.verdicts() == ["early"]
    resolved = payments.resolve(lost, State.FAILED, by="Ana", note="not there")
    assert resolved.state == "failed"
    assert backend.verdicts() == ["conflict"]
    assert heard.names[-2:] == ["failed", "conflict"]


def test_without_records_a_strangers_early_callback_does_not_push_out_the_genuine_one(
    heard: Heard, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(mpesa_simulator.config, callback_token=TOKEN)
    store = MemoryStore("default")
    payments: Payments[Any, Any] = Payments("default", AccountSettings(config=config), store, heard)
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    send = payments.client.send

    def overtaken(request: Any) -> Any:
        result = send(request)
        sent = store.find(request.third_party_reference)
        for conversation in (str(result.conversation_id), "AG_GUESSED"):
            payments.receive(callback(sent, input_OriginalConversationID=conversation))
        return result

    monkeypatch.setattr(payments.client, "send", overtaken)
    assert payments.c2b(**PAYMENT).state == "completed"
    assert heard.rejected == ["mismatched"]
    assert payments.receive(b"not JSON")[0] == 400
    assert not store._callbacks, "nothing is kept that waits for nothing"
    payments.client.close()


@pytest.mark.parametrize(("refused", "status"), [(True, 409), (False, 500)])
@pytest.mark.parametrize("operation", ["c2b", "reversal"])
def test_a_duplicate_of_whatever_kind_may_name_anothers_ids(
    payments: Payments[Any, Any], make_payments: MakePayments, backend: Backend,
    mpesa_simulator: Simulator, operation: str, monkeypatch: pytest.MonkeyPatch, refused: bool,
    status: int,
) -> None:  # fmt: skip
    """Somebody else has the reference that was given; the first try was surely refused."""
    paid = payments.c2b(**PAYMENT) if operation == "reversal" else None
    with MpesaClient(mpesa_simulator.config) as client:
        theirs = client.c2b(
            msisdn="849999999", amount=10, reference="X", third_party_reference="ORDER8"
        )
    send = RequestsTransport.send

    def naming_it(transport: RequestsTransport, request: Any) -> Any:
        response = send(transport, request)
        answer = json.loads(response.body)
        if answer["output_ResponseCode"] == "INS-10":
            answer["output_ConversationID"] = theirs.conversation_id
            answer["output_TransactionID"] = theirs.transaction_id
            return replace(response, status=status, body=json.dumps(answer).encode())
        return response

    monkeypatch.setattr(RequestsTransport, "send", naming_it)
    payments = make_payments(transport=RequestsTransport())
    if refused:
        mpesa_simulator.scenarios.queue("code:INS-16", operation=operation)
    if paid is None:
        payments.c2b(**{**PAYMENT, "amount": 5000}, third_party_reference="ORDER8")
    else:
        payments.reverse(transaction_id=paid.transaction_id, third_party_reference="ORDER8")
    record = backend.records()[-1]
    assert (record.state, record.response_code) == ("unknown", "INS-10")
    assert (record.conversation_id, record.transaction_id) == ("", "")
    assert theirs.transaction_id in record.response_description
    for _ in range(2):
        backend.make_due()
        payments.reconcile()
    assert backend.records()[-1].state == "unknown"
    assert "reversed" not in [r.state for r in backend.records()]
