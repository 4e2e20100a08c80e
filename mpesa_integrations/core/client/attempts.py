"""The attempts of a call as they are logged and measured; the same for every client."""

from __future__ import annotations

import logging

from ..protocol.exchange import Exchange
from ..protocol.http import NotConnected
from ..protocol.outcomes import Answer, Outcome
from ..protocol.results import Result
from ..telemetry import note_duration

logger: logging.Logger = logging.getLogger("mpesa_integrations")


class LoggedExchange(Exchange):
    """An exchange that writes a line per attempt, and measures how long it took."""

    def receive(self, answer: Answer, elapsed: float) -> Outcome:
        """Take in what came of an attempt; as `Exchange.receive`."""
        outcome = super().receive(answer, elapsed)
        if outcome.result is not None:
            self._note_result(outcome.result)
        elif isinstance(answer, NotConnected):
            self._warn(
                "call.not_connected operation=%s third_party_reference=%s problem=%s", answer
            )
        else:
            note_duration(self.operation.name, "no_answer", elapsed)
            self._warn(
                "call.no_answer operation=%s third_party_reference=%s problem=%s elapsed=%.3f",
                answer,
                elapsed,
            )
        if not self.finished:
            logger.info(
                "call.retried operation=%s third_party_reference=%s",
                self.operation.name,
                self.reference,
            )
        return outcome

    def cancelled(self, elapsed: float, *, begun: bool) -> None:
        """Write down that the caller gave the call up, and what that leaves open.

        Args:
            elapsed: seconds since the first attempt began.
            begun: whether a byte of the attempt under way may have left.
        """
        unknown = begun and self.operation.moves_money
        if begun:
            note_duration(self.operation.name, "no_answer", elapsed)
        logger.log(
            logging.WARNING if unknown else logging.INFO,
            "call.cancelled operation=%s third_party_reference=%s outcome=%s elapsed=%.3f",
            self.operation.name,
            self.reference,
            "unknown" if unknown else "not_accepted" if not begun else "not_read",
            elapsed,
        )

    def _warn(self, line: str, *values: object) -> None:
        logger.warning(line, self.operation.name, self.reference, *values)

    def _note_result(self, result: Result) -> None:
        note_duration(self.operation.name, result.kind.value, result.elapsed)
        logger.info(
            "call.answered operation=%s third_party_reference=%s code=%s kind=%s http_status=%s "
            "conversation_id=%s transaction_id=%s elapsed=%.3f",
            self.operation.name,
            self.reference,
            result.code,
            result.kind,
            result.http_status,
            result.conversation_id,
            result.transaction_id,
            result.elapsed,
        )
