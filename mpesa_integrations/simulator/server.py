"""The running local gateway: its state, and its faces started and stopped.

What the faces share is in `state`, what they are is in `application`, how they are served is in
`listener`.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from .application import Application
from .endpoints import DOCUMENTED_PORTS
from .listener import Listener
from .portal.store import ReadyMade, Store
from .state import GatewayState


class Simulator(GatewayState):
    """A local M-Pesa gateway over HTTPS, with a ready-made account that programs use.

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
        self._listener: Listener | None = None

    @property
    def portal_url(self) -> str:
        """Where the developer portal is."""
        return f"{self.control_url}/portal/"

    @property
    def portal_account(self) -> ReadyMade:
        """The e-mail and password of the portal's ready-made account."""
        return self._portal.ready_made

    def start(self) -> Simulator:
        """Listen, and write `account.json` once connections are accepted.

        Raises:
            PortTaken: a port is in use; names it.
        """
        self.background.start()
        addresses = self.addresses
        ports = [addresses.port, *(DOCUMENTED_PORTS if addresses.documented_ports else ())]
        try:
            self._listener = Listener(
                Application(self, self._portal),
                self.background,
                host=addresses.host,
                ports=ports,
                certificate=self._certificate,
            )
        except BaseException:
            self.stop()
            raise
        addresses.port = self._listener.ports[0]
        self.publish_all()
        return self

    def stop(self) -> None:
        """Stop listening, end what is under way, and remove a temporary state directory."""
        self.end_waiting()
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
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
