"""The callback endpoint without a framework: who may call, what is taken in, what is answered."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .account_settings import Network
from .accounts import Accounts
from .callbacks import MAX_BODY
from .failures import log_failure
from .sentry import keep_from_sentry

logger = logging.getLogger("mpesa_integrations")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackRequest:
    """An HTTP POST to the callback URL, as a framework hands it over.

    Attributes:
        token: the secret part of the path.
        content_type: the header, parameters included.
        content_length: the header as it came; None without one.
        remote_address: the peer's address.
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
    """Take in a callback; PROTOCOL.md, "Answers".

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
    if settings.callback_networks and not _within(address, settings.callback_networks):
        return CallbackAnswer(404)
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        return CallbackAnswer(415, {"output_ResponseDesc": "Send application/json"})
    try:
        body = _body(request)
    except Exception as error:  # noqa: BLE001 - whatever a server raises where a client goes away
        logger.warning("callback.not_read account=%s problem=%s", matching[0], type(error).__name__)
        return CallbackAnswer(400, {"output_ResponseDesc": "The body did not arrive whole"})
    if body is None:
        return CallbackAnswer(413, {"output_ResponseDesc": "The body is too large"})
    inline = settings.apply_callbacks == "inline"
    try:
        status, answer = payments.receive(body, apply=inline, remote_address=address)
    except Exception as error:  # noqa: BLE001
        # Left to the framework, it would log the path, and the token with it.
        log_failure("callback.not_taken_in", error, account=matching[0])
        return CallbackAnswer(500, {"output_ResponseDesc": "Not taken in, send it again"})
    return CallbackAnswer(status, answer, None if inline else matching[0])


def remote_address(request: CallbackRequest, proxies: Collection[Network]) -> str | None:
    """The caller's address: X-Forwarded-For counts only as far as trusted proxies wrote it."""
    address = _address(request.remote_address)
    hops = [hop.strip() for hop in request.forwarded_for.split(",")]
    while hops and proxies and _within(address, proxies):
        address = _address(hops.pop())
    return address


def _body(request: CallbackRequest) -> bytes | None:
    try:
        if int(request.content_length or 0) > MAX_BODY:
            return None
    except ValueError:
        return None
    body = request.read(MAX_BODY + 1)
    return None if len(body) > MAX_BODY else body


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _within(address: str | None, networks: Collection[Network]) -> bool:
    if address is None:
        return False
    found = ipaddress.ip_address(address)
    return any(found in network for network in networks)
