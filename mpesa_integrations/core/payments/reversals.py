"""What may be given back of a payment, and what becomes of it then; pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from ..errors import nothing_sent
from ..messages import Message
from .lifecycle import State
from .records import R, Record


def after_reversal(original: Record, amount: Decimal) -> dict[str, Any] | None:
    """The columns of a payment once an amount of it was given back; None where that cannot be.

    Args:
        original: the payment.
        amount: meticais that a reversal gave back.
    """
    total = original.reversed_amount + amount
    if State(original.state) not in (State.COMPLETED, State.PARTLY_REVERSED):
        return None
    if total > original.amount:
        return None
    state = State.REVERSED if total == original.amount else State.PARTLY_REVERSED
    return {"state": state, "reversed_amount": total}


def refuse_too_much(original: Record, under_way: Iterable[Decimal]) -> None:
    """Refuse a reversal with which more could go back than was paid.

    Args:
        original: the payment, which no other reversal of it changes meanwhile.
        under_way: the amounts of its reversals whose outcome is open, the new one among them.

    Raises:
        ValidationError: together, they are more than is left.
    """
    if original.reversed_amount + sum(under_way) > original.amount:
        problem = Message(
            "with the reversals under way, more would go back than was paid: "
            "wait for what becomes of them"
        )
        raise nothing_sent({"amount": [problem]})


def check_reversible(original: R | None, amount: Decimal | None) -> R:
    """Refuse to give back what did not complete, or more than is left of it.

    Args:
        original: the payment as it is on record; None where there is none.
        amount: meticais to give back; None means all that is left.

    Raises:
        ValidationError: naming the argument of `reverse` that is wrong; nothing was sent.
    """
    if original is None:
        problem = Message("no payment with this transaction ID is on record")
        raise nothing_sent({"transaction_id": [problem]})
    if State(original.state) not in (State.COMPLETED, State.PARTLY_REVERSED):
        problem = Message(
            "the payment is %(state)s; only what completed goes back", state=str(original.state)
        )
        raise nothing_sent({"transaction_id": [problem]})
    left = original.amount - original.reversed_amount
    if amount is not None and amount > left:
        problem = Message(
            "must be at most %(left)s, which is what is left of it", left=f"{left:.2f}"
        )
        raise nothing_sent({"amount": [problem]})
    return original
