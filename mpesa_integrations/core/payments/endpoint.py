"""The callback endpoint without a framework: who may call, how the body is read, what is answered.

What becomes of a callback that is let in is in `callback_intake`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import RecordsUnavailable
from ..failures import log_failure
from ..protocol.callbacks import MAX_BODY
from ..sentry import keep_from_sentry
from ..settings.account import Proxy
from ..settings.networks import UNIX, is_unix_socket, read_address, within
from .callback_intake import Named
from .registry import Accounts

logger: logging.Logger = logging.getLogger("mpesa_integrations")


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


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What is wrong with a request.

    Attributes:
        status: the HTTP status that it is answered with.
        why: for the log.
        answer: for the caller; "" for nothing.
    """

    status: int
    why: str
    answer: str = ""


def answer_callback(accounts: Accounts[Any, Any], request: CallbackRequest) -> CallbackAnswer:
    """Take in a callback; docs/protocol.md, "Answers".

    A wrong token, or a stranger's address, is answered 404 with no detail, and kept nowhere.

    Args:
        accounts: whose callback it may be; the token tells, and of several accounts with one
            token, that whose payment it names.
        request: what came.
    """
    keep_from_sentry()
    try:
        matching = accounts.accepting(request.token)
    except Exception as error:  # noqa: BLE001 - whatever an account loader's database is
        log_failure("callback.accounts_not_loaded", error)
        return _send_again()
    if not matching:
        return CallbackAnswer(404)
    alias, body = matching[0], None
    if len(matching) > 1:
        body = _body(request)
        try:
            alias = _account_of(accounts, matching, body)
        except Exception as error:  # noqa: BLE001 - whatever the records' database is
            log_failure("callback.account_not_found", error)
            return _send_again()
    try:
        payments = accounts[alias]
    except Exception as error:  # noqa: BLE001 - whatever a key file or a setting is
        # Left to the framework, it would log the path, and the token with it.
        log_failure("callback.account_broken", error, account=alias)
        return _send_again()
    settings = payments.settings
    address = remote_address(request, settings.trusted_proxies)
    if settings.callback_networks and not within(address, settings.callback_networks):
        body = _Refusal(404, "the address is not in CALLBACK_NETWORKS")
    elif body is None:
        body = _body(request)
    if isinstance(body, _Refusal):
        return _refuse(alias, address, body)
    inline = settings.apply_callbacks == "inline"
    try:
        status, answer = payments.receive(body, apply=inline, remote_address=address)
    except Exception as error:  # noqa: BLE001
        # Left to the framework, it would log the path, and the token with it.
        log_failure("callback.not_taken_in", error, account=alias)
        return _send_again()
    return CallbackAnswer(status, answer, None if inline else alias)


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


def _account_of(
    accounts: Accounts[Any, Any], matching: Sequence[str], body: bytes | _Refusal
) -> str:
    """Of several accounts with one token, that whose payment the body names; else the first.

    Raises:
        RecordsUnavailable: it cannot be told now.
    """
    if isinstance(body, _Refusal):
        return matching[0]
    named = {alias: _named(accounts, alias, body) for alias in matching}
    return max(named, key=named.__getitem__)


def _named(accounts: Accounts[Any, Any], alias: str, body: bytes) -> Named:
    try:
        payments = accounts[alias]
    except RecordsUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - one that is broken keeps no other's out
        log_failure("callback.account_broken", error, account=alias)
        return Named.UNKNOWN
    return payments.named_in(body)


def _send_again() -> CallbackAnswer:
    return CallbackAnswer(500, {"output_ResponseDesc": "Not taken in, send it again"})


def _refuse(alias: str, address: str | None, refusal: _Refusal) -> CallbackAnswer:
    """Refuse a callback whose token was right, with a line in the log that says why."""
    logger.warning(
        "callback.refused account=%s status=%s address=%s problem=%s",
        alias,
        refusal.status,
        address or "unknown",
        refusal.why,
    )
    answer = {"output_ResponseDesc": refusal.answer} if refusal.answer else {}
    return CallbackAnswer(refusal.status, answer)


def _body(request: CallbackRequest) -> bytes | _Refusal:
    """The body, which can be read once; or what is wrong with it."""
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        return _Refusal(415, "the content type is not application/json", "Send application/json")
    too_large = _Refusal(413, f"the body has more than {MAX_BODY} bytes", "The body is too large")
    try:
        if int(request.content_length or 0) > MAX_BODY:
            return too_large
    except ValueError:
        return too_large
    try:
        body = request.read(MAX_BODY + 1)
    except Exception as error:  # noqa: BLE001 - each framework has its own for a caller gone away
        why = f"the body broke off ({type(error).__name__})"
        return _Refusal(400, why, "The body did not arrive whole")
    return too_large if len(body) > MAX_BODY else body
