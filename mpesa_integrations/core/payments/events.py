"""What happens to a payment, in words that each mean one thing: by the operation and the state.

Money that came, money that was paid out and money that was given back have events of their own, so
that who ships what was paid for never hears of the others. Each is sent as the signal of its name.
"""

from __future__ import annotations

from enum import Enum

from .lifecycle import State


class Event(str, Enum):
    """What happened to a payment; each is dispatched as the signal of this name."""

    PAYMENT_QUEUED = "payment_queued"
    PAYMENT_INITIATED = "payment_initiated"
    PAYMENT_PENDING = "payment_pending"
    PAYMENT_UNKNOWN = "payment_unknown"
    PAYMENT_COMPLETED = "payment_completed"
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_CANCELLED = "payment_cancelled"
    PAYMENT_REVERSED = "payment_reversed"
    PAYOUT_QUEUED = "payout_queued"
    PAYOUT_INITIATED = "payout_initiated"
    PAYOUT_PENDING = "payout_pending"
    PAYOUT_UNKNOWN = "payout_unknown"
    PAYOUT_COMPLETED = "payout_completed"
    PAYOUT_FAILED = "payout_failed"
    PAYOUT_CANCELLED = "payout_cancelled"
    PAYOUT_REVERSED = "payout_reversed"
    REVERSAL_QUEUED = "reversal_queued"
    REVERSAL_INITIATED = "reversal_initiated"
    REVERSAL_PENDING = "reversal_pending"
    REVERSAL_UNKNOWN = "reversal_unknown"
    REVERSAL_COMPLETED = "reversal_completed"
    REVERSAL_FAILED = "reversal_failed"
    REVERSAL_CANCELLED = "reversal_cancelled"
    PAYMENT_CONFLICT = "payment_conflict"
    """Of any operation: a person must look."""
    PAYMENT_STUCK = "payment_stuck"
    """Of any operation: a person must look."""

    def __str__(self) -> str:
        return self.value


CALLBACK_REJECTED = "callback_rejected"
"""The name of the signal of a callback that is not believed."""
HANDLER_FAILED = "handler_failed"
"""The name of the signal of a durable handler that waits for a person."""
WORD_OF_OPERATION = {"c2b": "payment", "b2c": "payout", "b2b": "payout", "reversal": "reversal"}
"""With what the events of an operation's states begin; each operation that is recorded is here."""


def event_of(operation: str, state: State) -> Event:
    """The event of a payment that came into a state, which is that of no other operation's kind.

    Args:
        operation: its name, as `b2c`.
        state: where the payment now is.

    Raises:
        ValueError: nothing comes into it: what gives back is itself not given back.
    """
    happened = State.REVERSED if state is State.PARTLY_REVERSED else state
    return Event(f"{WORD_OF_OPERATION[operation]}_{happened}")


def event_in_row(name: str, operation: str) -> Event:
    """The event that a row of the outbox is about.

    An earlier version wrote those of payments for every operation.

    Args:
        name: as it stands in the row.
        operation: that of the payment.

    Raises:
        ValueError: there is no such event.
    """
    event = Event(name)
    try:
        return event_of(operation, State(name.partition("_")[2]))
    except ValueError:  # of no state: a conflict
        return event
