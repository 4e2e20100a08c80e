"""What happened to a payment, in its order, from what is on record; pure functions.

No time is made up: what has none on record stands where it belongs, without one. Reading the rows
is the framework's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Protocol

from ..messages import Message
from ..protocol.answers import UnreadableBody
from ..protocol.callbacks import read_callback
from ..protocol.market import Market
from .customer_messages import money
from .evidence import DECIDED_BY, STATUS_QUERY
from .lifecycle import MONEY_MOVED_STATES, OPEN_STATES, State
from .records import Record, Verdict

Moment = Callable[[datetime], str]
"""Writes a row's time for people, as their language and zone have it."""
_AT_ONCE = timedelta(seconds=2)
"""A callback that is applied as it arrives is so within this time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineEntry:
    """One thing that happened to a payment, or is still to happen.

    Attributes:
        text: what.
        at: when, as the row has it; None where that is not on record.
        said: the gateway's words, or a person's.
        row: another row that this is about: a callback, or a payment.
    """

    text: Message
    at: datetime | None = None
    said: str = ""
    row: Any = None


class CallbackRow(Protocol):
    """What is read of a stored callback."""

    @property
    def received_at(self) -> datetime: ...  # noqa: D102

    @property
    def verdict(self) -> str: ...  # noqa: D102

    @property
    def body(self) -> bytes: ...  # noqa: D102


class PaymentRow(Record, Protocol):
    """What is read of a payment beside what core needs of it to move it on."""

    @property
    def updated_at(self) -> datetime: ...  # noqa: D102

    @property
    def next_check_at(self) -> datetime | None: ...  # noqa: D102


class HandlerRow(Protocol):
    """What is read of a handler that is still to be run."""

    @property
    def handler(self) -> str: ...  # noqa: D102

    @property
    def attempts(self) -> int: ...  # noqa: D102

    @property
    def problem(self) -> str: ...  # noqa: D102

    @property
    def due_at(self) -> datetime: ...  # noqa: D102

    @property
    def given_up_at(self) -> datetime | None: ...  # noqa: D102


_RESULTS = {
    State.COMPLETED: Message("the money moved"),
    State.FAILED: Message("it failed, and no money moved"),
    State.CANCELLED: Message("it was cancelled, and no money moved"),
}
_VERDICTS = {
    Verdict.RECEIVED: Message("it is stored, and not looked at yet"),
    Verdict.APPLIED: Message("it decided the payment"),
    Verdict.REPEATED: Message("it said what was known"),
    Verdict.EARLY: Message("it arrived before the answer to the request, and waits for that"),
    Verdict.UNCONFIRMED: Message(
        "it proved nothing, or the gateway, when asked, did not confirm it"
    ),
    Verdict.CONFLICT: Message("it contradicted what was known; a person has to decide"),
    Verdict.UNMATCHED: Message("no payment has its third-party reference"),
    Verdict.MISMATCHED: Message("the payment with its reference has another conversation"),
    Verdict.UNREADABLE: Message("it could not be read"),
    Verdict.FAILED: Message("it could not be applied, however often that was tried"),
}


def timeline(
    record: PaymentRow,
    *,
    moment: Moment,
    market: Market,
    original: PaymentRow | None = None,
    callbacks: Sequence[CallbackRow] = (),
    reversals: Sequence[PaymentRow] = (),
    handlers: Sequence[HandlerRow] = (),
    more: Iterable[TimelineEntry] = (),
) -> list[TimelineEntry]:
    """Tell what happened to a payment, the first thing first.

    Args:
        record: the payment.
        moment: writes a time within a text.
        market: whose callbacks those are.
        original: the payment that it gives back.
        callbacks: those that were for it.
        reversals: the payments that give it back.
        handlers: those of it that are still to be run.
        more: what else the framework has on record.
    """
    entries = [
        *_beginning(record, original),
        *(_of_callback(record, found, moment, market) for found in callbacks),
        *_asking(record),
        *_result(record, callbacks),
        *_trouble(record),
        *(_of_reversal(found) for found in reversals),
        *(_of_handler(found) for found in handlers),
        *more,
    ]
    return _in_order(entries)


def done_by_person(who: str, at: datetime, said: str) -> TimelineEntry:
    """What somebody did of a payment in a framework's administration, as its log has it."""
    text = Message("In the administration, by %(who)s", who=who)
    return TimelineEntry(text=text, at=at, said=said)


def callback_story(
    verdict: str, received_at: datetime, record: PaymentRow | None, moment: Moment
) -> Message:
    """Say what became of a callback, and in which order it came with what else was found out.

    Args:
        verdict: a `Verdict`'s value.
        received_at: when it came.
        record: its payment, as it now is; None where it has none.
        moment: writes a time within the text.
    """
    found = Verdict(verdict)
    if record is None or State(record.state) in OPEN_STATES or record.conflict:
        return _VERDICTS[found]
    asked = record.response_description.startswith(STATUS_QUERY)
    known_at = record.updated_at
    is_first_result = State(record.state) in _RESULTS
    if found is Verdict.REPEATED and asked and is_first_result:
        if received_at < known_at:
            return Message(
                "it arrived early, and agreed with the status query of %(at)s", at=moment(known_at)
            )
        return Message(
            "it agreed with the status query of %(at)s, which was before it", at=moment(known_at)
        )
    if found is Verdict.APPLIED and is_first_result and known_at - received_at > _AT_ONCE:
        return Message("it arrived early, and decided the payment by %(at)s", at=moment(known_at))
    return _VERDICTS[found]


