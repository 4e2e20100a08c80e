"""The lifecycle's table: every pair decided, final states kept, order of arrival without effect."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpesa_integrations import Kind, TransactionStatus
from mpesa_integrations.core.payments.lifecycle import (
    FINAL_STATES,
    MONEY_MOVED_STATES,
    OPEN_STATES,
    TRANSITIONS,
    Evidence,
    State,
    evidence_of_answer,
    evidence_of_status,
    transition,
)

# What the table must say, typed out: rows are states, columns kinds of evidence. A word is the
# state afterwards, "-" means that nothing changes, "!" that it is kept as a conflict.
EXPECTED = """
                 nothing  accepted  succeeded  declined  cancelled
queued           -        !         !          failed    cancelled
initiated        unknown  pending   completed  failed    cancelled
pending          -        -         completed  failed    cancelled
unknown          -        pending   completed  failed    cancelled
completed        -        -         -          !         !
partly_reversed  -        -         -          !         !
reversed         -        -         -          !         !
failed           -        -         !          -         -
cancelled        -        -         !          -         -
"""


def test_every_pair_is_decided_as_typed_out_here() -> None:
    head, *rows = [line.split() for line in EXPECTED.strip().splitlines()]
    assert {row[0] for row in rows} == {state.value for state in State} == set(TRANSITIONS)
    assert head == [evidence.value for evidence in Evidence]
    for name, *cells in rows:
        for evidence, cell in zip(Evidence, cells, strict=True):
            found = transition(State(name), evidence)
            if cell in "-!":
                assert (found.state, found.changed) == (State(name), False)
                assert found.conflict == (cell == "!")
            else:
                assert (found.state, found.changed, found.conflict) == (State(cell), True, False)


def test_the_states_are_open_or_final() -> None:
    assert set(State) == OPEN_STATES | FINAL_STATES
    assert not OPEN_STATES & FINAL_STATES
    assert MONEY_MOVED_STATES <= FINAL_STATES


@given(st.sampled_from(sorted(FINAL_STATES)), st.lists(st.sampled_from(Evidence)))
def test_no_evidence_moves_a_final_state(state: State, history: list[Evidence]) -> None:
    for evidence in history:
        assert transition(state, evidence).state is state


TRUE_FACTS = [
    {Evidence.NOTHING, Evidence.ACCEPTED, Evidence.SUCCEEDED},
    {Evidence.NOTHING, Evidence.ACCEPTED, Evidence.DECLINED},
    {Evidence.NOTHING, Evidence.ACCEPTED, Evidence.CANCELLED},
    {Evidence.NOTHING, Evidence.ACCEPTED},
    {Evidence.NOTHING},
]


@pytest.mark.parametrize("facts", TRUE_FACTS, ids=lambda facts: "+".join(sorted(facts)))
def test_the_order_in_which_true_facts_arrive_does_not_matter(facts: set[Evidence]) -> None:
    ends = set()
    for order in itertools.permutations(facts):
        state = State.INITIATED
        changes = []
        for evidence in (*order, *order):  # each arrives twice
            step = transition(state, evidence)
            assert not step.conflict
            if step.changed:
                changes.append(step.state)
            state = step.state
        ends.add(state)
        assert len(changes) == len(set(changes))  # so each signal is sent at most once
    assert len(ends) == 1


@given(st.lists(st.sampled_from(Evidence)))
def test_a_payment_enters_each_state_at_most_once(history: list[Evidence]) -> None:
    state, entered = State.INITIATED, [State.INITIATED]
    for evidence in history:
        step = transition(state, evidence)
        if step.changed:
            entered.append(step.state)
        state = step.state
    assert len(entered) == len(set(entered))
    assert len([state for state in entered if state in FINAL_STATES]) <= 1


@pytest.mark.parametrize(
    ("kind", "evidence"),
    [
        (Kind.SUCCESS, Evidence.SUCCEEDED),
        (Kind.ACCEPTED, Evidence.ACCEPTED),
        (Kind.FAILED, Evidence.DECLINED),
        (Kind.CANCELLED, Evidence.CANCELLED),
        (Kind.DUPLICATE, Evidence.NOTHING),
        (Kind.VALIDATION, Evidence.DECLINED),
        (Kind.AUTHENTICATION, Evidence.DECLINED),
        (Kind.NOT_ACCEPTED, Evidence.DECLINED),
        (Kind.UNKNOWN, Evidence.NOTHING),
    ],
)
def test_what_an_answer_of_each_kind_says(kind: Kind, evidence: Evidence) -> None:
    assert evidence_of_answer(kind) is evidence


@pytest.mark.parametrize(
    ("word", "evidence"),
    [
        (None, Evidence.NOTHING),
        ("Completed", Evidence.SUCCEEDED),
        ("Pending", Evidence.ACCEPTED),
        ("Cancelled", Evidence.CANCELLED),
        ("Expired", Evidence.DECLINED),
        ("Failed", Evidence.DECLINED),
        ("Somewhere", Evidence.NOTHING),
    ],
)
def test_what_each_status_says(word: str | None, evidence: Evidence) -> None:
    assert evidence_of_status(TransactionStatus(word) if word else None) is evidence


def test_every_kind_and_status_says_something() -> None:
    for kind in Kind:
        evidence_of_answer(kind)
    for status in TransactionStatus:
        evidence_of_status(status)
