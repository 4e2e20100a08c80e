"""The transport over `requests` and urllib3: pooled connections, and which bytes may have left.

Knows HTTP and no M-Pesa. What it is given and gives back is in `protocol.http`; another HTTP
library can stand in by following `Transport` there.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
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

MAX_ANSWER = 1024 * 1024
"""Bytes: an answer has some 300. A longer one is not read to its end, and counts as none."""
IDLE_LIMIT = 30.0
"""Seconds a connection may lie idle: older ones are likely to be closed under a request's feet."""
POOL_SIZE = 64
_CHUNK = 64 * 1024


class _Sending:
    """What one request has come to: whether a byte of it may have left."""

    begun = False


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
            raise NotConnected(
                _connect_problem(error, self, behind), retryable=_is_passing(error)
            ) from cause
        finally:
            self.connecting = False
        self.last_used = time.monotonic()

    def send(self, data: Any) -> None:
        if not self.connecting:
            if self.sock is None:  # type: ignore[attr-defined]
                self.connect()
            _SENDING.get().begun = True
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
        sending = _Sending()
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
                raise NotConnected(_unsent_problem(error, request), retryable=False) from None
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


def _connect_problem(error: BaseException, connection: Any, behind: str | None) -> str:
    cause = error.__cause__ or error
    where = f"{connection.host}:{connection.port}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            "the gateway's certificate is not trusted "
            f"({cause.verify_message or 'unknown reason'}); set verify to the path of its CA bundle"
        )
    if refusal := _TUNNEL_REFUSED.search(str(cause)):
        return (
            f"the proxy {where} did not connect to {behind} (HTTP {refusal[1]}"
            f"{_PROXY_SAYS.get(refusal[1], '')})"
        )
    if isinstance(cause, TimeoutError):
        return f"no connection to {where} within the time allowed{_hint(behind)}"
    if isinstance(cause, ConnectionRefusedError):
        return f"the connection to {where} was refused{_hint(behind)}"
    return f"no connection to {where} ({type(cause).__name__})"


def _hint(behind: str | None) -> str:
    if behind is not None:
        return ", which is the proxy"
    return "; hosting providers often block outward ports: ask for this one, or set a proxy"


_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: ([0-9]{3})")
_PROXY_SAYS = {"407": ": it wants another user and password", "403": ": it does not allow it"}


def _is_passing(error: BaseException) -> bool:
    """Whether connecting may go well at the next try."""
    if isinstance(error.__cause__ or error, ssl.SSLCertVerificationError):
        return False
    refusal = _TUNNEL_REFUSED.search(str(error))
    return refusal is None or refusal[1] not in _PROXY_SAYS


def _unsent_problem(error: BaseException, request: HttpRequest) -> str:
    if isinstance(request.verify, str) and not os.path.exists(request.verify):
        return f"the CA bundle that verify names is not there: {request.verify!r}"
    if isinstance(error, requests.exceptions.InvalidProxyURL):
        return "proxy cannot be used as it is written"
    return f"the request could not be begun ({type(error).__name__})"


def _answer_problem(error: BaseException) -> str:
    text = type(error).__name__
    if isinstance(error, (requests.Timeout, TimeoutError, urllib3.exceptions.TimeoutError)):
        return "no answer within the time allowed"
    return f"the connection broke before an answer was read ({text})"
