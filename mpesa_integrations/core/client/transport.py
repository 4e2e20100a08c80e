"""The transport over `requests` and urllib3: pooled connections, and which bytes may have left.

Knows HTTP and no M-Pesa. What it is given and gives back is in `protocol.http`; another HTTP
library can stand in by following `Transport` there.
"""

from __future__ import annotations

import logging
import os
import re
import time
from contextvars import ContextVar
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ..masking import mask_msisdns_in
from ..protocol.http import HttpRequest, HttpResponse, NoAnswer, NotConnected
from .problems import not_begun, not_connected

MAX_ANSWER = 1024 * 1024
"""Bytes: an answer has some 300. A longer one is not read to its end, and counts as none."""
IDLE_LIMIT = 30.0
"""Seconds a connection may lie idle: older ones are likely to be closed under a request's feet."""
POOL_SIZE = 64
_CHUNK = 64 * 1024


class _Sending:
    """One request, and what it has come to: whether a byte of it may have left."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.begun = False

    def begin(self) -> None:
        if not self.begun:
            self.request.refuse_if_late()
        self.begun = True


# Each thread and each greenlet has its own. What is sent while another waits, as from a signal's
# handler, has one of its own, too: it must not make the other look as if nothing had left.
_SENDING: ContextVar[_Sending] = ContextVar("mpesa_sending")


class _ProvesNotConnected:
    """Makes a failure to connect a `NotConnected`, and notes when the request begins to leave.

    urllib3 does not know the class, so it comes out unwrapped, however a version of it sorts its
    own errors; and what fails after `connect` can never be mistaken for it. Connecting is done when
    a proxy has opened its tunnel and TLS is agreed on: what is sent before is no byte of a request.
    """

    last_used = 0.0
    connecting = False

    def connect(self) -> None:
        self.connecting = True
        # A failure closes the connection, which then knows it no more; None without a proxy.
        behind = getattr(self, "_tunnel_host", None)
        try:
            super().connect()  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - it is raised on, as what it proves
            # The frames of a tunnel hold the proxy's password, for a report to show.
            cause = error.with_traceback(None)
            raise _not_connected(error, self, behind) from cause
        finally:
            self.connecting = False
        self.last_used = time.monotonic()

    def send(self, data: Any) -> None:
        if not self.connecting:
            if self.sock is None:  # type: ignore[attr-defined]
                self.connect()
            _SENDING.get().begin()
        super().send(data)  # type: ignore[misc]

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        if response.status < 200:
            # The real answer comes after this one, and the next request would be given it.
            raise NoAnswer(f"an interim answer came (HTTP {response.status})")
        self.last_used = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        # The pool opens anew what says False here, before it sends anything.
        fresh = time.monotonic() - self.last_used < IDLE_LIMIT
        return fresh and bool(super().is_connected)  # type: ignore[misc]


class _GatewayHTTPConnection(_ProvesNotConnected, HTTPConnection):
    pass


class _GatewayHTTPSConnection(_ProvesNotConnected, HTTPSConnection):
    pass


class _GatewayHTTPPool(HTTPConnectionPool):
    ConnectionCls = _GatewayHTTPConnection


class _GatewayHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GatewayHTTPSConnection


_POOLS = {"http": _GatewayHTTPPool, "https": _GatewayHTTPSPool}


class _GatewayAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _MaskNumbers(logging.Filter):
    """Masks phone numbers in urllib3's debug log, which has the query strings of our queries."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                mask_msisdns_in(value) if isinstance(value, str) else value for value in record.args
            )
        return True


_MASK_NUMBERS = _MaskNumbers()


def mask_numbers_in_urllib3s_log() -> None:
    """Mask phone numbers in urllib3's own log, which has query strings; once is enough."""
    for name in ("urllib3.connectionpool", "urllib3.connection"):
        logging.getLogger(name).addFilter(_MASK_NUMBERS)


