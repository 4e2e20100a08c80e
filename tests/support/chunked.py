"""A real server, and callbacks posted to it in chunks, without a length."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cheroot.wsgi import Server

KINDS = ("cheroot", "werkzeug")
SERVERS_OWN = "ignore:Exception ignored in. <function IOBase.__del__"
"""A filter of warnings: a server that is ended forgets a connection with something unsent, which
Python 3.13 minds."""


@contextmanager
def serving(app: Callable[..., Any], kind: str = "cheroot") -> Iterator[int]:
    """Serve a WSGI app; gives the port. To be used with `SERVERS_OWN`."""
    try:
        with _serving(app, kind) as port:
            yield port
    finally:
        gc.collect()  # what the server forgot goes now, and not in another test


@contextmanager
def _serving(app: Callable[..., Any], kind: str) -> Iterator[int]:
    if kind == "werkzeug":
        from werkzeug.serving import make_server

        development = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=development.serve_forever, daemon=True)
        thread.start()
        try:
            yield development.port
        finally:
            development.shutdown()
            thread.join()
        return
    server = Server(("127.0.0.1", 0), app, numthreads=2, shutdown_timeout=1)
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server.bind_addr[1]
    finally:
        server.stop()
        thread.join()


def post_in_chunks(port: int, path: str, body: bytes, *, size: int = 100) -> int:
    """Post a JSON body in chunks; gives the HTTP status of the answer."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + chunks)
        answer = connection.makefile("rb").readline()
    return int(answer.split()[1])
