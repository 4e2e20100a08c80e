"""A real HTTPS endpoint for callbacks, on a port that the gateway may call."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from mpesa_integrations import acknowledgement, read_callback

Answer = tuple[str, bytes]


def acknowledge(body: bytes) -> Answer:
    return "200 OK", json.dumps(acknowledgement(read_callback(body))).encode()


class Endpoint:
    """Keeps what arrives, and answers with `answer`."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.answer: Callable[[bytes], Answer] = acknowledge
        self.url = ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        self.bodies.append(json.loads(body))
        status, answer = self.answer(body)
        start_response(
            status, [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        )
        return [answer]


@contextmanager
def listening(directory: Path) -> Iterator[Endpoint]:
    endpoint = Endpoint()
    pem = directory / "endpoint.pem"
    pem.write_bytes(trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    server = _on_a_free_port(endpoint)
    server.ssl_adapter = BuiltinSSLAdapter(str(pem), str(pem))
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.stop()
        thread.join()


def _on_a_free_port(endpoint: Endpoint) -> Server:
    for port in random.sample(range(11000, 18000), 50):
        server = Server(("127.0.0.1", port), endpoint, numthreads=8, shutdown_timeout=1)
        try:
            server.prepare()
        except OSError:
            continue
        endpoint.url = f"https://127.0.0.1:{port}/mpesa/callback"
        return server
    raise RuntimeError("no free port from 11000 to 18000")