class RequestsTransport:
    """The transport over `requests`: one session, its connections kept alive and shared."""

    def __init__(self) -> None:
        mask_numbers_in_urllib3s_log()
        self._session = _new_session()
        self._process = os.getpid()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request once; see `Transport.send`.

        Raises:
            NotConnected: no connection came about.
            NoAnswer: anything else went wrong after that.
        """
        # The adapter alone: a session's own `send` would follow redirects, keep cookies and look
        # into the environment, none of which a payment wants.
        sending = _Sending(request)
        outer = _SENDING.set(sending)
        try:
            adapter = self._own_session().get_adapter(request.url)
            response = adapter.send(
                _prepared(request),
                stream=True,
                timeout=request.timeout,
                verify=request.verify,
                proxies=_proxies(request),
            )
            try:
                body = _read(response.raw, deadline=time.monotonic() + request.timeout[1])
            finally:
                response.close()
        except (NotConnected, NoAnswer) as error:
            # The frames below have the bearer among their variables, for a report to show.
            raise error.with_traceback(None)  # noqa: B904 - it is the same error
        except Exception as error:  # noqa: BLE001 - what tells is whether a byte may have left
            # So have these, and the text can have the URL, with a phone number in it.
            if not sending.begun:
                wrong_proxy = isinstance(error, requests.exceptions.InvalidProxyURL)
                raise not_begun(error, request, wrong_proxy=wrong_proxy) from None
            raise NoAnswer(_answer_problem(error)) from None
        finally:
            _SENDING.reset(outer)
        return HttpResponse(status=response.status_code, body=body)

    def close(self) -> None:
        """Close the pooled connections."""
        self._own_session().close()

    def _own_session(self) -> requests.Session:
        """The session; a new one after a fork: two processes on one socket mix up their answers."""
        if self._process != os.getpid():
            self._session, self._process = _new_session(), os.getpid()
        return self._session


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(
            scheme,
            _GatewayAdapter(pool_connections=POOL_SIZE, pool_maxsize=POOL_SIZE, max_retries=0),
        )
    return session


def _prepared(request: HttpRequest) -> requests.PreparedRequest:
    # Filled in by hand: url, headers and body are in their final form, so preparing them again
    # would only cost time.
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = CaseInsensitiveDict(request.headers)
    prepared.body = request.body
    if request.body is not None:
        prepared.headers["Content-Length"] = str(len(request.body))
    return prepared


def _read(raw: urllib3.HTTPResponse, *, deadline: float) -> bytes:
    """Read a body up to its limit and deadline: a socket's timeout alone lets it drip for ever."""
    body = bytearray()
    while len(body) <= MAX_ANSWER:
        chunk = raw.read1(_CHUNK, decode_content=True)
        if not chunk:
            return bytes(body)
        body += chunk
        if time.monotonic() > deadline:
            raise NoAnswer("the answer took too long to arrive whole")
    # Raised rather than cut short: a cut answer padded with spaces would still read as one.
    raise NoAnswer(f"the answer has more than {MAX_ANSWER} bytes")


def _proxies(request: HttpRequest) -> dict[str, str]:
    return {} if request.proxy is None else {"http": request.proxy, "https": request.proxy}


def _not_connected(error: BaseException, connection: Any, behind: str | None) -> NotConnected:
    refusal = _TUNNEL_REFUSED.search(str(error.__cause__ or error))
    return not_connected(
        error.__cause__ or error,
        where=f"{connection.host}:{connection.port}",
        behind=behind,
        refusal=int(refusal[1]) if refusal else None,
    )


_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: ([0-9]{3})")


def _answer_problem(error: BaseException) -> str:
    text = type(error).__name__
    if isinstance(error, (requests.Timeout, TimeoutError, urllib3.exceptions.TimeoutError)):
        return "no answer within the time allowed"
    return f"the connection broke before an answer was read ({text})"
