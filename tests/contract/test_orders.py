"""Of an order at most one payment is open or paid: over every store, by threads and processes."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from mpesa_integrations import ValidationError
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.records import Change, OrderClaimed
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import TRANSACTION_ID, accepted_payment

from .backends import Backend
from .conftest import BOTH_WAYS, Heard, StartProcess
from .payer import THREADS, pay
from .processes import CONTEXT
from .test_payments import callback

way = BOTH_WAYS

AnyPayments = Any
"""`Payments`, whose records have more than core reads of them."""
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "order": "ORDER-7"}
ANOTHER = {**PAYMENT, "msisdn": "85 765 4321"}


def _fail(payments: AnyPayments, simulator: Simulator, scenario: str = "cancelled") -> Any:
    simulator.scenarios.queue(scenario, delay=0)
    return payments.c2b(**PAYMENT)


def test_the_reference_is_the_orders_unless_it_is_given(payments: AnyPayments) -> None:
    assert payments.c2b(**PAYMENT).reference == "ORDER-7"
    given = payments.c2b(**{**PAYMENT, "order": 8}, reference="CAFE 8")
    assert (given.order_key, given.claimed_order_key, given.reference) == ("8", "8", "CAFE 8")
    long = uuid.uuid4()
    with pytest.raises(ValidationError) as caught:
        payments.c2b(**{**PAYMENT, "order": long})
    assert list(caught.value.errors) == ["reference"]
    assert payments.c2b(**{**PAYMENT, "order": long}, reference="9").order_key == str(long)


def test_what_is_open_is_given_whatever_phone_is_named(
    payments: AnyPayments, mpesa_simulator: Simulator, backend: Backend, heard: Heard
) -> None:
    first = accepted_payment(payments, mpesa_simulator, **PAYMENT)
    heard.events.clear()
    again = payments.c2b(**ANOTHER)
    assert (again.pk, again.state, again.msisdn) == (first.pk, "pending", "258841234567")
    assert len(backend.records()) == 1
    assert heard.events == []


def test_what_is_paid_is_given_also_once_a_part_went_back(
    payments: AnyPayments, mpesa_simulator: Simulator
) -> None:
    paid = payments.c2b(**PAYMENT)
    assert payments.c2b(**ANOTHER).pk == paid.pk
    payments.reverse(paid, "50.00")
    assert payments.c2b(**ANOTHER).state == "partly_reversed"
    assert payments.paid("ORDER-7").pk == paid.pk
    assert len([t for t in mpesa_simulator.ledger.transactions() if t.operation == "c2b"]) == 1


@pytest.mark.parametrize("scenario", ["insufficient_balance", "cancelled"])
def test_who_did_not_pay_can_try_again_with_the_same_or_another_phone(
    payments: AnyPayments, mpesa_simulator: Simulator, scenario: str
) -> None:
    _fail(payments, mpesa_simulator, scenario)
    _fail(payments, mpesa_simulator, scenario)
    paid = payments.c2b(**ANOTHER)
    assert (paid.state, paid.msisdn) == ("completed", "258857654321")
    attempts = payments.attempts("ORDER-7")
    assert [attempt.claimed_order_key for attempt in attempts] == [None, None, "ORDER-7"]
    assert attempts[-1].pk == paid.pk == payments.paid("ORDER-7").pk
    assert (payments.standing("ORDER-7").pk, payments.standing("ORDER-8")) == (paid.pk, None)
    assert payments.attempts("ORDER-8") == []
    assert payments.paid("order-7") is None, "capitals are another order's"


@pytest.mark.parametrize("scenario", ["", "cut_after"])
def test_another_amount_is_refused_while_one_is_open_or_paid(
    payments: AnyPayments, mpesa_simulator: Simulator, backend: Backend, scenario: str
) -> None:
    if scenario:
        mpesa_simulator.scenarios.queue(scenario, delay=0)
    state = payments.c2b(**PAYMENT).state
    with pytest.raises(ValidationError) as caught:
        payments.c2b(**{**ANOTHER, "amount": 151})
    told = f"must be 150.00: the order has a payment of that amount, which is {state}"
    assert caught.value.errors == {"amount": [told]}
    assert str(caught.value).startswith("Nothing was sent.")
    assert len(backend.records()) == 1


def test_an_order_that_failed_may_be_paid_with_another_amount(
    payments: AnyPayments, mpesa_simulator: Simulator
) -> None:
    _fail(payments, mpesa_simulator)
    assert payments.c2b(**{**ANOTHER, "amount": 151}).amount == Decimal(151)


def test_what_went_back_whole_is_paid_again_only_when_asked_for(
    payments: AnyPayments, mpesa_simulator: Simulator
) -> None:
    first = payments.c2b(**PAYMENT)
    payments.reverse(first)
    given = payments.c2b(**{**PAYMENT, "amount": 7})
    assert (given.pk, given.state, given.claimed_order_key) == (first.pk, "reversed", None)
    assert payments.paid("ORDER-7") is None
    mpesa_simulator.scenarios.queue("cancelled", delay=0)
    assert payments.c2b(**PAYMENT, again=True).state == "cancelled"
    # Who was asked once may try again without being asked anew.
    paid = payments.c2b(**PAYMENT)
    assert (paid.state, paid.pk == first.pk) == ("completed", False)
    assert payments.c2b(**PAYMENT, again=True).pk == paid.pk, "it is paid"


def _contradicted(payments: AnyPayments, simulator: Simulator) -> Any:
    """A payment that failed, and of which a callback then says that it was paid."""
    pending = accepted_payment(payments, simulator, **PAYMENT)
    payments.receive(callback(pending, "INS-2006"))
    payments.receive(callback(pending, "0"))
    (found,) = payments.attempts("ORDER-7")
    assert (found.state, bool(found.conflict)) == ("failed", True)
    return found


def _contradicted_refund(
    payments: AnyPayments, simulator: Simulator, amount: str
) -> tuple[Any, Any]:
    """A payment, and a refund of it that failed, and of which a callback says that it was made."""
    paid = payments.c2b(**PAYMENT)
    simulator.scenarios.queue("wrong_pin", delay=0)
    refund = payments.reverse(paid, amount)
    assert refund.state == "failed"
    payments.receive(callback(refund, input_TransactionID=paid.transaction_id))
    return paid, refund


def test_no_attempt_follows_a_contradiction_until_somebody_decided(
    payments: AnyPayments, mpesa_simulator: Simulator, backend: Backend
) -> None:
    first = _contradicted(payments, mpesa_simulator)
    sent = len(backend.records())
    for call in (PAYMENT, ANOTHER, {**PAYMENT, "amount": 7}):
        assert payments.c2b(**call, again=True).pk == first.pk
    assert len(backend.records()) == sent
    decided = payments.resolve(first, State.FAILED, by="Ana", note="not on the statement")
    assert (decided.state, decided.conflict_decided_at is None) == ("failed", False)
    second = payments.c2b(**ANOTHER)
    assert (second.pk == first.pk, second.msisdn) == (False, "258857654321")


def test_a_contradicted_payment_stands_though_another_failed_after_it(
    payments: AnyPayments, mpesa_simulator: Simulator
) -> None:
    first = accepted_payment(payments, mpesa_simulator, **PAYMENT)
    payments.receive(callback(first, "INS-2006"))
    newest = accepted_payment(payments, mpesa_simulator, **PAYMENT)
    payments.receive(callback(newest, "INS-2006"))
    assert payments.standing("ORDER-7").pk == newest.pk
    payments.receive(callback(first, "0"))
    assert payments.standing("ORDER-7").pk == first.pk == payments.c2b(**ANOTHER).pk


def test_a_person_may_decide_that_a_contradicted_payment_was_paid(
    payments: AnyPayments, mpesa_simulator: Simulator, heard: Heard
) -> None:
    first = _contradicted(payments, mpesa_simulator)
    heard.events.clear()
    decided = payments.resolve(first, State.COMPLETED, by="Ana", note="on the statement")
    assert (decided.state, decided.claimed_order_key) == ("completed", "ORDER-7")
    assert decided.response_description == "Decided by Ana: on the statement"
    assert heard.names == ["completed"]
    assert payments.c2b(**ANOTHER).pk == first.pk
    assert decided.claimed_transaction_id == TRANSACTION_ID, "by which it can be given back"
    with pytest.raises(ValidationError, match="which is final"):
        payments.resolve(decided, State.COMPLETED, by="Ana", note="again")


def test_nobody_decides_that_an_order_was_paid_twice(
    payments: AnyPayments, mpesa_simulator: Simulator
) -> None:
    pending = accepted_payment(payments, mpesa_simulator, **PAYMENT)
    payments.receive(callback(pending, "INS-2006"))
    mpesa_simulator.config  # noqa: B018 - the account is as before
    paid = payments.c2b(**ANOTHER)
    payments.receive(callback(pending, "0"))
    first, second = payments.attempts("ORDER-7")
    assert (first.state, bool(first.conflict), second.pk) == ("failed", True, paid.pk)
    with pytest.raises(ValidationError, match=paid.third_party_reference):
        payments.resolve(first, State.COMPLETED, by="Ana", note="on the statement")
    assert payments.resolve(first, State.FAILED, by="Ana", note="reversed by hand").conflict


def test_who_decides_an_open_payment_decides_what_contradicts_it_too(
    payments: AnyPayments, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("code:INS-10")
    first = payments.c2b(**PAYMENT)
    assert (first.state, bool(first.conflict)) == ("unknown", True)
    decided = payments.resolve(first, State.FAILED, by="Ana", note="not on the statement")
    assert (decided.state, decided.may_retry) == ("failed", True)
    assert payments.c2b(**PAYMENT).pk != first.pk


def test_a_refund_that_a_person_decides_went_through_is_given_back(
    payments: AnyPayments, mpesa_simulator: Simulator, heard: Heard
) -> None:
    _, refund = _contradicted_refund(payments, mpesa_simulator, "50.00")
    heard.events.clear()
    decided = payments.resolve(refund, State.COMPLETED, by="Ana", note="on the statement")
    assert (decided.state, decided.claimed_transaction_id) == ("completed", None)
    now = payments.paid("ORDER-7")
    assert (now.state, now.reversed_amount) == ("partly_reversed", Decimal(50))
    assert heard.names == ["reversal_completed", "reversed"]


def test_no_refund_follows_a_contradicted_one_until_somebody_decided(
    payments: AnyPayments, mpesa_simulator: Simulator, backend: Backend
) -> None:
    """Else 200 could go back of 150: the first refund may have gone through."""
    paid, refund = _contradicted_refund(payments, mpesa_simulator, "100.00")
    sent = len(backend.records())
    for amount in ("100.00", "50.01", None):
        for send in ("now", "worker"):
            with pytest.raises(ValidationError, match="a person must decide that first") as caught:
                payments.reverse(paid, amount, send=send)
            assert list(caught.value.errors) == ["amount"]
    assert len(backend.records()) == sent
    assert payments.reverse(paid, "50.00").state == "completed", "so much is left either way"

    assert payments.resolve(refund, State.FAILED, by="Ana", note="not on the statement").conflict
    assert payments.reverse(paid).amount == Decimal(100)
    assert payments.standing("ORDER-7").state == "reversed"


def test_a_decision_is_written_once_however_often_it_is_made(
    payments: AnyPayments, mpesa_simulator: Simulator, heard: Heard
) -> None:
    """As by who clicks twice, or where the commit was not heard of and it is tried again."""
    first = _contradicted(payments, mpesa_simulator)
    heard.events.clear()
    for _ in range(2):
        decided = payments.resolve(first, State.COMPLETED, by="Ana", note="on the statement")
        assert decided.state == "completed"
    assert heard.names == ["completed"]
    with pytest.raises(ValidationError, match="which is final"):
        payments.resolve(first, State.FAILED, by="Ana", note="on the statement")


def test_news_after_a_decision_is_for_a_person_again(
    payments: AnyPayments, mpesa_simulator: Simulator
) -> None:
    first = _contradicted(payments, mpesa_simulator)
    payments.resolve(first, State.FAILED, by="Ana", note="not on the statement")
    payments.receive(callback(first, "0"))
    (told_twice,) = payments.attempts("ORDER-7")
    assert told_twice.conflict_decided_at is not None, "the same news was decided on"
    payments.receive(callback(first, "0", input_TransactionID="4XDF99999"))
    (told_more,) = payments.attempts("ORDER-7")
    assert told_more.conflict_decided_at is None
    assert payments.c2b(**PAYMENT).pk == first.pk


def test_a_payout_and_a_payment_of_one_order_are_apart(payments: AnyPayments) -> None:
    payout = payments.b2c(**PAYMENT)
    assert payments.b2c(**ANOTHER).pk == payout.pk
    paid = payments.c2b(**PAYMENT)
    assert paid.pk != payout.pk
    assert [a.pk for a in payments.attempts("ORDER-7")] == [paid.pk]
    assert [a.pk for a in payments.attempts("ORDER-7", operation="b2c")] == [payout.pk]
    arguments: dict[str, Any] = {"receiver_shortcode": "979797", "amount": 10, "order": "ORDER-7"}
    assert payments.b2b(**arguments).pk == payments.b2b(**arguments).pk


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ("", "must have 1 to 100 characters on one line"),
        ("  ", "must have 1 to 100 characters on one line"),
        ("x" * 101, "must have 1 to 100 characters on one line"),
        ("a\nb", "must have 1 to 100 characters on one line"),
        (10**200, "must have 1 to 100 characters on one line"),
        (1.5, "not float"),
        (True, "not bool"),
        (object(), "not object"),
    ],
)
def test_what_is_no_order_is_refused(
    payments: AnyPayments, backend: Backend, order: Any, problem: str
) -> None:
    calls: list[Any] = [payments.paid, lambda given: payments.c2b(**{**PAYMENT, "order": given})]
    for call in calls:
        with pytest.raises(ValidationError) as caught:
            call(order)
        assert list(caught.value.errors) == ["order"]
        assert problem in caught.value.errors["order"][0]
    with pytest.raises(ValidationError, match="without an idempotency key"):
        payments.c2b(**PAYMENT, idempotency_key="k")
    assert backend.records() == []


def test_neither_an_order_nor_a_reference_is_a_problem_with_the_reference(
    payments: AnyPayments,
) -> None:
    with pytest.raises(ValidationError) as caught:
        payments.c2b(msisdn="84 123 4567", amount=150)
    assert list(caught.value.errors) == ["reference"]


def test_each_account_has_orders_of_its_own(make_payments: Any) -> None:
    one, other = make_payments(), make_payments(alias="other")
    assert one.c2b(**PAYMENT).pk != other.c2b(**PAYMENT).pk


def test_threads_that_pay_one_order_send_one_prompt(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    def pay(number: int) -> Any:
        try:
            return payments.c2b(**{**PAYMENT, "msisdn": f"2588412345{number:02}"}).pk
        finally:
            backend.done()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(pay, range(16)))) == 1
    assert len(mpesa_simulator.ledger.transactions()) == 1


def test_threads_that_try_again_at_once_send_one_prompt_more(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    failed = _fail(payments, mpesa_simulator)

    def pay(number: int) -> Any:
        try:
            return payments.c2b(**PAYMENT).pk
        finally:
            backend.done()

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(pay, range(16)))
    assert len(found) == 1
    assert failed.pk not in found
    assert len(backend.records()) == 2


@pytest.mark.slow
def test_32_threads_in_4_processes_send_one_prompt(
    backend: Backend, mpesa_simulator: Simulator, payments: AnyPayments,
    start_process: StartProcess,
) -> None:  # fmt: skip
    together = CONTEXT.Barrier(4 * THREADS)
    payers = [
        start_process(pay, *backend.address(), mpesa_simulator.state_dir, together)
        for _ in range(4)
    ]
    printed = [line for payer in payers for line in payer.lines()]
    assert len(printed) == 4 * THREADS
    assert len(set(printed)) == 1, "all were given the one payment"
    (booked,) = mpesa_simulator.ledger.transactions()
    (record,) = backend.records()
    assert booked.third_party_reference == record.third_party_reference
    assert payments.paid("ORDER-7").pk == record.pk


def test_the_database_holds_it_whatever_a_store_is_asked_for(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    failed = _fail(payments, mpesa_simulator)
    paid = payments.c2b(**PAYMENT)
    claims = Change(values={"claimed_order_key": "ORDER-7"})
    with pytest.raises(OrderClaimed, match=paid.third_party_reference):
        payments.store.isolated(lambda: payments.store.change(failed, State.CANCELLED, claims))
    values = {
        "operation": "c2b", "amount": Decimal(1), "third_party_reference": "R2",
        "order_key": "ORDER-7", "claimed_order_key": "ORDER-7",
    }  # fmt: skip
    with pytest.raises(OrderClaimed, match=paid.third_party_reference):
        payments.store.isolated(lambda: payments.store.create(values, []))
    assert len(backend.records()) == 2


def test_what_is_being_given_back_is_seen_on_the_payment(
    payments: AnyPayments, mpesa_simulator: Simulator, backend: Backend
) -> None:
    paid = payments.c2b(**PAYMENT)
    for amount, scenario in (("0.10", "cut_after"), ("0.20", "cut_before")):
        mpesa_simulator.scenarios.queue(scenario, delay=0)
        assert payments.reverse(paid, amount).is_open
    now = payments.paid("ORDER-7")
    assert (now.state, now.reversal_pending, now.reversed_amount) == (
        "completed", Decimal("0.30"), 0
    )  # fmt: skip
    _, went, stayed = backend.records()
    assert payments.check(went).state == "completed"
    payments.resolve(stayed, State.FAILED, by="Ana", note="it never arrived")
    now = payments.paid("ORDER-7")
    assert (now.state, now.reversal_pending, now.reversed_amount) == (
        "partly_reversed", 0, Decimal("0.10")
    )  # fmt: skip


def test_a_reversal_names_the_payment_or_its_transaction(
    payments: AnyPayments, mpesa_simulator: Simulator, make_payments: Any
) -> None:
    failed = _fail(payments, mpesa_simulator)
    paid = payments.c2b(**PAYMENT)
    with pytest.raises(ValidationError) as caught:
        payments.reverse(failed)
    assert caught.value.errors == {
        "payment": ["the payment is cancelled; only what completed goes back"]
    }
    with pytest.raises(ValidationError) as caught:
        payments.reverse(paid, transaction_id=paid.transaction_id)
    assert list(caught.value.errors) == ["payment"]
    with pytest.raises(ValidationError) as caught:
        payments.reverse()
    assert list(caught.value.errors) == ["transaction_id"]
    with pytest.raises(ValidationError) as caught:
        make_payments(alias="other").reverse(paid)
    assert list(caught.value.errors) == ["record"]
    first = payments.reverse(paid, idempotency_key="refund")
    assert (first.state, first.original_id) == ("completed", paid.pk)
    assert payments.reverse(paid, idempotency_key="refund").pk == first.pk, "by an old record, too"
