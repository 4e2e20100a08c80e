"""Why there is no answer, in words, and whether connecting may go well at the next try.

The same for every transport: each finds out in its library's own way what happened.
"""

from __future__ import annotations

import os
import ssl

from ..protocol.http import HttpRequest, NotConnected

_PROXY_SAYS = {407: ": it wants another user and password", 403: ": it does not allow it"}
_ON_THIS_MACHINE = ("127.", "localhost:", "::1:", "[::1]:")


def not_connected(
    cause: BaseException, *, where: str, behind: str | None, refusal: int | None = None
) -> NotConnected:
    """Make of a failure to connect what it proves.

    Args:
        cause: what failed, as the operating system or the TLS library said it.
        where: host and port that were to be connected to: the gateway's, or the proxy's.
        behind: the gateway's host, where a proxy was to open a tunnel to it.
        refusal: the HTTP status with which the proxy opened none.
    """
    untrusted = isinstance(cause, ssl.SSLCertVerificationError)
    return NotConnected(
        _problem(cause, where, behind, refusal),
        retryable=not untrusted and refusal not in _PROXY_SAYS,
    )


def not_begun(error: BaseException, request: HttpRequest, *, wrong_proxy: bool) -> NotConnected:
    """Make of a failure before connecting what it proves; trying again cannot help.

    Args:
        error: what was raised.
        request: what was to be sent.
        wrong_proxy: whether it is about the proxy's URL.
    """
    text = f"the request could not be begun ({type(error).__name__})"
    if isinstance(request.verify, str) and not os.path.exists(request.verify):
        text = f"the CA bundle that verify names is not there: {request.verify!r}"
    elif wrong_proxy:
        text = "proxy cannot be used as it is written"
    return NotConnected(text, retryable=False)


def _problem(cause: BaseException, where: str, behind: str | None, refusal: int | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            "the gateway's certificate is not trusted "
            f"({cause.verify_message or 'unknown reason'}); set verify to the path of its CA bundle"
        )
    if refusal is not None:
        says = _PROXY_SAYS.get(refusal, "")
        return f"the proxy {where} did not connect to {behind} (HTTP {refusal}{says})"
    if isinstance(cause, TimeoutError):
        return f"no connection to {where} within the time allowed{_hint(behind, where)}"
    if isinstance(cause, ConnectionRefusedError):
        return f"the connection to {where} was refused{_hint(behind, where)}"
    return f"no connection to {where} ({type(cause).__name__})"


def _hint(behind: str | None, where: str) -> str:
    if behind is not None:
        return ", which is the proxy"
    if where.startswith(_ON_THIS_MACHINE):
        return "; is it running? mpesa simulator starts the local gateway"
    return "; hosting providers often block outward ports: ask for this one, or set a proxy"
