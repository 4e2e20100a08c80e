"""Asynchronous mode: the results posted to the account's response URL, and what it answered.

docs/protocol.md, "Answers". Deciding the payment itself is the ledger's.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mpesa_integrations.core.markets.mozambique import CALLBACK_PORTS
from mpesa_integrations.core.markets.mozambique.codes import ResponseCode

from .ledger import Transaction
from .scenarios import CallbackTiming, Scenario

logger = logging.getLogger("mpesa_integrations.simulator")

RETRY_DELAYS = (0.5, 2.0)
"""Seconds before each further attempt to deliver a callback that was not acknowledged."""
_TIMEOUT = 10.0
_WORKERS = 32
_DELIVERIES_KEPT = 1000
_MAX_ACKNOWLEDGEMENT = 64 * 1024
_ANSWER_KEPT = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One attempt to deliver a callback.

    Attributes:
        http_status: what the endpoint answered, None when it did not.
        problem: what is wrong with the answer, in words; None when it is what the gateway requires.
        at: aware UTC.
        url: where it was sent to.
        body: what was sent.
        answer: the beginning of what the endpoint answered, as text.
        seconds: how long the answer took.
    """

    third_party_reference: str
    conversation_id: str
    code: str
    http_status: int | None
    problem: str | None
    at: datetime
    url: str = field(repr=False)  # has the callback's token in it
    body: Mapping[str, str]
    answer: str
    seconds: float

    @property
    def acknowledged(self) -> bool:
        """Whether the endpoint answered as the gateway requires."""
        return self.problem is None


class ResponseURLRefused(ValueError):  # noqa: N818 - an answer, not a fault
    """The gateway would not call this URL.

    Attributes:
        text: why, with `%(name)s` for each of `values`, so that it can be translated.
    """

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text % values)
        self.text = text
        self.values = values


ANSWER_PROBLEMS = {
    "none": "The endpoint gave no answer",
    "status": "The endpoint must answer HTTP 200; it answered",
    "json": "The endpoint's answer is not JSON",
    "object": "The endpoint's answer is not a JSON object",
    "fields": "The endpoint's answer is wrong or missing in",
}
"""What can be wrong with an answer; what is no sentence of these follows after a colon."""
URL_PROBLEMS = {
    "unreadable": "The URL cannot be read; it looks like https://HOST:PORT/path",
    "scheme": "The URL must begin with https:// and name a host; the gateway calls no other",
    "port": (
        "The URL's port must be from %(first)s to %(last)s (it is %(port)s); the gateway calls "
        "no other"
    ),
    "parts": "The URL must have no user name, password or fragment",
    "elsewhere": (
        "%(host)s is not an address of this machine; the local gateway calls only loopback "
        "addresses, such as 127.0.0.1"
    ),
}


