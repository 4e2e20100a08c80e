"""Each operation has its own events, through its whole life, whatever keeps the records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from flask_mpesa.memory_store import MemoryStore
from mpesa_integrations import State
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import ASYNC_URL, callback_body

from .backends import Backend, DjangoBackend
from .conftest import BOTH_WAYS, Heard, MakePayments

way = BOTH_WAYS

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
BETWEEN_SHOPS: dict[str, Any] = {
    "receiver_shortcode": "979797", "amount": "150.00", "reference": "ORDER 7"
}  # fmt: skip


class _InMemory:
    """For the tests that need no more of a backend than its store."""

    def store(self, account: str = "default") -> MemoryStore:
        return MemoryStore(account)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(coroutine)


@pytest.fixture(params=["django", pytest.param("sqlalchemy", marks=pytest.mark.slow), "memory"])
def backend(request: pytest.FixtureRequest, transactional_db: None) -> Any:
    if request.param == "django":
        return DjangoBackend()
    if request.param == "memory":
        return _InMemory()
    found = request.getfixturevalue("_sqlalchemy_backend")
    found.empty()
    return found


@pytest.fixture
def payments(make_payments: MakePayments) -> Payments[Any, Any]:
    """An account for which each payment that is still open when asked about has been so long."""
    return make_payments(stuck_after=timedelta(0))


Call = Callable[[], Any]


@pytest.fixture(params=["c2b", "b2c", "b2b", "reversal"])
def operation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def word(operation: str) -> str:
    """With what the operation's events begin."""
    return {"c2b": "payment", "reversal": "reversal"}.get(operation, "payout")


@pytest.fixture
def call(operation: str, payments: Payments[Any, Any], heard: Heard) -> Call:
    """Make the call; what happened before it is not heard."""
    if operation == "reversal":
        paid = payments.c2b(**PAYMENT)
        heard.events.clear()
        return lambda: payments.reverse(transaction_id=paid.transaction_id)
    if operation == "b2b":
        return lambda: payments.b2b(**BETWEEN_SHOPS)
    return lambda: getattr(payments, operation)(**PAYMENT)


def _names(heard: Heard) -> list[str]:
    return [event.value for event, _ in heard.events]


def _about(heard: Heard, record: Any) -> list[str]:
    return [event.value for event, about in heard.events if about.pk == record.pk]


@pytest.mark.parametrize(
    ("code", "state"),
    [("INS-6", "failed"), ("INS-5", "cancelled"), ("INS-9", "unknown"), ("INS-0", "completed")],
)
def test_what_an_answer_says_is_an_event_of_the_operation(
    call: Call, operation: str, word: str, heard: Heard, mpesa_simulator: Simulator,
    code: str, state: str,
) -> None:  # fmt: skip
    scenario = "success" if code == "INS-0" else f"code:{code}"
    mpesa_simulator.scenarios.queue(scenario, operation=operation)
    record = call()
    assert record.state == state
    assert _about(heard, record) == [f"{word}_initiated", f"{word}_{state}"]
    given_back = ["payment_reversed"] if (operation, state) == ("reversal", "completed") else []
    assert _names(heard) == [*_about(heard, record), *given_back]


@pytest.mark.parametrize(
    ("code", "state", "opposite"),
    [("0", "completed", "INS-6"), ("INS-6", "failed", "0"), ("INS-5", "cancelled", "0")],
)
def test_what_callbacks_say_is_an_event_of_the_operation_and_a_conflict_is_one_for_a_person(
    call: Call, operation: str, word: str, payments: Payments[Any, Any], heard: Heard,
    mpesa_simulator: Simulator, code: str, state: str, opposite: str,
) -> None:  # fmt: skip
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation=operation)
    record = call()
    mpesa_simulator.callbacks.drain()
    for said in (code, opposite):
        body = json.dumps(callback_body(record, said)).encode()
        assert payments.receive(body, remote_address="127.0.0.1")[0] == 200
    assert payments.store.get(record).state == state
    expected = [f"{word}_initiated", f"{word}_pending", f"{word}_{state}", "payment_conflict"]
    assert _about(heard, record) == expected
    others = [name for name in _names(heard) if name not in expected]
    given_back = operation == "reversal" and state == "completed"
    assert others == (["payment_reversed"] if given_back else [])


