"""Servers that go wrong at a chosen byte, over TCP or TLS; each counts what reached it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trustme

AUTHORITY = trustme.CA()
Behaviour = Callable[[socket.socket, "FaultyServer"], None]


class FaultyServer:
    """Accepts connections, and lets a behaviour do with each what it likes.

    Attributes:
        connections: how many were accepted.
        requests: the request heads and bodies that arrived, as far as they were read.
    """

    def __init__(self, behaviour: Behaviour, context: ssl.SSLContext | None) -> None:
        self.behaviour = behaviour
        self.context = context
        self.connections = 0
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        with contextlib.suppress(OSError):
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            self.behaviour(connection, self)
        with contextlib.suppress(OSError):
            connection.close()

    def read_request(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                raise ConnectionResetError
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n")
             if line.lower().startswith(b"content-length")), 0
        )  # fmt: skip
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return body

    def close(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()


def then(*answers: bytes) -> Behaviour:
    """Read a request and send an answer, as many times as there are answers, then close."""

    def behave(connection: socket.socket, server: FaultyServer) -> None:
        for one in answers:
            server.read_request(connection)
            connection.sendall(one)

    return behave


@contextmanager
def faulty_server(
    behaviour: Behaviour, *, certificate: trustme.LeafCert | None = None
) -> Iterator[FaultyServer]:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
    server = FaultyServer(behaviour, context)
    try:
        yield server
    finally:
        server.close()


def reset(connection: socket.socket) -> None:
    """Close with RST in place of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def paid_answer(number: int) -> bytes:
    """The gateway's answer to a payment that was paid; each number is another transaction."""
    said = {
        "output_ResponseCode": "INS-0",
        "output_ResponseDesc": "fine",
        "output_TransactionID": f"4XDF{number}",
        "output_ConversationID": f"AG_{number}",
    }
    return answer(json.dumps(said).encode(), status="201 Created")
