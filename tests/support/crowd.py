"""Many callers at once, in a process of their own: each call is under way before any is answered.

Reads what to send from standard input, writes `sent` when all calls are, then the answers' codes.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.parse import urlsplit

from .raw import PATHS, RawClient

_TIMEOUT = 120


@contextmanager
def crowd(raw: RawClient, count: int) -> Iterator[subprocess.Popen[str]]:
    """Have so many customers charged at a time, of a gateway that a raw client calls."""
    asked = {
        "url": raw.account.base_url,
        "ca_file": raw.account.ca_file,
        "headers": raw.headers(),
        "bodies": [raw.parameters("c2b", input_Amount="1") for _ in range(count)],
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.crowd"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(asked))
            process.stdin.close()
            yield process
        finally:
            process.kill()


def _main() -> None:
    asked = json.load(sys.stdin)
    address = urlsplit(asked["url"])
    context = ssl.create_default_context(cafile=asked["ca_file"])

    def begin(body: dict[str, str]) -> ssl.SSLSocket:
        content = json.dumps(body)
        headers = {**asked["headers"], "Host": address.netloc, "Content-Length": len(content)}
        lines = [f"POST {PATHS['c2b'][2]} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        plain = socket.create_connection((address.hostname, address.port), timeout=_TIMEOUT)
        call = context.wrap_socket(plain, server_hostname=address.hostname)
        call.sendall("\r\n".join([*lines, "", content]).encode())
        return call

    def end(call: ssl.SSLSocket) -> str:
        with call:
            response = HTTPResponse(call)
            response.begin()
            return str(json.loads(response.read())["output_ResponseCode"])

    with ThreadPoolExecutor(8) as pool:
        calls = list(pool.map(begin, asked["bodies"]))
        print("sent", flush=True)
        print(json.dumps(Counter(pool.map(end, calls))))


if __name__ == "__main__":
    _main()
