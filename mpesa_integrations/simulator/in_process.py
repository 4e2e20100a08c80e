"""The local gateway without a socket or a thread: for tests in which payments run in-process."""

from __future__ import annotations

import atexit
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlsplit

from mpesa_integrations.core.markets.mozambique import LOCAL_PORT
from mpesa_integrations.core.protocol.http import HttpRequest, HttpResponse, NoAnswer
from mpesa_integrations.core.settings.client import MpesaConfig

from .callbacks import Callbacks
from .delivery import result_body
from .exchange import Request
from .gateway import steps_of_call
from .ledger import Ledger
from .scenarios import CallbackTiming
from .state import GatewayState
from .steps import Done, Ended, Steps, advance
from .transactions import Transaction

_RESPONSE_URL = "https://127.0.0.1:11000/in-process"


class InProcessGateway:
    """A gateway in this process, with a ledger of its own; payments succeed unless told otherwise.

    Attributes:
        ledger: what became of the money.
    """

    def __init__(self, gateway: GatewayState, held: _HeldCallbacks) -> None:
        self._gateway = gateway
        self._held = held
        self.ledger: Ledger = gateway.ledger

    @property
    def config(self) -> MpesaConfig:
        """Settings for a client, which must be given `transport`, too."""
        return self._gateway.config

    @property
    def transport(self) -> InProcessTransport:
        """What takes a client's requests to this gateway."""
        return InProcessTransport(self._gateway)

    def outcome(self, scenario: str, *, times: int = 1, operation: str | None = None) -> None:
        """Choose what happens to coming requests.

        Args:
            scenario: a name of the scenario table, as `insufficient_balance`, or `code:INS-…`.
            times: for how many requests.
            operation: only for this operation, as `c2b`; None for any, queries too.

        Raises:
            ValueError: there is no such scenario; names those there are.
        """
        self._gateway.scenarios.queue(scenario, operation=operation, times=times, delay=0)

    def deliver(self, post: Callable[[Mapping[str, str]], None], code: str | None = None) -> int:
        """Decide the payments that wait, and call back: once, twice or never, as was chosen.

        Args:
            post: posts a JSON body to the shop's callback URL.
            code: decides all of them; None means each as was chosen with `outcome`.

        Returns:
            How many there were.
        """
        waiting, self._held.waiting = self._held.waiting, []
        for transaction, settling, timing in waiting:
            settled = self.ledger.settle(transaction, code) if code else _at_once(settling)
            for _ in range(timing.times):
                post(result_body(settled))
        return len(waiting)


class InProcessTransport:
    """Takes requests to the gateway's operations, as `RequestsTransport` takes them to a host."""

    def __init__(self, gateway: GatewayState) -> None:
        self._gateway = gateway

    def send(self, request: HttpRequest) -> HttpResponse:
        """Have the request answered.

        Raises:
            NoAnswer: a scenario cuts the connection.
        """
        parts = urlsplit(request.url)
        arrived = Request(
            method=request.method,
            address=f"{parts.scheme}://{parts.netloc}",
            port=LOCAL_PORT,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.body or b"",
        )
        answer = _at_once(steps_of_call(self._gateway, arrived))
        if answer.cut:
            raise NoAnswer("the connection broke before an answer was read")
        return HttpResponse(answer.status, answer.body)

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def in_process_gateway(*, asynchronous: bool = False) -> Iterator[InProcessGateway]:
    """A gateway with an empty ledger; one at a time, made once in a process.

    Args:
        asynchronous: whether payments are only accepted, and their results come with `deliver`.
    """
    with _one_at_a_time:
        gateway, held = _gateway()
        gateway.reset()
        gateway.scenarios.default_delay = 0
        held.waiting = []
        gateway.response_url = _RESPONSE_URL if asynchronous else None
        yield InProcessGateway(gateway, held)


class _HeldCallbacks(Callbacks):
    """Keeps what is to be delivered until it is asked for; in synchronous mode, nothing waits."""

    waiting: list[tuple[Transaction, Steps[Transaction], CallbackTiming]]

    def schedule(
        self, transaction: Transaction, settling: Steps[Transaction], timing: CallbackTiming
    ) -> Future[None]:
        """Keep it."""
        if self.url is None:
            _at_once(settling)
        else:
            self.waiting.append((transaction, settling, timing))
        done: Future[None] = Future()
        done.set_result(None)
        return done


def _at_once(steps: Steps[Done]) -> Done:
    """Carry out work, and wait for nothing: what takes time is over, and a prompt is ignored."""
    while True:
        step = advance(steps, None)
        if isinstance(step, Ended):
            return step.done


_one_at_a_time = threading.RLock()


@functools.cache
def _gateway() -> tuple[GatewayState, _HeldCallbacks]:
    gateway = GatewayState(port=LOCAL_PORT)  # which nobody listens on
    held = _HeldCallbacks(lambda delivery, payment: None, gateway.background)
    gateway.callbacks = held
    atexit.register(_stop, gateway)
    return gateway, held


def _stop(gateway: GatewayState) -> None:
    gateway.end_waiting()
    gateway.close()
