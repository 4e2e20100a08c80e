"""The asynchronous transport over aiohttp: pooled connections, and which bytes may have left.

Of httpx, aiohttp and httpcore this one was measured to carry hundreds of calls at once with a
fraction of the others' work; benchmarks/async_c2b_vs_httpx.py compares them.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary, ref

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.wait import wait_for_read
from yarl import URL

from ..errors import ConfigurationError
from ..protocol.http import HttpRequest, HttpResponse, NoAnswer, NotConnected, Sending, TooLate
from . import transport
from .problems import not_begun, not_connected

_CHUNK = 64 * 1024
# asyncio's own is another class before Python 3.11.
_TIMEOUTS = (TimeoutError, asyncio.TimeoutError)


class _Attempt:
    """One request, what it has come to, and the transport of asyncio's that it leaves by."""

    def __init__(self, request: HttpRequest, sending: Sending) -> None:
        self.request = request
        self.sending = sending
        self.way: Any = None

    def abort(self) -> None:
        """Close the connection at once, unless it is another attempt's by now.

        A TLS connection's polite end waits for the other side.
        """
        if self.way is not None:
            self.way.abort()


_ATTEMPT: ContextVar[_Attempt] = ContextVar("mpesa_attempt")


class _ProvesNotConnected(aiohttp.TCPConnector):
    """Makes a failure to connect a `NotConnected`, and notes when the request begins to leave.

    aiohttp hands a byte of a request only to a connection that it has from `connect`; a proxy's
    tunnel is open by then, and TLS agreed on. It comes here a second time where it would by itself
    send a request again whose connection broke, as it does with GET and PUT, a reversal's method.
    """

    def __init__(self) -> None:
        # As many connections as there are calls at once. Names are looked up as everywhere else in
        # the program, not by a library that aiohttp uses where it is installed.
        super().__init__(
            limit=0,
            keepalive_timeout=transport.IDLE_LIMIT,
            resolver=aiohttp.ThreadedResolver(),
        )
        self._used: WeakKeyDictionary[Any, ref[_Attempt]] = WeakKeyDictionary()

    async def connect(self, req: Any, *args: Any, **kwargs: Any) -> Any:
        attempt = _ATTEMPT.get()
        if attempt.sending.begun:
            raise NoAnswer("the connection broke before an answer was read")
        try:
            connection = await super().connect(req, *args, **kwargs)
            while self._is_stale(connection):
                connection.close()
                connection = await super().connect(req, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is raised on, as what it proves
            raise _not_connected(error, attempt.request) from None
        before = self._used.get(connection.protocol)
        if before is not None and (ended := before()) is not None:
            ended.way = None  # it is another's now: the task of that one may be yet to end
        self._used[connection.protocol] = ref(attempt)
        try:
            attempt.request.refuse_if_late()
        except TooLate:
            connection.release()
            raise
        attempt.way = connection.transport
        attempt.sending.begun = True
        return connection

    def _is_stale(self, connection: Any) -> bool:
        """Whether a connection from the pool was closed meanwhile, and the loop has yet to see it.

        Nothing else can be there to be read before a request was sent.
        """
        if connection.protocol not in self._used:
            return False
        if connection.transport.is_closing():
            return True
        socket = connection.transport.get_extra_info("socket")
        return socket is not None and _is_readable(socket)


class AiohttpTransport:
    """The transport over aiohttp: one session, its connections kept alive, for one event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._contexts: dict[bool | str, ssl.SSLContext] = {}
        self._reading = asyncio.Lock()
        self._of_the_parent: list[aiohttp.ClientSession] = []

    async def send(self, request: HttpRequest, sending: Sending) -> HttpResponse:
        """Send a request once; see `AsyncTransport.send`.

        Raises:
            NotConnected: no connection came about.
            NoAnswer: anything else went wrong after that.
            ConfigurationError: it is used in another event loop than before.
        """
        sending.begun = False
        session = self._own_session()
        attempt = _Attempt(request, sending)
        token = _ATTEMPT.set(attempt)
        try:
            return await self._answer(session, request)
        except (NotConnected, NoAnswer, asyncio.CancelledError) as error:
            attempt.abort()
            # The frames below have the bearer among their variables, for a report to show.
            raise error.with_traceback(None)  # noqa: B904 - it is the same error
        except Exception as error:  # noqa: BLE001 - what tells is whether a byte may have left
            attempt.abort()
            # So have these, and the text can have the URL, with a phone number in it.
            if not sending.begun:
                if isinstance(error, _TIMEOUTS):
                    raise _not_connected(error, request) from None
                wrong_proxy = request.proxy is not None and isinstance(error, ValueError)
                raise not_begun(error, request, wrong_proxy=wrong_proxy) from None
            raise NoAnswer(_answer_problem(error)) from None
        finally:
            _ATTEMPT.reset(token)

    async def aclose(self) -> None:
        """Close the pooled connections; another event loop may use the transport from then on.

        Raises:
            ConfigurationError: the connections are another event loop's.
        """
        if self._session is None or self._process != os.getpid():
            return
        self._refuse_another_loop()
        session, self._session = self._session, None
        await session.close()

    def _own_session(self) -> aiohttp.ClientSession:
        """The session; a new one after a fork: two processes on one socket mix up their answers."""
        if self._process != os.getpid() and self._session is not None:
            # Kept: what forgets it would close what the parent process uses.
            self._of_the_parent.append(self._session)
            self._session = None
        if self._session is None:
            self._process = os.getpid()
            self._loop, self._reading = asyncio.get_running_loop(), asyncio.Lock()
            self._session = _new_session()
        self._refuse_another_loop()
        return self._session

    def _refuse_another_loop(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "an asynchronous client belongs to the event loop that it was first used in; make "
                "one per event loop, and close it there: async with AsyncMpesaClient(config) as …"
            )

    async def _answer(self, session: aiohttp.ClientSession, request: HttpRequest) -> HttpResponse:
        connect, read = request.timeout
        response = await session.request(
            request.method,
            URL(request.url, encoded=True),
            headers={"Accept-Encoding": "identity", **request.headers},
            data=request.body,
            ssl=await self._context(request),
            proxy=request.proxy,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=connect + 2 * read, connect=connect, sock_read=read
            ),
        )
        try:
            body = await _read(response.content, within=read)
        finally:
            # What was read to its end is in the pool again, and stays open.
            response.close()
        return HttpResponse(status=response.status, body=body)

    async def _context(self, request: HttpRequest) -> ssl.SSLContext | bool:
        if not request.url.startswith("https:"):
            return True
        # One for each setting: connections of different ones are not the same to the pool. Reading
        # all certificates takes a while, in which other tasks go on.
        async with self._reading:
            if request.verify not in self._contexts:
                made = await asyncio.to_thread(_tls_context, request.verify)
                self._contexts[request.verify] = made
        return self._contexts[request.verify]


def _new_session() -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=_ProvesNotConnected(), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    )
    # What instruments every session would write down the URL of a query, with a phone number in it.
    session.trace_configs.clear()
    return session


def _tls_context(verify: bool | str) -> ssl.SSLContext:
    """The same context as the blocking transport's."""
    if verify is False:
        context = create_urllib3_context(cert_reqs=ssl.CERT_NONE)
    else:
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        bundle = DEFAULT_CA_BUNDLE_PATH if verify is True else str(verify)
        if os.path.isdir(bundle):
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _read(content: aiohttp.StreamReader, *, within: float) -> bytes:
    """Read a body up to its limit and deadline: a time-out of each read lets it drip for ever."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    body = bytearray()
    async for chunk in content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > transport.MAX_ANSWER:
            # Raised rather than cut short: a cut answer padded with spaces would still read as one.
            raise NoAnswer(f"the answer has more than {transport.MAX_ANSWER} bytes")
        if loop.time() > deadline:
            raise NoAnswer("the answer took too long to arrive whole")
    return bytes(body)


def _is_readable(socket: Any) -> bool:
    try:
        return wait_for_read(socket, timeout=0)
    except (OSError, ValueError):
        return True  # closed


def _not_connected(error: Exception, request: HttpRequest) -> NotConnected:
    place = urlsplit(request.proxy or request.url)
    gateway = urlsplit(request.url)
    return not_connected(
        _cause(error),
        where=f"{place.hostname}:{place.port}",
        behind=gateway.hostname if request.proxy and gateway.scheme == "https" else None,
        refusal=error.status if isinstance(error, aiohttp.ClientHttpProxyError) else None,
    )


def _cause(error: Exception) -> BaseException:
    """What the operating system or the TLS library said."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return TimeoutError() if isinstance(error, _TIMEOUTS) else error


def _answer_problem(error: BaseException) -> str:
    if isinstance(error, _TIMEOUTS):
        return "no answer within the time allowed"
    return f"the connection broke before an answer was read ({type(error).__name__})"
