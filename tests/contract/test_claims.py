"""One transaction of the gateway belongs to one payment, over every store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flask_mpesa.memory_store import MemoryStore
from mpesa_integrations import ValidationError
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.records import Change, TransactionClaimed
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import ASYNC_URL
from tests.support.callbacks import TRANSACTION_ID as ID

from .backends import Backend
from .conftest import Heard, MakePayments
from .test_payments import PAYMENT, callback

TwoPending = Callable[[], tuple[Any, Any]]


@pytest.fixture
def two_pending(payments: Payments[Any, Any], mpesa_simulator: Simulator) -> tuple[Any, Any]:
    """Two payments that the gateway has accepted, and whose callbacks never come by themselves."""
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b", times=2)
    found = payments.c2b(**PAYMENT), payments.c2b(**PAYMENT)
    mpesa_simulator.callbacks.drain()
    return found


def _claims(backend: Backend) -> list[str | None]:
    return [record.claimed_transaction_id for record in backend.records()]


def _states(backend: Backend) -> list[str]:
    return [record.state for record in backend.records()]


def test_a_paid_payment_claims_its_transaction_and_a_reversal_claims_none(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    paid = payments.c2b(**PAYMENT)
    reversal = payments.reverse(transaction_id=paid.transaction_id, amount=50)
    assert reversal.state == "completed"
    assert reversal.transaction_id
    assert _claims(backend) == [paid.transaction_id, None]
    payments.reverse(transaction_id=paid.transaction_id)
    assert _claims(backend)[0] == paid.transaction_id
    assert backend.records()[0].state == "reversed"


def test_an_open_or_declined_payment_claims_nothing(
    payments: Payments[Any, Any], backend: Backend, two_pending: tuple[Any, Any]
) -> None:
    payments.receive(callback(two_pending[0], "INS-6"))
    assert _states(backend) == ["failed", "pending"]
    assert _claims(backend) == [None, None]


def test_the_second_callback_with_one_transaction_is_a_conflict(
    payments: Payments[Any, Any], backend: Backend, two_pending: tuple[Any, Any], heard: Heard
) -> None:
    first, second = two_pending
    for record in two_pending:
        assert payments.receive(callback(record))[0] == 200
    kept = backend.records()
    assert _states(backend) == ["completed", "pending"]
    assert _claims(backend) == [ID, None]
    assert kept[1].transaction_id == ""
    assert ID in kept[1].conflict
    assert first.third_party_reference in kept[1].conflict
    assert kept[1].next_check_at == second.next_check_at, "asked for when it would have been"
    assert backend.verdicts() == ["applied", "conflict"]
    assert heard.names[-2:] == ["completed", "conflict"]
    assert heard.events[-1][1].pk == second.pk
    payments.receive(callback(second))
    assert heard.names[-2:] == ["completed", "conflict"], "dispatched once"


def test_a_paid_one_that_claims_nothing_is_a_conflict_once_where_another_has_its_transaction(
    payments: Payments[Any, Any], backend: Backend, two_pending: tuple[Any, Any], heard: Heard
) -> None:
    """As one that was on record before there were claims."""
    first, second = two_pending
    payments.receive(callback(first))
    payments.store.change(
        second,
        State.PENDING,
        Change(values={"state": State.COMPLETED, "transaction_id": ID, "next_check_at": None}),
    )
    heard.events.clear()
    for _ in range(2):
        assert payments.receive(callback(second))[0] == 200
    assert heard.names == ["conflict"]
    assert _claims(backend) == [ID, None]


def test_a_reversal_by_that_transaction_finds_the_one_that_holds_it(
    payments: Payments[Any, Any], backend: Backend, two_pending: tuple[Any, Any]
) -> None:
    for record in reversed(two_pending):
        payments.receive(callback(record))
    assert _states(backend) == ["pending", "completed"]
    found: Any = payments.store.find_paid(ID)
    assert found.pk == two_pending[1].pk
    assert payments.store.find_paid(ID.lower()) is None


def test_an_answer_with_anothers_transaction_leaves_its_payment_unknown(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = payments.c2b(**PAYMENT)
    send = payments.client.send

    def again(request: Any) -> Any:
        return replace(send(request), transaction_id=first.transaction_id)

    monkeypatch.setattr(payments.client, "send", again)
    second = payments.c2b(**PAYMENT)
    assert second.state == "unknown"
    kept = backend.records()[1]
    assert (kept.state, kept.transaction_id, kept.claimed_transaction_id) == ("unknown", "", None)
    assert kept.conversation_id, "what the answer said of itself is kept"
    assert kept.next_check_at is not None
    assert first.transaction_id in kept.conflict
    assert heard.names[2:] == ["initiated", "conflict", "unknown"]


def test_a_query_that_gives_anothers_transaction_backs_off_and_ends_with_a_person(
    make_payments: MakePayments, backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    payments = make_payments(stuck_after=timedelta(0))
    first = payments.c2b(**PAYMENT)
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    second = payments.c2b(**PAYMENT)
    assert second.state == "unknown"
    query = payments.client.query_transaction_status

    def about_the_first(**reference: Any) -> Any:
        return replace(query(**reference), transaction_id=first.transaction_id)

    monkeypatch.setattr(payments.client, "query_transaction_status", about_the_first)
    for checks in (1, 2, 3):
        backend.make_due()
        assert payments.reconcile().asked == 1
        kept = backend.records()[1]
        assert (kept.state, kept.checks) == ("unknown", checks)
        assert kept.next_check_at > payments.store.get(kept).updated_at
        assert payments.reconcile().asked == 0, "it is due no more"
    assert heard.names.count("conflict") == 1
    assert heard.names.count("stuck") == 1
    assert kept.stuck_at is not None


def test_a_completed_payment_that_is_said_to_have_anothers_transaction_keeps_none(
    payments: Payments[Any, Any], backend: Backend, two_pending: tuple[Any, Any], heard: Heard
) -> None:
    first, second = two_pending
    payments.receive(callback(first))
    payments.receive(callback(second, input_TransactionID="N/A"))
    assert _states(backend) == ["completed", "completed"]
    payments.receive(callback(second))
    kept = backend.records()[1]
    assert (kept.state, kept.transaction_id, kept.claimed_transaction_id) == ("completed", "", None)
    assert ID in kept.conflict
    assert backend.verdicts()[-1] == "conflict"
    payments.receive(callback(second, input_TransactionID="4XDF99999"))
    assert _claims(backend) == [ID, "4XDF99999"], "one that comes later is claimed then"


def test_a_person_cannot_complete_a_payment_with_anothers_transaction(
    payments: Payments[Any, Any], backend: Backend, two_pending: tuple[Any, Any]
) -> None:
    first, second = two_pending
    payments.receive(callback(first))
    change = Change(values={"transaction_id": ID})
    assert payments.store.change(second, State.PENDING, change) is not None
    with pytest.raises(ValidationError, match=f"{ID}.*another payment"):
        payments.resolve(second, State.COMPLETED, by="Ana", note="on the statement")
    assert _states(backend) == ["completed", "pending"]
    assert ID in backend.records()[1].conflict
    assert payments.resolve(second, State.FAILED, by="Ana", note="not there").state == "failed"


def test_of_payments_without_a_transaction_each_can_be_decided_to_be_paid(
    payments: Payments[Any, Any], backend: Backend, two_pending: tuple[Any, Any]
) -> None:
    for record in two_pending:
        payments.receive(callback(record, "INS-6"))
        payments.receive(callback(record, input_TransactionID="N/A"))
    for record in two_pending:
        decided = payments.resolve(record, State.COMPLETED, by="Ana", note="on the statement")
        assert decided.state == "completed"
    assert _claims(backend) == [None, None]


def test_threads_that_claim_one_transaction_complete_one_payment(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, heard: Heard
) -> None:
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b", times=6)
    records = [payments.c2b(**PAYMENT) for _ in range(6)]
    mpesa_simulator.callbacks.drain()
    start = threading.Barrier(6)

    def bring(record: Any) -> int:
        start.wait(timeout=10)
        try:
            return payments.receive(callback(record))[0]
        finally:
            backend.done()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(bring, records)) == {200}
    assert sorted(_states(backend)) == ["completed"] + 5 * ["pending"]
    assert heard.names.count("completed") == 1
    assert heard.names.count("conflict") == 5
    assert sorted(backend.verdicts()) == ["applied"] + 5 * ["conflict"]


def test_transactions_that_differ_in_capitals_are_two(
    payments: Payments[Any, Any], backend: Backend, two_pending: tuple[Any, Any]
) -> None:
    first, second = two_pending
    payments.receive(callback(first, input_TransactionID="4xdf12345"))
    payments.receive(callback(second, input_TransactionID="4XDF12345"))
    assert _states(backend) == ["completed", "completed"]
    assert _claims(backend) == ["4xdf12345", "4XDF12345"]
    found: Any = payments.store.find_paid("4XDF12345")
    assert found.pk == second.pk


def test_another_accounts_payment_may_have_the_same_transaction(
    make_payments: MakePayments, backend: Backend, two_pending: tuple[Any, Any],
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    payouts = make_payments(alias="payouts")
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    other = payouts.c2b(**PAYMENT)
    make_payments().receive(callback(two_pending[0]))
    payouts.receive(callback(other))
    assert sorted(_states(backend)) == ["completed", "completed", "pending"]


def test_the_memory_of_a_process_holds_it_too() -> None:
    store = MemoryStore("default")
    records = [
        store.create(
            {"operation": operation, "state": State.PENDING, "third_party_reference": f"R{number}"},
            (),
        )[0]
        for number, operation in enumerate(("c2b", "c2b", "reversal"))
    ]
    claims = Change(values={"state": State.COMPLETED, "claimed_transaction_id": ID})
    assert store.change(records[0], State.PENDING, claims) is not None
    with pytest.raises(TransactionClaimed):
        store.change(records[1], State.PENDING, claims)
    assert store.get(records[1]).state == State.PENDING
    found = store.find_paid(ID)
    assert found is not None
    assert found.pk == records[0].pk
