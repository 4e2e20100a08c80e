"""A WSGI application over HTTPS, on a port that the gateway may call."""

from __future__ import annotations

import logging
import random
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from cheroot.errors import FatalSSLAlert, NoSSLError
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from mpesa_integrations.core.markets.mozambique import CALLBACK_PORTS
from mpesa_integrations.simulator.tls import CA_FILE, prepare_certificates

__all__ = ["CA_FILE", "HOST", "PORT_TAKEN", "free_port", "serve"]

logger = logging.getLogger(__name__)
HOST = "127.0.0.1"
PORT_TAKEN = 98
"""The exit code of a server whose port is in use."""


def serve(application: Any, port: int, directory: Path) -> None:
    """Serve until SIGINT or SIGTERM, with a certificate of an authority of its own.

    Args:
        application: WSGI.
        port: to listen on.
        directory: where the authority and the certificate are kept; who calls trusts `CA_FILE`.

    Raises:
        SystemExit: with `PORT_TAKEN`.
    """
    _, certificate = prepare_certificates(directory, ())
    server = _Server((HOST, port), application, numthreads=16, shutdown_timeout=1)
    server.ssl_adapter = BuiltinSSLAdapter(str(certificate), str(certificate))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        server.prepare()
    except OSError:
        sys.exit(PORT_TAKEN)
    thread = threading.Thread(target=server.serve, name="https")
    thread.start()
    stop.wait()
    server.stop()
    thread.join()


def free_port(preferred: int | None = None) -> int:
    """Find a port that the gateway may call: the preferred one, if nobody listens on it."""
    for port in [*([preferred] if preferred else []), *random.sample(CALLBACK_PORTS, 50)]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise SystemExit(f"No port from {CALLBACK_PORTS[0]} to {CALLBACK_PORTS[-1]} is free")


class _Server(Server):
    """Logs through logging rather than to the terminal."""

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        # A browser that has gone away, or does not trust the certificate yet, is no news.
        gone = isinstance(sys.exc_info()[1], (OSError, FatalSSLAlert, NoSSLError))
        logger.log(logging.DEBUG if gone else level, "%s", msg, exc_info=traceback)
