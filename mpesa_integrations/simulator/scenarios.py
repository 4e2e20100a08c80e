"""What can be made to happen at the local gateway: one table.

Which row a request meets is in `scenario_queue`; how a row is carried out is in `processing` (the
money) and `answers` (what the caller is answered).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from mpesa_integrations.core.markets.mozambique.codes import ResponseCode

DEFAULT_DELAY = 3.0
"""Seconds that a scenario with a delay takes, where the table has no other."""
FRONT_TIMEOUT = 31.0
"""Seconds after which the gateway's front gives up a call; seen in practice."""
_MSISDN_STEM = "2588400000"
_AMOUNT_STEM = 99000


class Processing(str, Enum):
    """What the platform does with the money, whatever the caller is then answered."""

    COMPLETE = "complete"
    """As asked: the money moves, if the payer has it."""
    DECLINE = "decline"
    """It is booked as declined, with the scenario's code; no money moves."""
    NOTHING = "nothing"
    """It never gets in: there is no trace of it."""


class Reply(str, Enum):
    """What the caller is answered."""

    RESULT = "result"
    """The platform's result, or in asynchronous mode that it was accepted."""
    CODE = "code"
    """The scenario's code, whatever was done with the money."""
    CODE_AND_IDS = "code_and_ids"
    """The scenario's code, and beside it the IDs of what was done."""
    ERROR = "error"
    """`output_error` in place of a code."""
    HTML = "html"
    """A page of the front, which is no M-Pesa."""
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

    @property
    def times(self) -> int:
        """How often the result is delivered."""
        return {CallbackTiming.NEVER: 0, CallbackTiming.TWICE: 2}.get(self, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: what it is queued by.
        description: one line for the documentation.
        number: its test MSISDN is `258840000` and this in three digits, its test amount 99000 and
            this in centavos; 0 where it has neither.
        code: the code declined with, or answered, where `processing` or `reply` calls for one.
        http_status: of the answer, in place of the documented one; None means that one.
        delays: whether the answer waits for `delay` seconds.
        answers_early: whether the answer is given while the customer's prompt is still live.
        scripts_only: whether only requests that look like a script's meet it, see `front`; for the
            others all goes well.
    """

    name: str
    description: str
    number: int = 0
    processing: Processing = Processing.COMPLETE
    reply: Reply = Reply.RESULT
    code: str = "INS-0"
    http_status: int | None = None
    callback: CallbackTiming = CallbackTiming.AFTER
    delays: bool = False
    delay: float = DEFAULT_DELAY
    answers_early: bool = False
    scripts_only: bool = False

    @property
    def msisdn(self) -> str | None:
        """The test number that brings it about, in the gateway's form."""
        return f"{_MSISDN_STEM}{self.number:02}" if self.number else None

    @property
    def amount(self) -> Decimal | None:
        """The test amount that brings it about, for operations without a phone number."""
        return Decimal(_AMOUNT_STEM) + Decimal(self.number).scaleb(-2) if self.number else None


def _declined(
    number: int, name: str, code: str, description: str, *, http_status: int | None = None
) -> Scenario:
    return Scenario(
        name=name,
        number=number,
        code=code,
        processing=Processing.DECLINE,
        http_status=http_status,
        description=description,
    )


def _front_times_out(
    number: int, name: str, description: str, *, processing: Processing, code: str = "INS-0"
) -> Scenario:
    return Scenario(
        name=name,
        number=number,
        code=code,
        processing=processing,
        reply=Reply.HTML,
        http_status=504,
        delays=True,
        delay=FRONT_TIMEOUT,
        answers_early=True,
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
        http_status=502,
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
        name="front_403",
        number=27,
        processing=Processing.NOTHING,
        reply=Reply.HTML,
        http_status=403,
        description="The web firewall before the gateway refuses the request: an HTML 403 page.",
    ),
    Scenario(
        name="strict_front",
        number=28,
        processing=Processing.NOTHING,
        reply=Reply.HTML,
        http_status=403,
        scripts_only=True,
        description="An HTML 403 page, but only if the User-Agent is missing or a script's.",
    ),
    _front_times_out(
        29,
        "front_504_then_paid",
        "HTML 504 after the delay, the PIN prompt still there; then the customer pays.",
        processing=Processing.COMPLETE,
    ),
    _front_times_out(
        30,
        "front_504_then_cancelled",
        "HTML 504 after the delay, the PIN prompt still there; then the customer says no.",
        processing=Processing.DECLINE,
        code="INS-5",
    ),
    Scenario(
        name="output_error",
        number=31,
        processing=Processing.NOTHING,
        reply=Reply.ERROR,
        http_status=401,
        description="HTTP 401 with output_error in place of a code, as for a bad key or session.",
    ),
    Scenario(
        name="output_error_but_paid",
        number=32,
        reply=Reply.ERROR,
        http_status=400,
        description="HTTP 400 with output_error in place of a code, yet the payment went through.",
    ),
    *(
        _declined(
            number,
            f"declined_with_{status}",
            "INS-2006",
            f"Too little money, and the answer has HTTP {status}: its code decides.",
            http_status=status,
        )
        for number, status in ((33, 200), (34, 400), (35, 408))
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
_CODE_NAME = re.compile(r"code:(INS-[0-9]{1,5})")


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
