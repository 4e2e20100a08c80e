"""What the journal tells of calls and callbacks, as values: one entry, which are meant, a count.

Where they are kept is in `call_log`; what is written down of a call is made in `journal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from mpesa_integrations.core.markets.mozambique.codes import ResponseCode
from mpesa_integrations.core.protocol.codes import Kind


class Ending(str, Enum):
    """How a payment ended, as the gateway's ledger has it, whatever its caller was answered.

    A call that began no payment ends as it was answered: with a value of `Kind`.
    """

    COMPLETED = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Nobody typed the PIN in time; no money moved."""
    PENDING = "pending"
    """Nobody has decided it yet."""
    REVERSED = "reversed"
    """Completed, and all of it given back since."""
    PARTLY_REVERSED = "partly_reversed"
    NEVER_IN = "never_in"
    """The answer proved nothing, and the ledger knows that no payment came of it."""


class ToldBy(str, Enum):
    """What told the caller how its payment ended."""

    ANSWER = "answer"
    CALLBACK = "callback"
    """One that the endpoint acknowledged."""
    STATUS_QUERY = "status_query"
    GIVEN_UP = "given_up"
    """Nothing did: no attempt to deliver its callback was acknowledged, and there is no other."""
    NOTHING = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call to the gateway, or one attempt to deliver a callback of it.

    Attributes:
        at: when it began, aware UTC.
        kind: `call` or `callback`.
        code: the response code, empty where the answer had none.
        outcome: what the answer proves, a value of `Kind`.
        http_status: as answered, None where the connection was cut or never made.
        seconds: how long the answer took.
        msisdn: as it was sent, empty where there is none.
        amount: meticais, None where there is none.
        problem: what is wrong with the answer to a callback.
        sent: the request as JSON: `method`, `url`, `headers` and `parameters`, secrets shortened.
        answered: the answer's body, likewise; as text where it was no JSON object.
        conversation_id: of the payment that it began, asked about or is the result of; empty where
            there is none.
        attempt: which attempt to deliver a callback this is, from 1; 0 for a call.
        attempts: how many attempts are made at the most.
        id: grows with time; 0 until it is kept.
        ended: how it ended, a value of `Ending` or `Kind`; known when it is read.
        ended_code: the code it ended with, likewise.
        ended_at: when its payment was decided, aware UTC, likewise; None where none was.
        told_by: what told the caller so, a value of `ToldBy`, likewise.
    """

    at: datetime
    kind: str
    operation: str
    code: str
    outcome: str
    http_status: int | None
    seconds: float
    msisdn: str = ""
    amount: Decimal | None = None
    transaction_reference: str = ""
    third_party_reference: str = ""
    problem: str = ""
    sent: str = ""
    answered: str = ""
    conversation_id: str = ""
    attempt: int = 0
    attempts: int = 0
    id: int = 0
    ended: str = ""
    ended_code: str = ""
    ended_at: datetime | None = None
    told_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFilter:
    """Which calls are meant; what is left empty does not narrow them.

    Attributes:
        code: that they were answered or ended with.
        ended: a value of `Ending` or `Kind`.
        search: text that is in it, or in a callback of its payment; a number in any spelling.
        since: aware UTC.
        until: aware UTC, itself not meant any more.
    """

    kind: str = ""
    operation: str = ""
    code: str = ""
    ended: str = ""
    conversation_id: str = ""
    search: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Group(NamedTuple):
    """A call with the callbacks of its payment, oldest first; or a callback that has no call."""

    call: Call
    callbacks: list[Call]


class Tally(NamedTuple):
    """What is counted of a call; the code and `ended` are those it ended with."""

    at: datetime
    operation: str
    code: str
    answered_code: str
    ended: str
    amount: Decimal | None


def outcome_of(code: str, *, accepted: bool = False) -> str:
    """What an answer proves, for the journal: a value of `Kind`."""
    if accepted:
        return Kind.ACCEPTED.value
    return (ResponseCode(code).kind if code else Kind.UNKNOWN).value
