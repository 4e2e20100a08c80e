"""A proxy that opens tunnels by CONNECT, on loopback; it can refuse, or break off."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .faulty import FaultyServer, faulty_server

Answer = Callable[[socket.socket, FaultyServer], None]


def _pass_on(one: socket.socket, other: socket.socket, server: FaultyServer) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while not server.stopping.is_set():
            for key, _ in selector.select(0.05):
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)


def tunnel(user: str = "", *, to: str | None = None) -> Answer:
    """Open tunnels, for a user with a password where one is given as `user:password`."""

    def behave(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        head = server.requests[-1]
        expected = b"Proxy-Authorization: Basic " + base64.b64encode(user.encode())
        if user and expected not in head:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        host, _, port = (to or head.split()[1].decode()).rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as other:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with contextlib.suppress(OSError):
                _pass_on(connection, other, server)

    return behave


def refuse(answer: bytes) -> Answer:
    def behave(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        connection.sendall(answer)

    return behave


@contextmanager
def connect_proxy(behaviour: Answer) -> Iterator[FaultyServer]:
    with faulty_server(behaviour) as server:
        yield server
