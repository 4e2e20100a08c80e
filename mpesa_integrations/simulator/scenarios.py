"""What can be made to happen at the local gateway: one table, and the choice of a row of it.

How a row is carried out is in `gateway` and `callbacks`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum

from mpesa_integrations.core.markets.mozambique.codes import ResponseCode

DEFAULT_DELAY = 3.0
"""Seconds that a scenario with a delay takes, unless it is queued with another."""
_MSISDN_STEM = "2588400000"
_AMOUNT_STEM = 99000


class Processing(str, Enum):
    """What the platform does with the money, whatever the caller then hears of it."""

    COMPLETE = "complete"
    """As asked: the money moves, if the payer has it."""
    DECLINE = "decline"
    """It is booked as declined, with the scenario's code; no money moves."""
    NOTHING = "nothing"
    """It never gets in: there is no trace of it."""


class Reply(str, Enum):
    """What the caller hears."""

    RESULT = "result"
    """The platform's result, or in asynchronous mode that it was accepted."""
    CODE = "code"
    """The scenario's code, whatever was done with the money."""
    CODE_AND_IDS = "code_and_ids"
    """The scenario's code, and beside it the IDs of what was done."""
    HTML = "html"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    HUGE = "huge"
    REDIRECT = "redirect"
    WRONG_REFERENCE = "wrong_reference"
    CUT = "cut"
    """The connection is cut."""


class CallbackTiming(str, Enum):
    """When, in asynchronous mode, the callback comes."""

    AFTER = "after"
    BEFORE_ANSWER = "before_answer"
    TWICE = "twice"
    DELAYED = "delayed"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: what it is queued by.
        description: one line for the documentation.
        number: its test MSISDN is `258840000` and this in three digits, its test amount 99000 and
            this in centavos; 0 where it has neither.
        code: the code declined with, or answered, where `processing` or `reply` calls for one.
        delays: whether the answer waits for `delay` seconds.
    """

    name: str
    description: str
    number: int = 0
    processing: Processing = Processing.COMPLETE
    reply: Reply = Reply.RESULT
    code: str = "INS-0"
    callback: CallbackTiming = CallbackTiming.AFTER
    delays: bool = False
    delay: float = DEFAULT_DELAY

    @property
    def msisdn(self) -> str | None:
        """The test number that brings it about, in the gateway's form."""
        return f"{_MSISDN_STEM}{self.number:02}" if self.number else None

    @property
    def amount(self) -> Decimal | None:
        """The test amount that brings it about, for operations without a phone number."""
        return Decimal(_AMOUNT_STEM) + Decimal(self.number).scaleb(-2) if self.number else None


def _declined(number: int, name: str, code: str, description: str) -> Scenario:
    return Scenario(
        name=name,
        number=number,
        code=code,
        processing=Processing.DECLINE,
        description=description,
    )


_ROWS = (
    Scenario(name="success", description="The payment goes through."),
    _declined(1, "insufficient_balance", "INS-2006", "The customer has too little money."),
    _declined(2, "cancelled", "INS-5", "The customer says no."),
    _declined(3, "wrong_pin", "INS-6", "The customer types a wrong PIN; the transaction fails."),
    Scenario(
        name="pin_timeout",
        number=4,
        processing=Processing.DECLINE,
        reply=Reply.CODE,
        code="INS-9",
        delays=True,
        description="The customer types no PIN; after the delay INS-9. It expires.",
    ),
    Scenario(
        name="timeout_but_paid",
        number=5,
        reply=Reply.CODE,
        code="INS-9",
        delays=True,
        description="INS-9 after the delay, yet the payment went through.",
    ),
    Scenario(
        name="overloaded",
        number=6,
        processing=Processing.NOTHING,
        reply=Reply.CODE,
        code="INS-16",
        description="Too busy: not accepted, may be sent again.",
    ),
    Scenario(
        name="internal_error",
        number=7,
        processing=Processing.NOTHING,
        reply=Reply.CODE,
        code="INS-1",
        description="HTTP 500 with INS-1; it never got in.",
    ),
    Scenario(
        name="internal_error_but_paid",
        number=8,
        reply=Reply.CODE,
        code="INS-1",
        description="HTTP 500 with INS-1, yet the payment went through.",
    ),
    Scenario(
        name="html",
        number=9,
        processing=Processing.NOTHING,
        reply=Reply.HTML,
        description="A proxy's HTTP 502 page instead of JSON; it never got in.",
    ),
    Scenario(
        name="empty_body",
        number=10,
        reply=Reply.EMPTY,
        description="HTTP 200 with an empty body, yet the payment went through.",
    ),
    Scenario(
        name="truncated_json",
        number=11,
        reply=Reply.TRUNCATED,
        description="Half of the JSON answer, yet the payment went through.",
    ),
    Scenario(
        name="unknown_code",
        number=12,
        processing=Processing.NOTHING,
        reply=Reply.CODE,
        code="INS-4711",
        description="A code that no table lists.",
    ),
    Scenario(
        name="cut_before",
        number=13,
        processing=Processing.NOTHING,
        reply=Reply.CUT,
        description="The connection is cut before processing: no money moved, nobody knows.",
    ),
    Scenario(
        name="cut_after",
        number=14,
        reply=Reply.CUT,
        description="The connection is cut after processing: the money moved, nobody knows.",
    ),
    Scenario(name="slow", number=15, delays=True, description="The right answer, after the delay."),
    Scenario(
        name="huge_answer",
        number=16,
        reply=Reply.HUGE,
        description="An answer of 2 MiB, yet the payment went through.",
    ),
    Scenario(
        name="redirect",
        number=17,
        processing=Processing.NOTHING,
        reply=Reply.REDIRECT,
        description="HTTP 307 to another address, which must not be followed.",
    ),
    Scenario(
        name="wrong_reference",
        number=18,
        reply=Reply.WRONG_REFERENCE,
        description="The answer names another third-party reference than the request.",
    ),
    Scenario(
        name="overloaded_but_paid",
        number=24,
        reply=Reply.CODE_AND_IDS,
        code="INS-16",
        description="INS-16 that names the transaction: the payment went through.",
    ),
    Scenario(
        name="failed_but_paid",
        number=25,
        reply=Reply.CODE_AND_IDS,
        code="INS-6",
        description="INS-6 that names the transaction: the payment went through.",
    ),
    Scenario(
        name="overloaded_unawares",
        number=26,
        reply=Reply.CODE,
        code="INS-16",
        description="INS-16, yet the payment went through: sent again, it is a duplicate.",
    ),
    Scenario(
        name="callback_before_answer",
        number=20,
        callback=CallbackTiming.BEFORE_ANSWER,
        description="Asynchronous: the callback arrives before the call returns.",
    ),
    Scenario(
        name="callback_twice",
        number=21,
        callback=CallbackTiming.TWICE,
        description="Asynchronous: the callback arrives twice.",
    ),
    Scenario(
        name="callback_delayed",
        number=22,
        callback=CallbackTiming.DELAYED,
        description="Asynchronous: the callback arrives after the delay.",
    ),
    Scenario(
        name="callback_never",
        number=23,
        callback=CallbackTiming.NEVER,
        description="Asynchronous: the payment goes through and no callback ever comes.",
    ),
)

