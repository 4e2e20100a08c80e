"""What a second attack found: IDs that two payments share, callbacks that wait; every store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mpesa_integrations.core.lifecycle import State
from mpesa_integrations.core.payments import Payments
from mpesa_integrations.simulator import Simulator

from .backends import Backend
from .conftest import Heard
from .test_payments import ASYNC_URL, PAYMENT, callback


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
