"""The running local gateway: its state, and its faces started and stopped.

What the faces share is in `state`, what they are is in `application`, how they are served is in
`listener`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from types import TracebackType

from flask import Flask

from .application import make_application
from .endpoints import DOCUMENTED_PORTS
from .listener import THREADS, Listener
from .portal.store import ReadyMade, Store
from .state import GatewayState


class Simulator(GatewayState):
    """A local M-Pesa gateway over HTTPS, with one account.

    Args:
        state_dir: where keys, certificates and ledger are kept over restarts; None means a
            temporary directory that goes with the gateway.
        host: address to listen on.
        port: port to listen on; 0 means a free one. With `documented_ports`, the port of the
            control interface.
        documented_ports: listen on all of the gateway's documented ports as well, each serving its
            own operation, so that clients with fixed ports need no change.
        hostnames: further names for the certificate, for clients with a fixed host name.

    Attributes:
        ledger: wallets and transactions.
        scenarios: what is to happen to coming requests.
        callbacks: asynchronous mode's deliveries.
        phones: the customers' PIN prompts, where `auto_approve` is off.
        calls: the journal of calls and callbacks.
        credentials: the account's keys.
    """

    def __init__(
        self,
        state_dir: Path | str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        documented_ports: bool = False,
        hostnames: Collection[str] = (),
    ) -> None:
        super().__init__(
            state_dir,
            host=host,
            port=port,
            documented_ports=documented_ports,
            hostnames=hostnames,
        )
        self._portal = Store(self.state_dir)
        self._listeners: list[Listener] = []

    @property
    def portal_url(self) -> str:
        """Where the developer portal is."""
        return f"{self.control_url}/portal/"

    @property
    def portal_account(self) -> ReadyMade:
        """The e-mail and password of the portal's ready-made account."""
        return self._portal.ready_made

    @cached_property
    def application(self) -> Flask:
        """The gateway and its portal as a WSGI application, made once."""
        return make_application(self, self._portal)

    def start(self) -> Simulator:
        """Listen, and write `account.json` once connections are accepted.

        Raises:
            PortTaken: a port is in use; names it.
        """
        try:
            self._listen()
        except BaseException:
            self.stop()
            raise
        self._port = self._listeners[0].port
        self.account.write(self.state_dir)
        return self

    def stop(self) -> None:
        """Stop listening, end what is under way, and remove a temporary state directory."""
        self.end_waiting()
        # Together: each takes up to half a second to notice.
        stoppers = [threading.Thread(target=listener.stop) for listener in self._listeners]
        for thread in stoppers:
            thread.start()
        for thread in stoppers:
            thread.join()
        self._listeners.clear()
        self._portal.close()
        self.close()

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _listen(self) -> None:
        ports = [(self._port, THREADS)]
        if self.documented_ports:
            ports += [(port, THREADS // 4) for port in DOCUMENTED_PORTS]
        for port, threads in ports:
            self._listeners.append(
                Listener(
                    self.application,
                    self.host,
                    port,
                    certificate=self._certificate,
                    threads=threads,
                )
            )
