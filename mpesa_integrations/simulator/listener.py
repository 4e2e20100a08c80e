"""HTTPS listeners: the gateway's faces served on its ports, in its event loop.

The server is uvicorn, and what a gateway that misbehaves needs beside it: a way to cut a
connection. What is served is in `application`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .application import CONNECTION, Application
from .background import Background

logger: logging.Logger = logging.getLogger("mpesa_integrations.simulator")

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 60
_REQUEST_SECONDS = 60
"""How long a request may take to arrive whole."""
_STOP_SECONDS = 1
"""How long what is being answered has to end."""


class PortTaken(OSError):  # noqa: N818 - an OSError already
    """The address is in use, or may not be listened on."""


class Listener:
    """An application served over HTTPS on some ports, from now on.

    Args:
        application: what is served.
        background: the running event loop that it is served in.
        host: the address to listen on.
        ports: 0 takes a free one.
        certificate: the path of the server's key and certificate chain.

    Attributes:
        ports: those listened on, in the same order.

    Raises:
        PortTaken: a port is in use; names it.
    """

    def __init__(
        self,
        application: Application,
        background: Background,
        *,
        host: str,
        ports: Sequence[int],
        certificate: Path,
    ) -> None:
        config = uvicorn.Config(
            application,
            http=_Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            backlog=_BACKLOG,
            ssl_keyfile=certificate,
            ssl_certfile=certificate,
        )
        config.load()
        sockets = _bind(host, ports)
        self.ports: list[int] = [bound.getsockname()[1] for bound in sockets]
        self._application = application
        self._server = _Server(config)
        self._work: Future[None] = background.run(self._server.serve(sockets))

    def stop(self) -> None:
        """Stop listening; what is being answered has a second to end."""
        self._server.should_exit = True
        self._work.result()
        self._application.close()


class _Server(uvicorn.Server):
    """Waits for no peer when it stops, and leaves no socket open whenever it is told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.servers = []

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            # Old releases of uvicorn end without it, if they are told to stop before they serve.
            await self.shutdown(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for bound in sockets or ():
            bound.close()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_STOP_SECONDS)
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        deadline = asyncio.get_running_loop().time() + _STOP_SECONDS
        while self.server_state.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)


class _Connection(H11Protocol):
    """Lets the application reach its transport, and waits only so long for a request.

    Logs through the gateway's logger, and no line for each call: the gateway writes its own.
    """

    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.logger, self.access_log = logger, False
        self.app_state = {**self.app_state, CONNECTION: transport}
        # Else the body of an answer waits until the peer has acknowledged its head.
        with contextlib.suppress(OSError):  # macOS, where the peer has gone already
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._expect_request()
        else:
            self._stop_expecting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        super().connection_lost(exc)
        if sys.version_info < (3, 11):
            # Python 3.10 takes a transport for open, and warns of it, whose peer has gone first.
            self.transport.close()

    def _expect_request(self) -> None:
        if self._overdue is None:
            self._overdue = self.loop.call_later(_REQUEST_SECONDS, self.transport.abort)

    def _stop_expecting(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


def _bind(host: str, ports: Sequence[int]) -> list[socket.socket]:
    """Open all of the ports, or none."""
    sockets: list[socket.socket] = []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in ports:
        try:
            sockets.append(socket.create_server((host, port), family=family, backlog=_BACKLOG))
        except OSError as error:
            for opened in sockets:
                opened.close()
            raise PortTaken(
                error.errno or errno.EADDRINUSE,
                f"Cannot listen on {host}:{port}: it is in use or not allowed; "
                "choose another port (0 takes a free one)",
            ) from error
    return sockets