def test_one_that_stays_open_is_for_a_person_and_what_that_decides_is_the_operations(
    call: Call, operation: str, word: str, payments: Payments[Any, Any], heard: Heard,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue("cut_before", operation=operation)
    record = payments.check(call())
    payments.resolve(record, State.FAILED, by="Ana", note="not on the statement")
    expected = [f"{word}_initiated", f"{word}_unknown", "payment_stuck", f"{word}_failed"]
    assert _names(heard) == expected


@pytest.mark.parametrize(
    ("paid_by", "word"), [("c2b", "payment"), ("b2c", "payout"), ("b2b", "payout")]
)
def test_each_part_that_is_given_back_is_an_event_of_the_originals_operation(
    payments: Payments[Any, Any], heard: Heard, paid_by: str, word: str
) -> None:
    arguments = BETWEEN_SHOPS if paid_by == "b2b" else PAYMENT
    original = getattr(payments, paid_by)(**arguments)
    for amount, state in (("50.00", "partly_reversed"), ("100.00", "reversed")):
        heard.events.clear()
        reversal = payments.reverse(transaction_id=original.transaction_id, amount=amount)
        assert reversal.state == "completed"
        assert _about(heard, reversal) == ["reversal_initiated", "reversal_completed"]
        assert _about(heard, original) == [f"{word}_reversed"]
        assert _names(heard)[-1] == f"{word}_reversed"
        about = heard.events[-1][1]
        given_back = Decimal(150) if state == "reversed" else Decimal(50)
        assert (about.state, about.reversed_amount) == (state, given_back)


@pytest.mark.parametrize("wanted", [Event.PAYMENT_REVERSED, Event.PAYOUT_REVERSED])
def test_where_only_one_kind_is_received_nothing_of_the_other_is_kept(
    payments: Payments[Any, Any], heard: Heard, monkeypatch: pytest.MonkeyPatch, wanted: Event
) -> None:
    monkeypatch.setattr(heard, "wants", lambda event: event is wanted)
    for pay in (payments.c2b, payments.b2c):
        payments.reverse(transaction_id=pay(**PAYMENT).transaction_id)
    assert _names(heard) == [wanted.value]


def test_what_a_process_that_died_had_to_dispatch_is_dispatched_with_the_same_meaning(
    payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    _skip_without_outbox(backend)
    heard.silent = True
    payments.c2b(**PAYMENT)
    paid_out = payments.b2c(**PAYMENT)
    payments.reverse(transaction_id=paid_out.transaction_id, amount=1)
    heard.silent = False
    backend.make_due()
    assert payments.reconcile().dispatched == 7
    assert sorted(_names(heard)) == [
        "payment_completed", "payment_initiated", "payout_completed", "payout_initiated",
        "payout_reversed", "reversal_completed", "reversal_initiated",
    ]  # fmt: skip
    assert backend.outbox() == 0


def test_rows_that_an_earlier_version_left_are_dispatched_as_the_operations_own(
    payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    _skip_without_outbox(backend)
    heard.silent = True
    paid_out = payments.b2c(**PAYMENT)
    payments.reverse(transaction_id=paid_out.transaction_id)
    heard.silent = False
    rows = backend.outbox_rows()
    assert {row.event for row in rows} == {
        "payout_initiated", "payout_completed", "payout_reversed",
        "reversal_initiated", "reversal_completed",
    }  # fmt: skip
    for row in rows:  # which knew the payments' names only
        backend.set_outbox_entry(row.id, event=f"payment_{row.event.partition('_')[2]}")
    backend.make_due()
    done = payments.reconcile()
    assert (done.dispatched, done.failed) == (5, 0)
    assert sorted(_names(heard)) == sorted(row.event for row in rows)
    assert backend.outbox() == 0


def _skip_without_outbox(backend: Any) -> None:
    if isinstance(backend, _InMemory):
        pytest.skip("it has no outbox")
