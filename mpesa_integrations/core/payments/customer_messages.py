"""What a payment's customer is told, by its state and its code; pure functions.

The customer is whoever the shop deals with: of a payout and of a reversal, the one who gets the
money. Nothing here names a phone number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ..markets.mozambique.codes import ResponseCode
from ..messages import Message
from ..protocol.codes import Advice
from .events import WORD_OF_OPERATION
from .lifecycle import OPEN_STATES, State
from .orders import is_contradicted, is_in_conflict
from .records import NOT_SENT_IN_TIME, WITHDRAWN, Record


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """The words for one operation, into which amounts and `%(advice)s` are filled in.

    Attributes:
        of_state: by where the payment stands.
        giving_back: the same, while more of it is being given back.
        contradicted: where it failed, and later news says that money moved.
        unsent: where it was queued and never sent, by what became of it.
        advice: what to do after a code.
        other_advice: what to do where that has no words.
    """

    of_state: Mapping[State, Message]
    contradicted: Message
    unsent: Mapping[State, Message] = field(default_factory=dict)
    giving_back: Mapping[State, Message] = field(default_factory=dict)
    advice: Mapping[Advice, Message] = field(default_factory=dict)
    other_advice: Message


_TYPE_PIN = Message("Take your phone and type your M-Pesa PIN there to pay %(amount)s.")
_PAYMENT = _Words(
    of_state={
        State.QUEUED: Message(
            "We are about to ask M-Pesa for your payment of %(amount)s. Keep your phone at hand."
        ),
        State.INITIATED: _TYPE_PIN,
        State.PENDING: _TYPE_PIN,
        State.UNKNOWN: Message(
            "We are asking M-Pesa whether your payment went through. Please wait, and do not pay "
            "again."
        ),
        State.COMPLETED: Message("We have received %(amount)s. Thank you."),
        State.PARTLY_REVERSED: Message(
            "You paid %(amount)s. We have given you %(returned)s of it back."
        ),
        State.REVERSED: Message("We have given %(amount)s back to you."),
        State.FAILED: Message("%(advice)s No money was taken."),
        State.CANCELLED: Message(
            "The payment was cancelled, and no money was taken. If that was a mistake, try again."
        ),
    },
    giving_back={
        State.COMPLETED: Message("You paid %(amount)s. We are giving %(returning)s back to you."),
        State.PARTLY_REVERSED: Message(
            "You paid %(amount)s. We have given you %(returned)s of it back, and are giving back "
            "%(returning)s more."
        ),
    },
    unsent={
        State.FAILED: Message(
            "We could not ask M-Pesa for your payment in time. No money was taken: please try "
            "again."
        ),
        State.CANCELLED: Message(
            "The payment was taken back before M-Pesa was asked for it. No money was taken."
        ),
    },
    contradicted=Message(
        "M-Pesa gave us contradicting news of your payment. We are looking into it: please do not "
        "pay again."
    ),
    advice={
        Advice.PHONE_AT_HAND: Message(
            "The payment did not go through, perhaps because the PIN was not typed in time. Keep "
            "your phone at hand and try again."
        ),
        Advice.CHECK_PIN: Message(
            "M-Pesa could not complete the payment, often because the PIN was not right. Have your "
            "PIN ready and try again."
        ),
        Advice.WAIT: Message(
            "M-Pesa is very busy or cannot be reached just now. Wait a minute and try again."
        ),
        Advice.ADD_MONEY: Message(
            "There was not enough money in your M-Pesa account. Put some in and try again, or pay "
            "from another number."
        ),
        Advice.CHECK_NUMBER: Message(
            "M-Pesa does not know this phone number. Check it and try again."
        ),
        Advice.OTHER_NUMBER: Message(
            "This M-Pesa account cannot make this payment. Pay from another number."
        ),
        Advice.OPERATORS_SHOP: Message(
            "Your M-Pesa account is not active or has a problem. Go to a Vodacom shop, or pay from "
            "another number."
        ),
        Advice.NOT_NOW: Message(
            "We cannot take M-Pesa payments just now. That is not your fault: please try again "
            "later, or pay in another way."
        ),
    },
    other_advice=Message(
        "M-Pesa did not accept the payment. Try again, or pay from another number."
    ),
)

_CONTACT_US = Message("Please contact us.")
_OF_MONEY_FOR_YOU = Message(
    "M-Pesa gave us contradicting news of the %(amount)s for you. We are looking into it."
)
_SENDING = Message("We are sending you %(amount)s.")
_NOT_SENT = Message("We could not send you %(amount)s. %(advice)s")
_PAYOUT = _Words(
    of_state={
        State.QUEUED: Message("We are about to send you %(amount)s."),
        State.INITIATED: _SENDING,
        State.PENDING: _SENDING,
        State.UNKNOWN: Message("We are asking M-Pesa whether the %(amount)s for you arrived."),
        State.COMPLETED: Message("We have sent you %(amount)s."),
        State.PARTLY_REVERSED: Message(
            "We had sent you %(amount)s. Of that, %(returned)s came back to us."
        ),
        State.REVERSED: Message("We had sent you %(amount)s. It came back to us."),
        State.FAILED: _NOT_SENT,
        State.CANCELLED: _NOT_SENT,
    },
    unsent={State.CANCELLED: Message("We have not sent you %(amount)s. %(advice)s")},
    contradicted=_OF_MONEY_FOR_YOU,
    advice={
        Advice.CHECK_NUMBER: Message(
            "M-Pesa does not know the phone number that we have. Please tell us the right one."
        ),
        Advice.OPERATORS_SHOP: Message(
            "Your M-Pesa account is not active or has a problem. Go to a Vodacom shop, then "
            "contact us."
        ),
    },
    other_advice=_CONTACT_US,
)

_GIVING_BACK = Message("We are giving %(amount)s back to you.")
_GIVEN_BACK = _PAYMENT.of_state[State.REVERSED]
_NOT_GIVEN_BACK = Message("We could not give %(amount)s back to you yet. %(advice)s")
_REVERSAL = _Words(
    of_state={
        State.QUEUED: Message("We are about to give %(amount)s back to you."),
        State.INITIATED: _GIVING_BACK,
        State.PENDING: _GIVING_BACK,
        State.UNKNOWN: Message("We are asking M-Pesa whether you have the %(amount)s back."),
        State.COMPLETED: _GIVEN_BACK,
        # No reversal is given back itself.
        State.PARTLY_REVERSED: _GIVEN_BACK,
        State.REVERSED: _GIVEN_BACK,
        State.FAILED: _NOT_GIVEN_BACK,
        State.CANCELLED: _NOT_GIVEN_BACK,
    },
    unsent={State.CANCELLED: Message("We have not given %(amount)s back to you. %(advice)s")},
    contradicted=_OF_MONEY_FOR_YOU,
    other_advice=_CONTACT_US,
)

_WORDS = {"payment": _PAYMENT, "payout": _PAYOUT, "reversal": _REVERSAL}


def customer_message(record: Record) -> Message:
    """Say where a payment stands and what its customer can do, in words for that customer.

    Args:
        record: the payment, payout or reversal.
    """
    words = _WORDS[WORD_OF_OPERATION[record.operation]]
    return Message(
        _sentences(words, record),
        amount=money(record.amount, record.currency),
        returned=money(record.reversed_amount, record.currency),
        returning=money(record.reversal_pending, record.currency),
        advice=words.advice.get(advice_for(record), words.other_advice),
    )


def advice_for(record: Record) -> Advice:
    """What the customer can do about a payment that failed.

    Args:
        record: the payment.
    """
    if record.response_code:
        # A record does not say its market, and so far there is one.
        return ResponseCode(record.response_code).advice
    # No answer had a code: either it was learnt by asking later, or nothing was ever sent.
    return Advice.PHONE_AT_HAND if record.conversation_id else Advice.WAIT


def _sentences(words: _Words, record: Record) -> Message:
    state = State(record.state)
    if state in OPEN_STATES and (is_in_conflict(record) or record.stuck_at):
        # A person looks into it: the phone has long stopped asking.
        return words.of_state[State.UNKNOWN]
    if is_contradicted(record):
        return words.contradicted
    if record.response_description in (NOT_SENT_IN_TIME, WITHDRAWN):
        return words.unsent.get(state, words.of_state[state])
    if record.reversal_pending:
        return words.giving_back.get(state, words.of_state[state])
    return words.of_state[state]


def money(amount: Decimal, currency: str) -> Message:
    """An amount with its currency, in the language that it is then given in."""
    whole, _, cents = f"{amount:.2f}".partition(".")
    return Message("%(whole)s.%(cents)s %(currency)s", whole=whole, cents=cents, currency=currency)
