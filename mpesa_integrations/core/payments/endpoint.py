"""The callback endpoint without a framework: who may call, how the body is read, what is answered.

What becomes of a callback that is let in is in `callback_intake`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..failures import log_failure
from ..protocol.callbacks import MAX_BODY
from ..sentry import keep_from_sentry
from ..settings.account import Proxy
from ..settings.networks import UNIX, is_unix_socket, read_address, within
from .registry import Accounts

logger = logging.getLogger("mpesa_integrations")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackRequest:
    """An HTTP POST to the callback URL, as a framework hands it over.

    Attributes:
        token: the secret part of the path.
        content_type: the header, parameters included.
        content_length: the header as it came; None without one.
        remote_address: the peer's address; "" for a unix socket.
        forwarded_for: the `X-Forwarded-For` header; "" without one.
        read: gives at most so many bytes of the body.
    """

    token: str = field(repr=False)
    content_type: str
    content_length: str | None
    remote_address: str
    forwarded_for: str
    read: Callable[[int], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallbackAnswer:
    """What the framework answers.

    Attributes:
        status: the HTTP status; a 404 is the framework's own.
        body: the JSON body.
        waiting_in: the account in which the callback waits for a worker to apply it, if any.
    """

    status: int
    body: Mapping[str, str] = field(default_factory=dict)
    waiting_in: str | None = None


def answer_callback(accounts: Accounts[Any, Any], request: CallbackRequest) -> CallbackAnswer:
    """Take in a callback; docs/protocol.md, "Answers".

    A wrong token, or a stranger's address, is answered 404 with no detail, and kept nowhere.

    Args:
        accounts: whose callback it may be; the token tells.
        request: what came.
    """
    keep_from_sentry()
    matching = accounts.accepting(request.token)
    if not matching:
        return CallbackAnswer(404)
    try:
        payments = accounts[matching[0]]
    except Exception as error:  # noqa: BLE001 - whatever a key file or a setting is
        # Left to the framework, it would log the path, and the token with it.
        log_failure("callback.account_broken", error, account=matching[0])
        return CallbackAnswer(500, {"output_ResponseDesc": "Not taken in, send it again"})
    settings = payments.settings
    address = remote_address(request, settings.trusted_proxies)
    refuse = partial(_refuse, matching[0], address)
    if settings.callback_networks and not within(address, settings.callback_networks):
        return refuse(404, "the address is not in CALLBACK_NETWORKS")
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        return refuse(415, "the content type is not application/json", "Send application/json")
    try:
        body = _body(request)
    except Exception as error:  # noqa: BLE001 - each framework has its own for a caller gone away
        return refuse(
            400, f"the body broke off ({type(error).__name__})", "The body did not arrive whole"
        )
    if body is None:
        return refuse(413, f"the body has more than {MAX_BODY} bytes", "The body is too large")
    inline = settings.apply_callbacks == "inline"
    try:
        status, answer = payments.receive(body, apply=inline, remote_address=address)
    except Exception as error:  # noqa: BLE001
        # Left to the framework, it would log the path, and the token with it.
        log_failure("callback.not_taken_in", error, account=matching[0])
        return CallbackAnswer(500, {"output_ResponseDesc": "Not taken in, send it again"})
    return CallbackAnswer(status, answer, None if inline else matching[0])


def remote_address(request: CallbackRequest, proxies: Collection[Proxy]) -> str | None:
    """The caller's address: X-Forwarded-For counts only as far as trusted proxies wrote it.

    Returns:
        The address, or None where it is not known.
    """
    networks = [proxy for proxy in proxies if not isinstance(proxy, str)]
    address = read_address(request.remote_address)
    hops = [hop for hop in request.forwarded_for.split(",") if hop.strip()]
    if hops and address is None and UNIX in proxies and is_unix_socket(request.remote_address):
        address = read_address(hops.pop())
    while hops and within(address, networks):
        address = read_address(hops.pop())
    return address


def wsgi_reader(
    environ: Mapping[str, Any], otherwise: Callable[[int], bytes]
) -> Callable[[int], bytes]:
    """How to read a WSGI request's body, also one that came in chunks and without a length.

    Frameworks take a body without a length for an empty one. Servers that undo the chunks let
    themselves be read to the end, and most say so.

    Args:
        environ: the WSGI environment.
        otherwise: reads at most so many bytes the framework's way.
    """
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    ends_itself = environ.get("wsgi.input_terminated") or chunked
    if environ.get("CONTENT_LENGTH") or not ends_itself:
        return otherwise
    # uWSGI has chunks read by a function of its own, in a module that it puts there.
    uwsgi: Any = sys.modules.get("uwsgi")
    own = chunked and not environ.get("wsgi.input_terminated") and uwsgi is not None
    stream = environ["wsgi.input"]

    def read(limit: int) -> bytes:
        body = b""
        # One reading may give less than there is.
        while len(body) < limit:
            more = uwsgi.chunked_read() if own else stream.read(limit - len(body))
            if not more:
                break
            body += more
        return body

    return read


def _refuse(
    alias: str, address: str | None, status: int, why: str, answer: str = ""
) -> CallbackAnswer:
    """Refuse a callback whose token was right, with a line in the log that says why."""
    logger.warning(
        "callback.refused account=%s status=%s address=%s problem=%s",
        alias,
        status,
        address or "unknown",
        why,
    )
    return CallbackAnswer(status, {"output_ResponseDesc": answer} if answer else {})


def _body(request: CallbackRequest) -> bytes | None:
    """The body; None where it is larger than a callback may be."""
    try:
        if int(request.content_length or 0) > MAX_BODY:
            return None
    except ValueError:
        return None
    body = request.read(MAX_BODY + 1)
    return None if len(body) > MAX_BODY else body
