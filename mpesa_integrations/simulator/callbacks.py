"""Asynchronous mode: when results are posted to the account's response URL, and how often.

docs/protocol.md, "Answers". What is posted is in `delivery`; what decides a payment is the work of
its call, in `processing`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from decimal import Decimal

from .background import Background, Interruption
from .delivery import Delivery, post_result
from .response_url import check_response_url
from .scenarios import CallbackTiming
from .steps import Steps
from .transactions import Transaction

logger: logging.Logger = logging.getLogger("mpesa_integrations.simulator")

RETRY_DELAYS = (0.5, 2.0)
"""Seconds before each further attempt to deliver a callback that was not acknowledged."""
_WORKERS = 32
_DELIVERIES_KEPT = 1000


class Callbacks:
    """Delivers results in the background, at most so many at a time, and keeps what came of them.

    Args:
        observe: is given each attempt to deliver, and whose result it was.
        background: where what is due waits for its time.

    Attributes:
        retry_delays: seconds before each further attempt.
    """

    def __init__(
        self, observe: Callable[[Delivery, Transaction], None], background: Background
    ) -> None:
        self._observe = observe
        self._background = background
        self._interruption = Interruption(background)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="mpesa-callback")
        self._changed = threading.Condition()
        self._under_way = 0
        self._deliveries: deque[Delivery] = deque(maxlen=_DELIVERIES_KEPT)
        self._url: str | None = None
        self.retry_delays: tuple[float, ...] = RETRY_DELAYS

    @property
    def url(self) -> str | None:
        """The asynchronous response URL; None in synchronous mode."""
        return self._url

    @url.setter
    def url(self, url: str | None) -> None:
        self._url = check_response_url(url) if url and url.strip() else None

    @property
    def deliveries(self) -> list[Delivery]:
        """The latest attempts to deliver, oldest first."""
        with self._changed:
            return list(self._deliveries)

    def schedule(
        self, transaction: Transaction, settling: Steps[Transaction], timing: CallbackTiming
    ) -> Future[None]:
        """Settle a payment in the background; in asynchronous mode, deliver its result.

        Args:
            transaction: pending in the ledger.
            settling: the work that decides it, and gives it as it then stands.
            timing: how often its result is delivered.

        Returns:
            What is done when the result has been delivered or given up.
        """
        with self._changed:
            self._under_way += 1
        work = self._background.run(self._process(self._url, settling, timing))
        work.add_done_callback(self._finished)
        return work

    def drain(self, timeout: float | None = 30.0) -> None:
        """Wait until every result that is due has been delivered or given up.

        Args:
            timeout: seconds to wait for that; None means as long as it takes.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._under_way == 0, timeout):
                raise TimeoutError(f"{self._under_way} callbacks are still under way")

    def wait(self, third_party_reference: str, timeout: float = 30.0) -> Delivery:
        """Wait for the first attempt to deliver a payment's result.

        Raises:
            TimeoutError: none was made within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for delivery in self._deliveries:
                    if delivery.third_party_reference == third_party_reference:
                        return delivery
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"No callback for {third_party_reference}")

    def send_test(self) -> Delivery:
        """Post the result of a payment that never was, once, to see what the endpoint answers.

        Raises:
            RuntimeError: the account has no response URL.
        """
        now = datetime.now(timezone.utc)
        number = secrets.token_hex(6).upper()
        never_was = Transaction(
            operation="c2b",
            third_party_reference=f"TEST{number}",
            transaction_reference="TEST",
            conversation_id=f"AG_{now:%Y%m%d}_{secrets.token_hex(10)}",
            transaction_id=f"TEST{number[:7]}",
            payer="",
            payee="",
            amount=Decimal(1),
            reversed_amount=Decimal(0),
            status="Completed",
            code="INS-0",
            original_transaction_id=None,
            created_at=now,
            settled_at=now,
        )
        return self.send_again(never_was)

    def send_again(self, transaction: Transaction) -> Delivery:
        """Post a decided payment's result once more.

        Raises:
            RuntimeError: the account has no response URL.
        """
        if self._url is None:
            raise RuntimeError("The account has no asynchronous response URL")
        return self._post(self._url, transaction)

    def reset(self) -> None:
        """Return to synchronous mode and forget the deliveries; those that wait are given up.

        Raises:
            TimeoutError: what is being delivered did not end.
        """
        self._interruption.begin()
        self._url = None
        try:
            self.drain()
        finally:
            self._interruption.end()
        with self._changed:
            self._deliveries.clear()
        self.retry_delays = RETRY_DELAYS

    def begin_to_stop(self) -> None:
        """Begin to deliver nothing more: what waits for its time is given up."""
        self._interruption.begin()

    def stop(self) -> None:
        """Stop, once what is being delivered, and what decides a payment, has ended."""
        self.begin_to_stop()
        self.drain(None)
        self._pool.shutdown()

    def _finished(self, work: Future[None]) -> None:
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()
        if not work.cancelled() and work.exception() is not None:
            logger.error("callback.failed", exc_info=work.exception())

    async def _process(
        self, url: str | None, settling: Steps[Transaction], timing: CallbackTiming
    ) -> None:
        settled = await self._background.walk_through(settling, interruption=self._interruption)
        if url is not None:
            for _ in range(timing.times):
                await self._deliver(url, settled)

    async def _deliver(self, url: str, transaction: Transaction) -> None:
        running = asyncio.get_running_loop()
        delays = (0.0, *self.retry_delays)
        for attempt, delay in enumerate(delays, start=1):
            if delay and await self._interruption.pause(delay):
                return
            if self._interruption.is_on:
                return
            delivery = await running.run_in_executor(
                self._pool, self._post_in_time, url, transaction, attempt, len(delays)
            )
            if delivery is None or delivery.acknowledged:
                return

    def _post_in_time(
        self, url: str, transaction: Transaction, attempt: int, attempts: int
    ) -> Delivery | None:
        """Post, unless it was given up while this waited for a thread."""
        if self._interruption.is_on:
            return None
        return self._post(url, transaction, attempt, attempts)

    def _post(
        self, url: str, transaction: Transaction, attempt: int = 1, attempts: int = 1
    ) -> Delivery:
        delivery = post_result(url, transaction, attempt=attempt, attempts=attempts)
        logger.info(
            "callback.sent third_party_reference=%s code=%s http_status=%s problem=%s",
            delivery.third_party_reference,
            delivery.code,
            delivery.http_status,
            delivery.problem,
        )
        self._observe(delivery, transaction)
        with self._changed:
            self._deliveries.append(delivery)
            self._changed.notify_all()
        return delivery
