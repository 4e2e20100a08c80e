"""Asynchronous mode: when results are posted to the account's response URL, and how often.

docs/protocol.md, "Answers". What is posted is in `delivery`; what decides a payment is the work of
its call, in `processing`.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from decimal import Decimal

from .delivery import Delivery, post_result
from .response_url import check_response_url
from .scenarios import CallbackTiming
from .steps import Steps, wait_through
from .transactions import Transaction

logger = logging.getLogger("mpesa_integrations.simulator")

RETRY_DELAYS = (0.5, 2.0)
"""Seconds before each further attempt to deliver a callback that was not acknowledged."""
_WORKERS = 32
_DELIVERIES_KEPT = 1000


class Callbacks:
    """Delivers results in the background, at most so many at a time, and keeps what came of them.

    Args:
        ask: shows a customer a PIN prompt and waits for the response code that comes of it.
        observe: is given each attempt to deliver.

    Attributes:
        retry_delays: seconds before each further attempt.
    """

    def __init__(
        self, ask: Callable[[Transaction], str], observe: Callable[[Delivery], None]
    ) -> None:
        self._ask = ask
        self._observe = observe
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="mpesa-callback")
        self._stopping = threading.Event()
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
        work = self._pool.submit(self._process, self._url, settling, timing)
        work.add_done_callback(self._finished)
        return work

    def drain(self, timeout: float = 30.0) -> None:
        """Wait until every result that is due has been delivered or given up.

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
        if self._url is None:
            raise RuntimeError("The account has no asynchronous response URL")
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
        return self._post(self._url, never_was)

    def reset(self) -> None:
        """Return to synchronous mode and forget the deliveries, once those under way have ended."""
        self._url = None
        self._stopping.set()  # cuts delays short
        self.drain()
        self._stopping.clear()
        with self._changed:
            self._deliveries.clear()
        self.retry_delays = RETRY_DELAYS

    def stop(self) -> None:
        """Stop: what is being delivered ends, what waits for its time is given up."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _finished(self, work: Future[None]) -> None:
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()
        if not work.cancelled() and work.exception() is not None:
            logger.error("callback.failed", exc_info=work.exception())

    def _process(
        self, url: str | None, settling: Steps[Transaction], timing: CallbackTiming
    ) -> None:
        settled = wait_through(settling, pause=self._stopping.wait, ask=self._ask)
        if url is None or timing is CallbackTiming.NEVER:
            return
        for _ in range(2 if timing is CallbackTiming.TWICE else 1):
            self._deliver(url, settled)

    def _deliver(self, url: str, transaction: Transaction) -> None:
        for delay in (0.0, *self.retry_delays):
            if delay and self._stopping.wait(delay):
                return
            if self._post(url, transaction).acknowledged:
                return

    def _post(self, url: str, transaction: Transaction) -> Delivery:
        delivery = post_result(url, transaction)
        logger.info(
            "callback.sent third_party_reference=%s code=%s http_status=%s problem=%s",
            delivery.third_party_reference,
            delivery.code,
            delivery.http_status,
            delivery.problem,
        )
        self._observe(delivery)
        with self._changed:
            self._deliveries.append(delivery)
            self._changed.notify_all()
        return delivery
