"""HTTPS listeners: a WSGI application served on a port, by threads.

What is served is in `application`; another way to listen takes this module's place.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Gateway_10
from cheroot.wsgi import Server as WSGIServer
from flask import Flask

from .application import CUT

logger = logging.getLogger("mpesa_integrations.simulator")

THREADS = 48
"""Calls that a listener serves at a time."""
_KEEP_ALIVE_CONNECTIONS = 512
_KEEP_ALIVE_SECONDS = 60
_MAX_REQUEST_HEADER = 64 * 1024
_CONNECTION = "mpesa.connection"


class PortTaken(OSError):  # noqa: N818 - an OSError already
    """The address is in use, or may not be listened on."""


class Listener:
    """An application served over HTTPS on one port, from now on.

    Args:
        application: what is served.
        host: the address to listen on.
        port: 0 takes a free one.
        certificate: the path of the server's key and certificate chain.
        threads: how many calls are served at a time.

    Attributes:
        port: the port listened on.

    Raises:
        PortTaken: the port is in use; names it.
    """

    def __init__(
        self, application: Flask, host: str, port: int, *, certificate: Path, threads: int = THREADS
    ) -> None:
        self._server = _Server(
            (host, port),
            _Cuttable(application),
            numthreads=threads,
            request_queue_size=256,
            timeout=_KEEP_ALIVE_SECONDS,
            shutdown_timeout=1,
            server_name=host,
        )
        self._server.gateway = _Gateway
        self._server.keep_alive_conn_limit = _KEEP_ALIVE_CONNECTIONS
        self._server.max_request_header_size = _MAX_REQUEST_HEADER
        self._server.ssl_adapter = BuiltinSSLAdapter(str(certificate), str(certificate))
        try:
            self._server.prepare()
        except OSError as error:
            raise PortTaken(
                error.errno or errno.EADDRINUSE,
                f"Cannot listen on {host}:{port}: it is in use or not allowed; "
                "choose another with port (0 takes a free one)",
            ) from error
        self.port: int = self._server.bind_addr[1]
        self._thread = threading.Thread(
            target=self._server.serve, name=f"mpesa-gateway-{self.port}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; what is being answered has a second to end."""
        self._server.stop()
        self._thread.join()


class _Connection(HTTPConnection):
    """Drops what a peer that has gone can no longer be sent, rather than at garbage collection."""

    def close(self) -> None:
        try:
            super().close()
        finally:
            with contextlib.suppress(OSError, ValueError):
                self.wfile.close()


class _Server(WSGIServer):
    """Logs through logging rather than to the terminal, and leaves no socket open."""

    ConnectionClass = _Connection

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        logger.log(level, "server.event %s", msg, exc_info=traceback)


class _Gateway(Gateway_10):
    """Lets the application reach its connection, so that a scenario can cut it."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override] # cheroot's stub says None
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ[_CONNECTION] = self.req.conn
        return environ


class _Cuttable:
    """Cuts the connection in place of an answer, where the application has asked for that."""

    def __init__(self, application: Flask) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = self._application(environ, start_response)
        if environ.get(CUT):
            with contextlib.suppress(OSError):
                environ[_CONNECTION].socket.shutdown(socket.SHUT_RDWR)
            # The server takes this for the peer's doing, and closes without a word.
            raise ConnectionResetError(errno.ECONNRESET, "cut by a scenario")
        return answer
