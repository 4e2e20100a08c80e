"""Payments and status queries whose gateway is awaited: the steps of `sending` and `checks`.

No thread is held while the gateway is waited for. A task that is cancelled leaves a record that
says what is known of its request: nothing, once a byte of it may have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic

from ..client.asynchronous import AsyncMpesaClient
from ..client.by_loop import ClientsByLoop
from ..errors import MpesaError
from ..protocol.http import Sending
from ..protocol.requests import PreparedRequest
from .async_steps import to_its_end
from .checks import Checks
from .evidence import StatusReport, report_of_error, report_of_result
from .lifecycle import Evidence
from .records import C, R
from .sending import Begun, Sender, interrupted
from .store import Store

_CANCELLED_UNSENT = StatusReport(
    evidence=Evidence.DECLINED, description="Cancelled before it was sent"
)
_CANCELLED_SENT = StatusReport(
    evidence=Evidence.NOTHING, description="Cancelled while the answer was waited for"
)


class AsyncSender(Generic[R, C]):
    """Sends one account's payments, and asks for them, from coroutines.

    Args:
        store: where the records are.
        sender: does a payment's first and last step.
        checks: likewise a check's.
        clients: send, in the event loop that is running.
    """

    def __init__(
        self,
        store: Store[R, C],
        sender: Sender[R, C],
        checks: Checks[R, C],
        clients: ClientsByLoop,
    ) -> None:
        self._store = store
        self._sender = sender
        self._checks = checks
        self.clients = clients

    async def pay(self, begin: Callable[[], Begun[R]]) -> R:
        """Do the three steps of a payment; as `Sender.finish`.

        Args:
            begin: the first step.

        Raises:
            asyncio.CancelledError: the task was cancelled; what that left open is recorded.
        """
        client = await self.clients.of_running_loop()  # what it lacks is said before anything else
        begun, cancelled = await to_its_end(self._store, lambda: self._begin(begin))
        request = begun.request
        if request is not None:
            report = _CANCELLED_UNSENT
            if cancelled is None:
                report, cancelled = await self._send(client, begun.record, request)
            begun, again = await to_its_end(
                self._store, lambda: self._write_down(begun.record, report)
            )
            cancelled = cancelled or again
        if cancelled is not None:
            raise cancelled
        return begun.record

    def _begin(self, begin: Callable[[], Begun[R]]) -> Begun[R]:
        """Do the first step, after which the thread holds no connection."""
        begun = begin()
        if begun.request is not None:
            self._store.disconnect()
        return begun

    def _write_down(self, record: R, report: StatusReport) -> Begun[R]:
        """Do the third step, and leave no connection in a thread that nobody may come back to."""
        written = self._sender.write_down(record, report, for_caller=True)
        self._store.disconnect()
        return Begun(written, None)

    async def _send(
        self, client: AsyncMpesaClient, record: R, request: PreparedRequest
    ) -> tuple[StatusReport, asyncio.CancelledError | None]:
        """The second step: send it once, and report; as `Sender.send`."""
        sending = Sending()
        try:
            return report_of_result(await client.send(request, sending=sending)), None
        except MpesaError as error:
            return report_of_error(error), None
        except asyncio.CancelledError as error:
            return _CANCELLED_SENT if sending.begun else _CANCELLED_UNSENT, error
        except Exception as error:  # noqa: BLE001 - the money may move: the caller gets the record
            return interrupted(record, error), None

    async def check(self, record: R) -> R:
        """Do the three steps of a check; as `Checks.check`."""
        known = await self._store.in_thread(lambda: self._checks.begin(record))
        if not self._checks.is_open(known):
            return known
        client = await self.clients.of_running_loop()
        reference = self._checks.query_reference(known)
        try:
            answer = await client.query_transaction_status(query_reference=reference)
        except MpesaError as error:
            problem = error
            await self._store.in_thread(lambda: self._checks.unanswered(known, problem))
            raise
        checked, cancelled = await to_its_end(
            self._store, lambda: self._checks.answered(known, answer)
        )
        if cancelled is not None:
            raise cancelled
        return checked
