"""Each operation's states have their own event."""

from __future__ import annotations

import pytest

from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.payments.events import (
    WORD_OF_OPERATION,
    Event,
    event_in_row,
    event_of,
)
from mpesa_integrations.core.payments.lifecycle import State

# Typed out: rows are states, columns operations.
EXPECTED = """
                 c2b                b2c               b2b               reversal
queued           payment_queued     payout_queued     payout_queued     reversal_queued
initiated        payment_initiated  payout_initiated  payout_initiated  reversal_initiated
pending          payment_pending    payout_pending    payout_pending    reversal_pending
unknown          payment_unknown    payout_unknown    payout_unknown    reversal_unknown
completed        payment_completed  payout_completed  payout_completed  reversal_completed
failed           payment_failed     payout_failed     payout_failed     reversal_failed
cancelled        payment_cancelled  payout_cancelled  payout_cancelled  reversal_cancelled
partly_reversed  payment_reversed   payout_reversed   payout_reversed   -
reversed         payment_reversed   payout_reversed   payout_reversed   -
"""
OPERATION_NAMES, *_ROWS = [line.split() for line in EXPECTED.strip().splitlines()]
CELLS = {
    (operation, State(state)): cell
    for state, *cells in _ROWS
    for operation, cell in zip(OPERATION_NAMES, cells, strict=True)
}
FOR_A_PERSON = {"payment_conflict", "payment_stuck"}


def test_every_operation_and_state_has_one_event_as_typed_out_here() -> None:
    recorded = {name for name, operation in OPERATIONS.items() if operation.moves_money}
    assert recorded == set(WORD_OF_OPERATION) == set(OPERATION_NAMES)
    assert {state for _, state in CELLS} == set(State)
    for (operation, state), cell in CELLS.items():
        if cell == "-":
            with pytest.raises(ValueError, match="reversal_reversed"):
                event_of(operation, state)
        else:
            assert event_of(operation, state).value == cell
    assert {*CELLS.values()} - {"-"} | FOR_A_PERSON == {event.value for event in Event}
    assert all(len(event.value) <= 20 for event in Event)  # the outbox's column


@pytest.mark.parametrize(
    ("name", "operation", "event"),
    [
        ("payment_completed", "c2b", "payment_completed"),
        ("payment_completed", "b2c", "payout_completed"),
        ("payment_unknown", "b2b", "payout_unknown"),
        ("payment_reversed", "b2c", "payout_reversed"),
        ("payment_completed", "reversal", "reversal_completed"),
        ("payment_reversed", "reversal", "payment_reversed"),  # which was never written
        ("payment_conflict", "reversal", "payment_conflict"),
        ("payment_stuck", "b2b", "payment_stuck"),
    ],
)
def test_a_row_of_an_earlier_version_is_read_by_the_payments_operation(
    name: str, operation: str, event: str
) -> None:
    assert event_in_row(name, operation).value == event


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("operation", OPERATION_NAMES)
def test_each_name_in_a_row_is_an_event_and_its_own_in_a_row_of_now(
    operation: str, event: Event
) -> None:
    found = event_in_row(event.value, operation)
    if event.value in {CELLS[operation, state] for state in State} | FOR_A_PERSON:
        assert found is event
    for unknown in ("nonsense_completed", "payment_of_tomorrow", ""):
        with pytest.raises(ValueError, match="Event"):
            event_in_row(unknown, operation)
