"""Orders: what a shop sells, and which of an order's attempts a call gives; rules without I/O.

Of an order at most one payment is open or paid. A constraint of the database holds that, by
`claimed_order_key`; what a call does about it is decided here, and done by `sending`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from ..errors import nothing_sent
from ..messages import Message
from ..protocol.schemas import parse_amount
from .keys import check_key
from .lifecycle import OPEN_STATES, State
from .records import R, Record

PAID_STATES = frozenset({State.COMPLETED, State.PARTLY_REVERSED})
"""The states of a payment whose money, or a part of it, is with the shop."""
CLAIMING_STATES = OPEN_STATES | PAID_STATES
"""The states in which a payment claims its order: no other of the order may be sent."""
UNPAID_STATES = frozenset({State.FAILED, State.CANCELLED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """An order, as a call names it.

    Attributes:
        key: 1 to 100 characters, by which its payments are found.
        reference: what stands for it on the customer's statement, unless the call says otherwise.
        columns: what it writes of the shop's own columns.
    """

    key: str
    reference: str
    columns: Mapping[str, Any] = field(default_factory=dict)


def order_of_key(order: object) -> Order | None:
    """An order that is named by text, a whole number or a UUID; None for anything else.

    Raises:
        ValidationError: it is empty, longer than 100 characters, or has more than one line.
    """
    if isinstance(order, str):
        order = order.strip()  # MariaDB compares text without the spaces at its end
    if isinstance(order, bool) or not isinstance(order, (str, int, UUID)):
        return None
    key = check_key(order, "order")
    return None if key is None else Order(key=key, reference=key)


def refuse_order(order: object) -> NoReturn:
    """Refuse what cannot name an order.

    Raises:
        ValidationError: always.
    """
    problem = Message(
        "must be text, a whole number or a UUID, as an order's primary key is, not %(type)s",
        type=type(order).__name__,
    )
    raise nothing_sent({"order": [problem]})


def standing_attempt(attempts: Sequence[R], amount: Decimal, *, again: bool) -> R | None:
    """The attempt that a call for an order gives; None where a new one may be sent.

    Args:
        attempts: the order's payments by one operation, the oldest first.
        amount: meticais that the call names.
        again: whether an order whose money was all given back may be paid once more.

    Raises:
        ValidationError: a payment of the order is open or paid, with another amount.
    """
    attempt = attempt_that_stands(attempts)
    if attempt is None:
        return None
    state = State(attempt.state)
    if state in CLAIMING_STATES:
        _check_amount(attempt, amount)
        return attempt
    if is_contradicted(attempt) or (state is State.REVERSED and not again):
        return attempt
    return None


def attempt_that_stands(attempts: Sequence[R]) -> R | None:
    """The attempt that says where an order stands; None of an order that has none.

    It is the one that is open or paid, else one that is contradicted, else the newest.

    Args:
        attempts: the oldest first.
    """
    for attempt in attempts:
        if State(attempt.state) in CLAIMING_STATES:
            return attempt
    for attempt in attempts:
        if is_contradicted(attempt):
            return attempt
    return attempts[-1] if attempts else None


def paid_attempt(attempts: Sequence[R]) -> R | None:
    """The attempt whose money, or a part of it, is with the shop."""
    paid = (attempt for attempt in attempts if State(attempt.state) in PAID_STATES)
    return next(paid, None)


def is_contradicted(record: Record) -> bool:
    """Whether a payment that did not go through is said to have gone through, undecided so far."""
    return is_in_conflict(record) and State(record.state) in UNPAID_STATES


def may_retry(record: Record) -> bool:
    """Whether a payment did not go through, so that its order may be tried again."""
    return State(record.state) in UNPAID_STATES and not is_in_conflict(record)


def is_in_conflict(record: Record) -> bool:
    """Whether something contradicts a payment's record, and no person has decided."""
    return bool(record.conflict) and record.conflict_decided_at is None


def claim_in(record: Record, state: State) -> str | None:
    """The order that a payment claims in a state; None where it claims none."""
    return record.order_key or None if state in CLAIMING_STATES else None


def _check_amount(attempt: Record, amount: Decimal) -> None:
    kept = parse_amount(attempt.amount)
    if kept != amount:
        problem = Message(
            "must be %(amount)s: the order has a payment of that amount, which is %(state)s",
            amount=f"{attempt.amount:.2f}",
            state=str(attempt.state),
        )
        raise nothing_sent({"amount": [problem]})