def check_response_url(url: str) -> str:
    """Check an asynchronous response URL as the gateway's account page does.

    Args:
        url: `https://HOST:PORT/path`, the port from 11000 to 19000.

    Returns:
        The URL, without spaces around it.

    Raises:
        ResponseURLRefused: the gateway would not call it; says why. This local gateway, besides,
            calls addresses of this machine only.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ResponseURLRefused(URL_PROBLEMS["unreadable"]) from None
    if parts.scheme != "https" or not parts.hostname:
        raise ResponseURLRefused(URL_PROBLEMS["scheme"])
    if port not in CALLBACK_PORTS:
        raise ResponseURLRefused(
            URL_PROBLEMS["port"], first=CALLBACK_PORTS[0], last=CALLBACK_PORTS[-1], port=port or 443
        )
    if parts.username or parts.password or parts.fragment:
        raise ResponseURLRefused(URL_PROBLEMS["parts"])
    if not _is_this_machine(parts.hostname):
        raise ResponseURLRefused(URL_PROBLEMS["elsewhere"], host=parts.hostname)
    return text


class Callbacks:
    """Delivers results in the background, at most so many at a time, and keeps what came of them.

    Attributes:
        retry_delays: seconds before each further attempt.
    """

    def __init__(
        self,
        settle_outbox: Callable[[Transaction, str], Transaction],
        observe: Callable[[Delivery], None],
    ) -> None:
        self._settle = settle_outbox
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
        self, transaction: Transaction, scenario: Scenario, decide: Callable[[], str]
    ) -> None:
        """Decide a transaction and deliver its result, as the scenario times it.

        Args:
            transaction: pending in the ledger.
            scenario: whose delay and timing count.
            decide: gives the code to settle it with; may wait for a person.
        """
        url = self._url
        if url is None:
            raise RuntimeError("The account is in synchronous mode")
        with self._changed:
            self._under_way += 1
        work = self._pool.submit(self._process, url, transaction, scenario, decide)
        work.add_done_callback(self._finished)
        if scenario.callback is CallbackTiming.BEFORE_ANSWER:
            work.result()

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
        self, url: str, transaction: Transaction, scenario: Scenario, decide: Callable[[], str]
    ) -> None:
        if scenario.callback is CallbackTiming.DELAYED or scenario.delays:
            self._stopping.wait(scenario.delay)
        settled = self._settle(transaction, decide())
        if scenario.callback is CallbackTiming.NEVER:
            return
        for _ in range(2 if scenario.callback is CallbackTiming.TWICE else 1):
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


def result_body(transaction: Transaction) -> dict[str, str]:
    """What is posted of a transaction's result; docs/protocol.md, "Answers"."""
    code = transaction.code or "INS-0"
    return {
        "input_OriginalConversationID": transaction.conversation_id,
        "input_ThirdPartyReference": transaction.third_party_reference,
        "input_TransactionID": transaction.transaction_id or "N/A",
        "input_ResultCode": "0" if code == "INS-0" else code,
        "input_ResultDesc": ResponseCode(code).meaning,
    }


def post_result(url: str, transaction: Transaction) -> Delivery:
    """Post a transaction's result to a response URL once, and check the answer.

    The endpoint's certificate is not verified: on a laptop it is self-signed. The real gateway
    would refuse such an endpoint.
    """
    body = result_body(transaction)
    at = datetime.now(timezone.utc)
    started = time.monotonic()
    status, answer, problem = _post(urlsplit(url), body)
    return Delivery(
        third_party_reference=transaction.third_party_reference,
        conversation_id=transaction.conversation_id,
        code=transaction.code or "INS-0",
        http_status=status,
        problem=problem,
        at=at,
        url=url,
        body=body,
        answer=answer.decode("utf-8", "replace")[:_ANSWER_KEPT],
        seconds=time.monotonic() - started,
    )


def _post(url: SplitResult, body: dict[str, str]) -> tuple[int | None, bytes, str | None]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(
        url.hostname or "", url.port, timeout=_TIMEOUT, context=context
    )
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request("POST", target, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read(_MAX_ACKNOWLEDGEMENT)
    except (OSError, http.client.HTTPException) as error:
        return None, b"", f"{ANSWER_PROBLEMS['none']}: {type(error).__name__}"
    finally:
        connection.close()
    return response.status, answer, check_acknowledgement(response.status, answer, body)


def check_acknowledgement(status: int, answer: bytes, sent: dict[str, str]) -> str | None:
    """Say what is wrong with an endpoint's answer to a callback; None if nothing is."""
    if status != 200:
        return f"{ANSWER_PROBLEMS['status']}: HTTP {status}"
    try:
        fields: Any = json.loads(answer)
    except ValueError:
        return ANSWER_PROBLEMS["json"]
    if not isinstance(fields, dict):
        return ANSWER_PROBLEMS["object"]
    required = {
        "output_OriginalConversationID": sent["input_OriginalConversationID"],
        "output_ThirdPartyConversationID": sent["input_ThirdPartyReference"],
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
    }
    wrong = [name for name, value in required.items() if fields.get(name) != value]
    return f"{ANSWER_PROBLEMS['fields']}: {', '.join(wrong)}" if wrong else None


def _is_this_machine(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)
