"""The attempts of a call as they are logged and measured; the same for every client."""

from __future__ import annotations

import logging
import time

from ..protocol.exchange import Exchange
from ..protocol.http import HttpRequest, NotConnected
from ..protocol.operations import Operation
from ..protocol.outcomes import Answer
from ..protocol.requests import GatewaySettings
from ..protocol.results import Result
from ..telemetry import note_duration

logger = logging.getLogger("mpesa_integrations")


class MeasuredExchange(Exchange):
    """An exchange that measures from its making on, and writes a line per attempt."""

    def __init__(
        self,
        operation: Operation,
        settings: GatewaySettings,
        *,
        request: HttpRequest,
        reference: str | None,
    ) -> None:
        super().__init__(operation, settings, request=request, reference=reference)
        self._started = time.monotonic()

    def take(self, answer: Answer) -> None:
        """Take in what came of an attempt: the answer, or the transport's failure."""
        elapsed = time.monotonic() - self._started
        outcome = self.receive(answer, elapsed)
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
