"""A gateway that does nothing: canned answers over TLS, from a process of its own.

So its time, and Python's one lock, do not hide the client's. `mpesa_integrations.simulator` checks
what it gets, which costs more than the client does.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import trustme

from mpesa_integrations import MpesaConfig

API_KEY = "aaaab09uz9f3asdcjyk7els777ihmwv8"
KEY_FILE = Path(__file__).parents[1] / "tests/data/documented_public_key.txt"
TOKEN = "a-callback-token-of-more-than-32-characters"
OPTIONS = {
    "API_KEY": API_KEY,
    "PUBLIC_KEY": KEY_FILE.read_text(),
    "SERVICE_PROVIDER_CODE": "171717",
    "CALLBACK_TOKEN": TOKEN,
}
"""An account's settings as the frameworks take them, for what asks no gateway."""
BODY = (
    b'{"output_ResponseCode": "INS-0", "output_ResponseDesc": "Request processed successfully", '
    b'"output_TransactionID": "4XDF12345", '
    b'"output_ConversationID": "AG_20180206_00005e7dccc6da08efa8", '
    b'"output_ResponseTransactionStatus": "Pending"}'
)
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY.replace(b"4XDF12345", b"%09d")
"""Each with a transaction ID of its own: a repeated one is a conflict, which costs more."""
_numbers = itertools.count(1)


@contextlib.contextmanager
def gateway(*, delay: float = 0.0) -> Iterator[MpesaConfig]:
    """Run one; gives the settings of a client of it.

    Args:
        delay: seconds before each answer.
    """
    with tempfile.TemporaryDirectory() as directory:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(f"{directory}/ca.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            f"{directory}/server.pem"
        )
        with served("benchmarks.gateway", directory, str(delay)) as port:
            yield MpesaConfig(
                api_key=API_KEY,
                public_key=KEY_FILE.read_text(),
                service_provider_code="171717",
                environment="local",
                host="127.0.0.1",
                port=port,
                verify=f"{directory}/ca.pem",
            )


@contextlib.contextmanager
def served(module: str, *arguments: str) -> Iterator[int]:
    """Run a module that serves in a process of its own; gives the port, which it prints first."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _serve(directory: str, delay: float) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/server.pem")
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            arguments = (context, connection, delay)
            threading.Thread(target=_answer, args=arguments, daemon=True).start()


def _answer(context: ssl.SSLContext, connection: socket.socket, delay: float) -> None:
    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
        while _read_request(secure):
            if delay:
                time.sleep(delay)
            secure.sendall(_ANSWER % next(_numbers))


def _read_request(secure: ssl.SSLSocket) -> bool:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = secure.recv(65536)
        if not chunk:
            return False
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += secure.recv(65536)
    return True


if __name__ == "__main__":
    _serve(sys.argv[1], float(sys.argv[2]))
