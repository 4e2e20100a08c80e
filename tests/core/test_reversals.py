"""What becomes of a payment of which a reversal gave money back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mpesa_integrations import ValidationError
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.reversals import (
    after_reversal,
    after_settling,
    check_reversible,
    refuse_too_much,
)

from .conftest import make_record

COMPLETED = (State.COMPLETED, State.PARTLY_REVERSED)


def _paid(reversed_amount: str = "0.00", state: State = State.COMPLETED) -> Any:
    return make_record(
        state=state.value, reversed_amount=Decimal(reversed_amount), transaction_id="4XDF12345",
        order_key="ORDER-7", claimed_order_key="ORDER-7",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "amount", "state", "total"),
    [
        ("0.00", "0.01", State.PARTLY_REVERSED, "0.01"),
        ("0.00", "149.99", State.PARTLY_REVERSED, "149.99"),
        ("0.00", "150.00", State.REVERSED, "150.00"),
        ("40.00", "109.99", State.PARTLY_REVERSED, "149.99"),
        ("40.00", "110.00", State.REVERSED, "150.00"),
    ],
)
def test_what_was_given_back_adds_up_until_all_of_it_was(
    before: str, amount: str, state: State, total: str
) -> None:
    for earlier in COMPLETED:
        columns = after_reversal(_paid(before, earlier), Decimal(amount))
        claim = None if state is State.REVERSED else "ORDER-7"
        assert columns == {
            "state": state, "reversed_amount": Decimal(total), "claimed_order_key": claim
        }  # fmt: skip


@pytest.mark.parametrize("completes", [True, False])
def test_what_is_being_given_back_is_what_is_open_of_it(completes: bool) -> None:
    open_ = [Decimal("0.10"), Decimal("0.20")]
    columns, booked = after_settling(_paid(), Decimal("9.70"), open_, completes=completes)
    assert columns["reversal_pending"] == Decimal("0.30")
    assert (booked, columns.get("reversed_amount")) == (
        completes, Decimal("9.70") if completes else None
    )  # fmt: skip
    columns, booked = after_settling(_paid("150.00"), Decimal("0.01"), [], completes=True)
    assert (columns, booked) == ({"reversal_pending": Decimal(0)}, False)


@pytest.mark.parametrize(("before", "amount"), [("0.00", "150.01"), ("40.00", "110.01")])
def test_more_than_was_paid_is_never_booked_as_given_back(before: str, amount: str) -> None:
    for earlier in COMPLETED:
        assert after_reversal(_paid(before, earlier), Decimal(amount)) is None


@pytest.mark.parametrize("state", [state for state in State if state not in COMPLETED])
def test_nothing_is_given_back_of_what_did_not_complete(state: State) -> None:
    assert after_reversal(_paid(state=state), Decimal(1)) is None
    with pytest.raises(ValidationError) as caught:
        check_reversible(_paid(state=state), None, "transaction_id")
    problem = f"the payment is {state}; only what completed goes back"
    assert caught.value.errors == {"transaction_id": [problem]}


@pytest.mark.parametrize(
    ("before", "under_way", "refused"),
    [
        ("0.00", ["150.00"], False),
        ("0.00", ["150.01"], True),
        ("40.00", ["110.00"], False),
        ("40.00", ["110.01"], True),
        ("40.00", ["60.00", "50.00"], False),
        ("40.00", ["60.00", "50.01"], True),
    ],
)
def test_the_reversals_under_way_count_as_given_back(
    before: str, under_way: list[str], refused: bool
) -> None:
    amounts = [Decimal(amount) for amount in under_way]
    if not refused:
        return refuse_too_much(_paid(before), amounts, [])
    with pytest.raises(ValidationError) as caught:
        refuse_too_much(_paid(before), amounts, [])
    problem = (
        "with the reversals under way, more would go back than was paid: "
        "wait for what becomes of them"
    )
    assert caught.value.errors == {"amount": [problem]}
    return None


def test_at_most_what_is_left_may_be_given_back() -> None:
    for state in COMPLETED:
        original = _paid("40.00", state)
        for amount in (None, Decimal("0.01"), Decimal("110.00")):
            assert check_reversible(original, amount, "payment") is original
        with pytest.raises(ValidationError) as caught:
            check_reversible(original, Decimal("110.01"), "payment")
        problem = "must be at most 110.00, which is what is left of it"
        assert caught.value.errors == {"amount": [problem]}
    with pytest.raises(ValidationError) as caught:
        check_reversible(None, None, "transaction_id")
    problem = "no payment with this transaction ID is on record"
    assert caught.value.errors == {"transaction_id": [problem]}
