"""What may be given back of a payment, how that is asked for, what the payment becomes by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Generic

from ..errors import nothing_sent
from ..messages import Message
from .idempotency import IdempotencyKey, check_key, check_repeated
from .lifecycle import State
from .records import C, R, Record, exact_match
from .sending import Sender
from .store import Store


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


class Reversals(Generic[R, C]):
    """Gives back one account's payments; a reversal is a payment of its own, with a record.

    Args:
        store: where the payments are.
        sender: records a reversal and sends it.
    """

    def __init__(self, store: Store[R, C], sender: Sender[R, C]) -> None:
        self._store = store
        self._sender = sender

    def reverse(
        self,
        transaction_id: str,
        amount: str | int | Decimal | None,
        third_party_reference: str | int | None,
        idempotency_key: IdempotencyKey | None,
        extra: Mapping[str, Any],
    ) -> R:
        """As `Payments.reverse`."""
        key = check_key(idempotency_key)
        shops = self._store.shop_columns(extra)
        arguments: dict[str, Any] = {"transaction_id": transaction_id, "amount": amount}
        request = self._sender.prepare("reversal", arguments, third_party_reference)
        asked = request.values.get("amount")
        original, known = self._look_up(request.values["transaction_id"], key)
        if known is not None:
            # Before what is left is looked at: by now this very reversal may have taken it.
            repeated = {
                "operation": "reversal",
                "original_id": original.pk if original else None,
                "amount": asked,
                "idempotency_key": key,
            }
            return check_repeated(known, repeated, shops)
        original = check_reversible(original, asked)
        amount = asked or original.amount - original.reversed_amount
        if amount != original.amount:
            # By its amount also where all the rest is meant: what is recorded is what is asked.
            arguments["amount"] = amount
            request = self._sender.prepare("reversal", arguments, request.third_party_reference)
        columns = {"original_id": original.pk, "amount": amount}
        return self._sender.start(request, columns, key, extra)

    def _look_up(self, transaction_id: str, key: str | None) -> tuple[R | None, R | None]:
        """The payment with a transaction ID, and what has the idempotency key already."""

        def look_up() -> tuple[R | None, R | None]:
            known = self._store.find_by_key(key) if key else None
            paid = self._store.find_paid(transaction_id)
            return exact_match(paid, "claimed_transaction_id", transaction_id), known

        return self._sender.before_sending(look_up)
