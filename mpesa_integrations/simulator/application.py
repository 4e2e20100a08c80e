"""The gateway's faces as one ASGI application: operations, control interface, portal.

Operations are answered in the event loop, so that thousands can wait at a time. The control
interface and the portal are a Flask application in some threads; of these, what the Request Box
sends holds one while it waits.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask
from werkzeug.test import run_wsgi_app

from .control import control_blueprint
from .endpoints import PREFIX
from .exchange import Answer, Request
from .gateway import answer_call_in_background
from .portal.blueprint import install_portal
from .portal.store import Store
from .state import GatewayState

CONNECTION = "mpesa.connection"
"""The key of a request's state by which its transport is found."""
_MAX_REQUEST_BODY = 1024 * 1024
_THREADS = 24

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[str, str]]


class Application:
    """The faces of a gateway put together.

    Args:
        portal: what the portal keeps.

    Attributes:
        pages: the control interface and the portal, as a WSGI application.
    """

    def __init__(self, gateway: GatewayState, portal: Store) -> None:
        self._gateway = gateway
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mpesa-pages")
        self.pages: Flask = Flask("mpesa_integrations.simulator", static_folder=None)
        self.pages.register_blueprint(control_blueprint(gateway))
        self.pages.add_url_rule("/health", view_func=self._health)
        install_portal(self.pages, gateway, portal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        body = await _read(receive)
        if body is None:
            return
        if len(body) > _MAX_REQUEST_BODY:
            await _answer(send, 413, [("Content-Type", "text/html")], b"")
        elif scope["path"].startswith(PREFIX):
            answer = await answer_call_in_background(self._gateway, _request(scope, body))
            if answer.cut:
                await _cut(scope, receive)
            else:
                await _answer(send, answer.status, _headers(answer), answer.body)
        else:
            running = asyncio.get_running_loop()
            environ = _environ(scope, body)
            page = await running.run_in_executor(self._threads, _page, self.pages, environ)
            await _answer(send, *page)

    def _health(self) -> dict[str, bool]:
        """Answer whoever asks, once the ledger could be read; 500 where it cannot."""
        self._gateway.ledger.balance(self._gateway.service_provider_code)
        return {"ok": True}

    def close(self) -> None:
        """End the threads as they become free."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _read(receive: Receive) -> bytes | None:
    """Read a body, or enough of it to know that it is too long; None where the peer has gone."""
    body = bytearray()
    while len(body) <= _MAX_REQUEST_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return bytes(body)


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _cut(scope: Scope, receive: Receive) -> None:
    """Cut the connection without an answer, and wait until the server has seen that."""
    scope["state"][CONNECTION].abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _headers(answer: Answer) -> Headers:
    headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
    return [*headers, ("Location", answer.location)] if answer.location else headers


def _request(scope: Scope, body: bytes) -> Request:
    """A request as the operations take it; of a query's parameters the first of a name."""
    host, port = scope["server"]
    headers = _request_headers(scope)
    query: dict[str, str] = {}
    for name, value in parse_qsl(scope["query_string"].decode(), keep_blank_values=True):
        query.setdefault(name, value)
    return Request(
        method=scope["method"],
        address=f"https://{headers.get('host') or f'{host}:{port}'}",
        port=port,
        path=scope["path"],
        query=query,
        headers=headers,
        body=body,
    )


def _request_headers(scope: Scope) -> dict[str, str]:
    """The headers by their names in lower case; the values of one name together, as in HTTP."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """A request as WSGI has it."""
    host, port = scope["server"]
    headers = _request_headers(scope)
    return {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope["client"] or [""])[0],
        **{f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()},
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _page(pages: Flask, environ: dict[str, Any]) -> tuple[int, Headers, bytes]:
    """What the pages answer, whole."""
    chunks, status, headers = run_wsgi_app(pages, environ, buffered=True)
    return int(status.partition(" ")[0]), list(headers), b"".join(chunks)
