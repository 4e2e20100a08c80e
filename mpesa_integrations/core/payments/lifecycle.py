"""The payment's lifecycle: one pure function from (state, evidence) to what becomes of them.

It touches no store and sends nothing. docs/design.md's invariants 3 and 4 are this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..protocol.codes import Kind
from ..protocol.results import TransactionStatus


class State(str, Enum):
    """Where a recorded payment stands."""

    QUEUED = "queued"
    """Recorded, and to be sent by a worker."""
    INITIATED = "initiated"
    """Recorded, and about to be sent."""
    PENDING = "pending"
    """Accepted by the gateway; the result is to come."""
    UNKNOWN = "unknown"
    """It may have been accepted: only the gateway can tell."""
    COMPLETED = "completed"
    """The money moved."""
    FAILED = "failed"
    """Refused, or never accepted: no money moved."""
    CANCELLED = "cancelled"
    """The customer said no: no money moved."""
    PARTLY_REVERSED = "partly_reversed"
    """A part of the money was given back."""
    REVERSED = "reversed"
    """All of the money was given back."""

    def __str__(self) -> str:
        return self.value


AWAITED_STATES = frozenset({State.INITIATED, State.PENDING, State.UNKNOWN})
"""The states in which the gateway may have the payment, and can be asked for it."""
MAY_BE_CHECKED_EARLY = frozenset({State.PENDING, State.UNKNOWN})
"""Those whose call has ended, so that asking again gets in nobody's way."""
OPEN_STATES = AWAITED_STATES | {State.QUEUED}
"""The states of a payment whose outcome is still to come."""
MONEY_MOVED_STATES = frozenset({State.COMPLETED, State.PARTLY_REVERSED, State.REVERSED})
FINAL_STATES = frozenset(State) - OPEN_STATES


class Evidence(str, Enum):
    """What is known to have become of a payment's money, whatever the source."""

    NOTHING = "nothing"
    """No answer, an unreadable one, or one that proves nothing."""
    ACCEPTED = "accepted"
    """The gateway has it and has not decided."""
    SUCCEEDED = "succeeded"
    """The money moved."""
    DECLINED = "declined"
    """No money moved, and none will."""
    CANCELLED = "cancelled"
    """The customer said no."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Transition:
    """What evidence does to a payment.

    Attributes:
        state: the state afterwards.
        changed: whether that is another one than before.
        conflict: whether the evidence contradicts the state, for a person to look at.
    """

    state: State
    changed: bool
    conflict: bool


_STAY = "stay"
_CONFLICT = "conflict"

# What becomes of each open state; "stay" where the evidence is old or says nothing.
_FROM_OPEN: dict[Evidence, State | str] = {
    Evidence.SUCCEEDED: State.COMPLETED,
    Evidence.DECLINED: State.FAILED,
    Evidence.CANCELLED: State.CANCELLED,
}
_NO_MONEY: dict[Evidence, State | str] = {
    Evidence.NOTHING: _STAY,
    Evidence.ACCEPTED: _STAY,  # the early answer, overtaken by the callback
    Evidence.SUCCEEDED: _CONFLICT,
    Evidence.DECLINED: _STAY,
    Evidence.CANCELLED: _STAY,
}
_MONEY_MOVED: dict[Evidence, State | str] = {
    Evidence.NOTHING: _STAY,
    Evidence.ACCEPTED: _STAY,
    Evidence.SUCCEEDED: _STAY,
    Evidence.DECLINED: _CONFLICT,
    Evidence.CANCELLED: _CONFLICT,
}
TRANSITIONS: dict[State, dict[Evidence, State | str]] = {
    # Nothing was sent: what says otherwise is about another request.
    State.QUEUED: {
        **_FROM_OPEN,
        Evidence.NOTHING: _STAY,
        Evidence.ACCEPTED: _CONFLICT,
        Evidence.SUCCEEDED: _CONFLICT,
    },
    State.INITIATED: {
        Evidence.NOTHING: State.UNKNOWN,
        Evidence.ACCEPTED: State.PENDING,
        **_FROM_OPEN,
    },
    State.PENDING: {Evidence.NOTHING: _STAY, Evidence.ACCEPTED: _STAY, **_FROM_OPEN},
    State.UNKNOWN: {Evidence.NOTHING: _STAY, Evidence.ACCEPTED: State.PENDING, **_FROM_OPEN},
    State.COMPLETED: _MONEY_MOVED,
    State.PARTLY_REVERSED: _MONEY_MOVED,
    State.REVERSED: _MONEY_MOVED,
    State.FAILED: _NO_MONEY,
    State.CANCELLED: _NO_MONEY,
}


def transition(state: State, evidence: Evidence) -> Transition:
    """Say what a piece of evidence does to a payment in a state. Every pair is in the table."""
    target = TRANSITIONS[state][evidence]
    if isinstance(target, State):
        return Transition(state=target, changed=True, conflict=False)
    return Transition(state=state, changed=False, conflict=target == _CONFLICT)


def evidence_of_answer(kind: Kind) -> Evidence:
    """What a call's answer, or a callback, of this kind says of the payment."""
    return _BY_KIND[kind]


def evidence_of_status(status: TransactionStatus | None) -> Evidence:
    """What a status query's answer says of the payment.

    A status that is missing, `N/A` or not documented says nothing: the gateway gives `N/A` for a
    transaction that it does not know yet, too.
    """
    return Evidence.NOTHING if status is None else _BY_STATUS.get(status, Evidence.NOTHING)


_BY_KIND: dict[Kind, Evidence] = {
    Kind.SUCCESS: Evidence.SUCCEEDED,
    Kind.ACCEPTED: Evidence.ACCEPTED,
    Kind.FAILED: Evidence.DECLINED,
    Kind.CANCELLED: Evidence.CANCELLED,
    # The first request with the reference decides, and this answer does not say how.
    Kind.DUPLICATE: Evidence.NOTHING,
    Kind.VALIDATION: Evidence.DECLINED,
    Kind.AUTHENTICATION: Evidence.DECLINED,
    Kind.NOT_ACCEPTED: Evidence.DECLINED,
    Kind.UNKNOWN: Evidence.NOTHING,
}
_BY_STATUS: dict[TransactionStatus, Evidence] = {
    TransactionStatus.COMPLETED: Evidence.SUCCEEDED,
    TransactionStatus.PENDING: Evidence.ACCEPTED,
    TransactionStatus.CANCELLED: Evidence.CANCELLED,
    TransactionStatus.EXPIRED: Evidence.DECLINED,
    TransactionStatus.FAILED: Evidence.DECLINED,
}
