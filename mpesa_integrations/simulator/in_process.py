"""The local gateway without a socket or a thread: for tests in which payments run in-process."""

from __future__ import annotations

import atexit
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from werkzeug.test import Client

from mpesa_integrations.core.markets.mozambique import LOCAL_PORT
from mpesa_integrations.core.protocol.http import HttpRequest, HttpResponse, NoAnswer
from mpesa_integrations.core.settings.client import MpesaConfig

from .callbacks import Callbacks, result_body
from .gateway import CUT
from .ledger import Ledger, Transaction
from .scenarios import Scenario
from .server import Simulator

_RESPONSE_URL = "https://127.0.0.1:11000/in-process"


class InProcessGateway:
    """A gateway in this process, with a ledger of its own; payments succeed unless told otherwise.

    Attributes:
        ledger: what became of the money.
    """

    def __init__(self, simulator: Simulator, held: _HeldCallbacks) -> None:
        self._simulator = simulator
        self._held = held
        self.ledger: Ledger = simulator.ledger

    @property
    def config(self) -> MpesaConfig:
        """Settings for a client, which must be given `transport`, too."""
        return self._simulator.config

    @property
    def transport(self) -> InProcessTransport:
        """What takes a client's requests to this gateway."""
        return InProcessTransport(self._simulator)

    def outcome(self, scenario: str, *, times: int = 1, operation: str | None = None) -> None:
        """Choose what happens to coming requests.

        Args:
            scenario: a name of the scenario table, as `insufficient_balance`, or `code:INS-…`.
            times: for how many requests.
            operation: only for this operation, as `c2b`; None for any, queries too.

        Raises:
            ValueError: there is no such scenario; names those there are.
        """
        self._simulator.scenarios.queue(scenario, operation=operation, times=times, delay=0)

    def deliver(self, post: Callable[[Mapping[str, str]], None], code: str | None = None) -> int:
        """Decide the payments that wait, and call back.

        Args:
            post: posts a JSON body to the shop's callback URL.
            code: decides all of them; None means each as was chosen with `outcome`.

        Returns:
            How many there were.
        """
        waiting, self._held.waiting = self._held.waiting, []
        for transaction, decide in waiting:
            post(result_body(self.ledger.settle_outbox(transaction, code or decide())))
        return len(waiting)


class InProcessTransport:
    """Takes requests to the gateway's application, as `RequestsTransport` takes them to a host."""

    def __init__(self, simulator: Simulator) -> None:
        self._application = simulator.application

    def send(self, request: HttpRequest) -> HttpResponse:
        """Call the application.

        Raises:
            NoAnswer: a scenario cuts the connection.
        """
        parts = urlsplit(request.url)
        seen: dict[str, Any] = {}

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            answer = self._application(environ, start_response)
            seen.update(environ)
            return answer

        answer = Client(application).open(
            parts.path,
            method=request.method,
            query_string=parts.query,
            base_url=f"{parts.scheme}://{parts.netloc}",
            headers=dict(request.headers),
            data=request.body or b"",
        )
        if seen.get(CUT):
            raise NoAnswer("the connection broke before an answer was read")
        return HttpResponse(answer.status_code, answer.get_data())

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def in_process_gateway(*, asynchronous: bool = False) -> Iterator[InProcessGateway]:
    """A gateway with an empty ledger; one at a time, made once in a process.

    Args:
        asynchronous: whether payments are only accepted, and their results come with `deliver`.
    """
    with _one_at_a_time:
        simulator, held = _simulator()
        simulator.reset()
        simulator.scenarios.default_delay = 0
        held.waiting = []
        simulator.response_url = _RESPONSE_URL if asynchronous else None
        yield InProcessGateway(simulator, held)


class _HeldCallbacks(Callbacks):
    """Keeps what is to be delivered until it is asked for."""

    waiting: list[tuple[Transaction, Callable[[], str]]]

    def schedule(
        self, transaction: Transaction, scenario: Scenario, decide: Callable[[], str]
    ) -> None:
        """Keep it."""
        self.waiting.append((transaction, decide))


_one_at_a_time = threading.RLock()


@functools.cache
def _simulator() -> tuple[Simulator, _HeldCallbacks]:
    simulator = Simulator(port=LOCAL_PORT)  # which nobody listens on
    held = _HeldCallbacks(simulator.ledger.settle_outbox, lambda delivery: None)
    simulator.callbacks = held
    atexit.register(simulator.stop)
    return simulator, held