SUCCESS = _ROWS[0]
SCENARIOS: dict[str, Scenario] = {row.name: row for row in _ROWS}
_BY_MSISDN = {row.msisdn: row for row in _ROWS if row.msisdn}
_BY_AMOUNT = {row.amount: row for row in _ROWS if row.amount}
_CODE_NAME = re.compile(r"code:(INS-[0-9]{1,5})")


@dataclass(slots=True)
class _Queued:
    scenario: Scenario
    wanted: Mapping[str, str]
    left: int = field(default=1)


class Scenarios:
    """The choice of a scenario: first what a test has queued, then the test numbers.

    Attributes:
        default_delay: seconds for rows with a delay, reached by test number or queued without one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[_Queued] = []
        self.default_delay = DEFAULT_DELAY

    def queue(
        self,
        name: str,
        *,
        operation: str | None = None,
        msisdn: str | None = None,
        third_party_reference: str | None = None,
        times: int = 1,
        delay: float | None = None,
    ) -> None:
        """Make the next matching requests meet a scenario.

        Args:
            name: a name of the table, or `code:INS-…` to answer that code with no money moved.
            operation: only for this operation, as `c2b`; None for any, queries too.
            msisdn: only for this number, in the gateway's form.
            third_party_reference: only for this reference.
            times: for how many requests.
            delay: seconds, for scenarios with a delay.

        Raises:
            ValueError: there is no such scenario, or a number is out of range.
        """
        scenario = find_scenario(name)
        if times < 1:
            raise ValueError(f"times must be 1 or more, not {times}")
        seconds = self.default_delay if delay is None else delay
        if not 0 <= seconds <= 600:
            raise ValueError(f"delay must be from 0 to 600 seconds, not {seconds}")
        wanted = {
            "operation": operation,
            "msisdn": msisdn,
            "third_party_reference": third_party_reference,
        }
        given = {key: value for key, value in wanted.items() if value is not None}
        with self._lock:
            self._queue.append(_Queued(replace(scenario, delay=seconds), given, times))

    def clear(self) -> None:
        """Drop everything that is queued."""
        with self._lock:
            self._queue.clear()

    def choose(
        self,
        *,
        operation: str,
        msisdn: str | None,
        amount: Decimal | None,
        third_party_reference: str | None,
    ) -> Scenario:
        """The scenario for a request, used up if it was queued."""
        request = {
            "operation": operation,
            "msisdn": msisdn,
            "third_party_reference": third_party_reference,
        }
        with self._lock:
            for queued in self._queue:
                if all(request[key] == value for key, value in queued.wanted.items()):
                    queued.left -= 1
                    if not queued.left:
                        self._queue.remove(queued)
                    return queued.scenario
        row = _BY_MSISDN.get(msisdn or "") or _BY_AMOUNT.get(amount or Decimal(0)) or SUCCESS
        return replace(row, delay=self.default_delay)


def find_scenario(name: str) -> Scenario:
    """Find a scenario by its name in the table, or make the one of `code:INS-…`.

    Raises:
        ValueError: there is no such scenario; names those there are.
    """
    code = _CODE_NAME.fullmatch(name)
    if code:
        return Scenario(
            name=name,
            description=f"Answers {code[1]}: {ResponseCode(code[1]).meaning}.",
            processing=Processing.NOTHING,
            reply=Reply.CODE,
            code=code[1],
        )
    if name not in SCENARIOS:
        raise ValueError(
            f"There is no scenario {name!r}; there are {', '.join(SCENARIOS)}, and code:INS-…"
        )
    return SCENARIOS[name]