def _beginning(record: PaymentRow, original: PaymentRow | None) -> Iterator[TimelineEntry]:
    if original is not None:
        yield TimelineEntry(text=Message("It gives this payment's money back"), row=original)
    yield TimelineEntry(text=Message("Recorded, before anything was sent"), at=record.created_at)
    state = State(record.state)
    if record.conversation_id:
        yield TimelineEntry(
            text=Message("Sent; the gateway answered, in the conversation %(id)s",
                         id=record.conversation_id),
        )  # fmt: skip
    elif state is State.PENDING:
        yield TimelineEntry(text=Message("Sent, and accepted by the gateway"))
    elif state is State.UNKNOWN:
        yield TimelineEntry(
            text=Message("Sent, and no clear answer came: it may have arrived"),
            said=record.response_description,
        )


def _of_callback(
    record: PaymentRow, row: CallbackRow, moment: Moment, market: Market
) -> TimelineEntry:
    story = callback_story(row.verdict, row.received_at, record, moment)
    try:
        callback = read_callback(bytes(row.body), market)
    except UnreadableBody:
        said = ""
    else:
        said = f"{callback.code.value}: {callback.description}"
    return TimelineEntry(
        text=Message("Callback: %(story)s", story=story), at=row.received_at, said=said, row=row
    )


def _asking(record: PaymentRow) -> Iterator[TimelineEntry]:
    if record.checks:
        yield TimelineEntry(
            text=Message("How often the gateway was asked: %(count)d", count=record.checks)
        )


def _result(record: PaymentRow, callbacks: Sequence[CallbackRow]) -> Iterator[TimelineEntry]:
    state = State(record.state)
    if state is State.QUEUED:
        text = Message("A worker sends it before this time, or nobody does")
        yield TimelineEntry(text=text, at=record.send_before)
        return
    if state in OPEN_STATES:
        if record.next_check_at is not None:
            yield TimelineEntry(text=Message("The gateway is asked next"), at=record.next_check_at)
        return
    moved = state in MONEY_MOVED_STATES
    result = _RESULTS[State.COMPLETED if moved else state]
    said = ": ".join(filter(None, (record.response_code, record.response_description)))
    # What was learnt of it later, as its transaction, was written later.
    learnt_later = any(row.verdict == Verdict.REPEATED for row in callbacks)
    is_exact = state in _RESULTS and not record.conflict and not learnt_later
    # Written a moment before the callback that it is by was, in the same transaction.
    by_callback = (
        row.received_at
        for row in callbacks
        if row.verdict == Verdict.APPLIED
        and timedelta(0) <= row.received_at - record.updated_at < _AT_ONCE
    )
    at = max((record.updated_at, *by_callback)) if is_exact else None
    if record.response_description.startswith(DECIDED_BY):
        text = Message("A person decided: %(result)s", result=result)
        at = at or record.conflict_decided_at
    elif record.response_description.startswith(STATUS_QUERY):
        text = Message("Asked, the gateway said: %(result)s", result=result)
    else:
        text = Message("Result: %(result)s", result=result)
    if record.transaction_id and moved:
        said = f"{said} ({record.transaction_id})"
    yield TimelineEntry(text=text, at=at, said=said)


def _trouble(record: PaymentRow) -> Iterator[TimelineEntry]:
    if record.stuck_at is not None:
        yield TimelineEntry(
            text=Message("Open for too long: given to a person"), at=record.stuck_at
        )
    if record.conflict:
        yield TimelineEntry(text=Message("Contradicting news"), said=record.conflict)


def _of_reversal(reversal: PaymentRow) -> TimelineEntry:
    state = State(reversal.state)
    amount = money(reversal.amount, reversal.currency)
    if state in OPEN_STATES:
        text = Message("%(amount)s are being given back", amount=amount)
    elif state in MONEY_MOVED_STATES:
        text = Message("%(amount)s were given back", amount=amount)
    else:
        text = Message("%(amount)s could not be given back", amount=amount)
    return TimelineEntry(
        text=text, at=reversal.created_at, said=reversal.response_description, row=reversal
    )


def _of_handler(row: HandlerRow) -> TimelineEntry:
    values: dict[str, Any] = {"handler": row.handler, "count": row.attempts}
    if row.given_up_at is not None:
        text = Message("The handler %(handler)s was given up after %(count)d tries", **values)
        return TimelineEntry(text=text, at=row.given_up_at, said=row.problem)
    text = Message("The handler %(handler)s is to be run; tries so far: %(count)d", **values)
    return TimelineEntry(text=text, at=row.due_at, said=row.problem)


def _in_order(entries: Sequence[TimelineEntry]) -> list[TimelineEntry]:
    """By time; what has none stays behind what it was listed after."""
    placed: list[tuple[float, TimelineEntry]] = []
    last = 0.0
    for entry in entries:
        if entry.at is not None:
            last = entry.at.timestamp()
        placed.append((last, entry))
    placed.sort(key=itemgetter(0))  # of those with the same time, the first stays so
    return [entry for _at, entry in placed]
