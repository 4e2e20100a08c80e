"""What may be given back of a payment, how that is asked for, what the payment becomes by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Generic

from ..errors import nothing_sent
from ..messages import Message
from .keys import Key, check_key
from .lifecycle import State
from .orders import PAID_STATES, claim_in
from .ownership import refuse_other_account
from .records import C, R, Record, exact_match
from .sending import Begun, Sender
from .store import Store


def after_reversal(original: Record, amount: Decimal) -> dict[str, Any] | None:
    """The columns of a payment once an amount of it was given back; None where that cannot be.

    Args:
        original: the payment.
        amount: meticais that a reversal gave back.
    """
    total = original.reversed_amount + amount
    if State(original.state) not in PAID_STATES:
        return None
    if total > original.amount:
        return None
    state = State.REVERSED if total == original.amount else State.PARTLY_REVERSED
    claim = claim_in(original, state)
    return {"state": state, "reversed_amount": total, "claimed_order_key": claim}


def after_settling(
    original: Record, amount: Decimal, under_way: Iterable[Decimal], *, completes: bool
) -> tuple[dict[str, Any], bool]:
    """The columns of a payment once it is known what became of a reversal of it.

    Args:
        original: the payment, which no other reversal of it changes meanwhile.
        amount: meticais of the reversal.
        under_way: the amounts of its reversals whose outcome is open still.
        completes: whether the reversal gave them back.

    Returns:
        The columns, and whether the amount is among what was given back.
    """
    booked = after_reversal(original, amount) if completes else None
    return {"reversal_pending": sum(under_way, Decimal(0)), **(booked or {})}, booked is not None


def refuse_too_much(
    original: Record, under_way: Iterable[Decimal], contradicted: Iterable[Decimal]
) -> None:
    """Refuse a reversal with which more could go back than was paid.

    Args:
        original: the payment, which no other reversal of it changes meanwhile.
        under_way: the amounts of its reversals whose outcome is open, the new one among them.
        contradicted: of those that did not go through, and are said to have gone through.

    Raises:
        ValidationError: together, they are more than is left.
    """
    left = original.amount - original.reversed_amount - sum(under_way)
    if left < 0:
        problem = Message(
            "with the reversals under way, more would go back than was paid: "
            "wait for what becomes of them"
        )
        raise nothing_sent({"amount": [problem]})
    if left < sum(contradicted):
        problem = Message(
            "with a reversal that failed and is said to have gone through, more would go back than "
            "was paid: a person must decide that first"
        )
        raise nothing_sent({"amount": [problem]})


def is_reversible(record: Record) -> bool:
    """Whether a payment's money, or a part of it, is there to be given back."""
    is_paid = State(record.state) in PAID_STATES and bool(record.transaction_id)
    return record.operation != "reversal" and is_paid


def check_reversible(original: R | None, amount: Decimal | None, argument: str) -> R:
    """Refuse to give back what did not complete, or more than is left of it.

    Args:
        original: the payment as it is on record; None where there is none.
        amount: meticais to give back; None means all that is left.
        argument: the argument of `reverse` that says which payment it is.

    Raises:
        ValidationError: naming the argument of `reverse` that is wrong; nothing was sent.
    """
    if original is None:
        raise nothing_sent(
            {argument: [Message("no payment with this transaction ID is on record")]}
        )
    if original.operation == "reversal":
        problem = Message("is a reversal, which cannot itself be given back")
        raise nothing_sent({argument: [problem]})
    if State(original.state) not in PAID_STATES:
        problem = Message(
            "the payment is %(state)s; only what completed goes back", state=str(original.state)
        )
        raise nothing_sent({argument: [problem]})
    if not original.transaction_id:
        problem = Message("the payment has no transaction ID, by which it could be given back")
        raise nothing_sent({argument: [problem]})
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
        alias: the account's name.
        store: where the payments are.
        sender: records a reversal and sends it.
    """

    def __init__(self, alias: str, store: Store[R, C], sender: Sender[R, C]) -> None:
        self._alias = alias
        self._store = store
        self._sender = sender

    def begin(
        self,
        payment: R | None,
        transaction_id: str | None,
        amount: str | int | Decimal | None,
        *,
        third_party_reference: str | int | None,
        idempotency_key: Key | None,
        extra: Mapping[str, Any],
        queued: bool,
    ) -> Begun[R]:
        """The first step of `Payments.reverse`: check it, and record it."""
        key = check_key(idempotency_key)
        shops = self._store.shop_columns(extra)
        argument = "transaction_id" if payment is None else "payment"
        original: R | None = None
        known: R | None = None
        if payment is not None:
            now, known = self._look_up_record(payment, transaction_id, key)
            # One that cannot go back has none: it is refused below, by its state.
            original, transaction_id = now, now.transaction_id or "NONE"
        arguments: dict[str, Any] = {"transaction_id": transaction_id, "amount": amount}
        request = self._sender.prepare("reversal", arguments, third_party_reference)
        asked = request.values.get("amount")
        if payment is None:
            original, known = self._look_up(request.values["transaction_id"], key)
        if known is not None:
            # Before what is left is looked at: by now this very reversal may have taken it.
            repeated = {
                "operation": "reversal",
                "original_id": original.pk if original else None,
                "amount": asked,
                "idempotency_key": key,
            }
            return self._sender.repeated(known, repeated, shops)
        original = check_reversible(original, asked, argument)
        amount = asked or original.amount - original.reversed_amount
        if asked is None:
            # By its amount also where all the rest is meant: what is recorded is what is asked.
            arguments["amount"] = amount
            request = self._sender.prepare("reversal", arguments, request.third_party_reference)
        columns = {"original_id": original.pk, "amount": amount}
        return self._sender.begin(request, columns, key, extra, queued=queued)

    def _look_up_record(
        self, payment: R, transaction_id: str | None, key: str | None
    ) -> tuple[R, R | None]:
        """The payment as it now is, and what has the idempotency key already."""
        if transaction_id is not None:
            problem = Message("goes without a transaction ID, which the payment has")
            raise nothing_sent({"payment": [problem]})
        refuse_other_account(payment.account, self._alias)

        def look_up() -> tuple[R, R | None]:
            return self._store.get(payment), self._store.find_by_key(key) if key else None

        return self._sender.before_sending(look_up)

    def _look_up(self, transaction_id: str, key: str | None) -> tuple[R | None, R | None]:
        """The payment with a transaction ID, and what has the idempotency key already."""

        def look_up() -> tuple[R | None, R | None]:
            known = self._store.find_by_key(key) if key else None
            paid = self._store.find_paid(transaction_id)
            return exact_match(paid, "claimed_transaction_id", transaction_id), known

        return self._sender.before_sending(look_up)
