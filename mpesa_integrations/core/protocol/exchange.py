"""One call from its first attempt to its result, as a state machine that neither sends nor waits.

A blocking and an asynchronous client differ in how bytes travel and how they wait, and in nothing
that is here: when a request may be sent again, how long to wait first, and what the call came to.

    exchange = Exchange(operation, settings, request=request, reference=reference)
    while not exchange.finished:
        wait(exchange.pause)                   # seconds; 0 before the first attempt
        answer = send(exchange.request)        # an HttpResponse, or the failure that was raised
        exchange.receive(answer, elapsed)      # seconds since the first attempt began
    return exchange.result()                   # or raises what the call must
"""

from __future__ import annotations

import random
from typing import cast

from .http import HttpRequest, TooLate
from .operations import Operation
from .outcomes import Answer, Outcome, interpret
from .requests import GatewaySettings
from .results import Result

_BACKOFF = 0.25  # seconds; doubled for each attempt after the second, which comes at once
_JITTER = 0.25
_LONGEST_PAUSE = 120.0


class Exchange:
    """What is to be done next for a call, and in the end what it came to.

    A request is sent once, except that one which surely was not accepted (no connection came about,
    or the gateway was too busy) is sent again up to `settings.retries` times.

    Attributes:
        operation: what is called.
        request: what is to be sent, each time the same.
        reference: the call's third-party reference.
        pause: seconds to wait before the request is sent.
        finished: whether nothing more is to be sent.
    """

    def __init__(
        self,
        operation: Operation,
        settings: GatewaySettings,
        *,
        request: HttpRequest,
        reference: str | None,
    ) -> None:
        self.operation = operation
        self.request = request
        self.reference = reference
        self.pause: float = 0.0
        self.finished: bool = False
        self._settings = settings
        self._repeats = 0
        self._answered_before = False
        self._last = Outcome()

    def receive(self, answer: Answer, elapsed: float) -> Outcome:
        """Take in what came of an attempt.

        Args:
            answer: the answer, or the transport's failure.
            elapsed: seconds since the first attempt began.

        Returns:
            What the attempt came to. The call's own outcome is `result()`, once it is finished.
        """
        outcome = interpret(
            answer,
            operation=self.operation,
            settings=self._settings,
            reference=self.reference,
            elapsed=elapsed,
            answered_before=self._answered_before,
        )
        self._answered_before = self._answered_before or outcome.result is not None
        repeat = self._repeats + 1
        spread = random.random()  # noqa: S311 - no secret: it keeps callers apart
        pause = _pause_before(repeat) + spread * _jitter(repeat)
        may_repeat = outcome.not_accepted and repeat <= self._settings.retries
        if may_repeat and self._has_time_for(pause):
            self._repeats, self.pause = repeat, pause
        else:
            self.finished = True
        if repeat == 1 or not isinstance(answer, TooLate):
            self._last = outcome  # what came to nothing says nothing of the attempt before
        return outcome

    def _has_time_for(self, pause: float) -> bool:
        time_left = self.request.time_left
        return time_left is None or pause < time_left()

    def result(self) -> Result:
        """The call's result, if the gateway said yes.

        Raises:
            MpesaError: everything else; see `core.errors`.
        """
        outcome = self._last
        if outcome.error is not None:
            raise outcome.error
        return cast("Result", outcome.result)


def longest_pauses(retries: int) -> float:
    """The seconds that a call waits between its attempts at the most."""
    return sum(_pause_before(n) + _jitter(n) for n in range(1, retries + 1))


def _pause_before(repeat: int) -> float:
    """Seconds before a request is sent again, without the jitter; the first time at once."""
    return 0.0 if repeat == 1 else min(_BACKOFF * 2 ** (repeat - 1), _LONGEST_PAUSE)


def _jitter(repeat: int) -> float:
    return 0.0 if repeat == 1 else _JITTER
