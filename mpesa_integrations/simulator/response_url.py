"""Which URLs the gateway would post results to: the check of the portal's account page.

docs/protocol.md, "Answers". Posting to one is in `delivery`.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import quote, urlsplit

from mpesa_integrations.core.markets.mozambique import CALLBACK_PORTS

URL_PROBLEMS = {
    "unreadable": "The URL cannot be read; it looks like https://HOST:PORT/path",
    "scheme": "The URL must begin with https:// and name a host; the gateway calls no other",
    "port": (
        "The URL's port must be from %(first)s to %(last)s (it is %(port)s); the gateway calls "
        "no other"
    ),
    "characters": (
        "The URL has %(character)s in it, which no URL can have; write it percent-encoded, "
        "as %(instead)s"
    ),
    "leading_zero": "The URL's port must be written %(port)s, without a zero before it",
    "parts": "The URL must have no user name, password or fragment",
    "elsewhere": (
        "%(host)s is not an address of this machine; the local gateway calls only loopback "
        "addresses, such as 127.0.0.1"
    ),
}


class ResponseURLRefused(ValueError):  # noqa: N818 - an answer, not a fault
    """The gateway would not call this URL.

    Attributes:
        text: why, with `%(name)s` for each of `values`, so that it can be translated.
    """

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text % values)
        self.text = text
        self.values = values


def check_response_url(url: str) -> str:
    """Check an asynchronous response URL as the gateway's account page does.

    Args:
        url: `https://HOST:PORT/path`, the port from 11000 to 19000.

    Returns:
        The URL, without spaces around it.

    Raises:
        ResponseURLRefused: the gateway would not call it; says why. This local gateway, besides,
            calls addresses of this machine only.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ResponseURLRefused(URL_PROBLEMS["unreadable"]) from None
    if parts.scheme != "https" or not parts.hostname:
        raise ResponseURLRefused(URL_PROBLEMS["scheme"])
    _check_characters(text)
    if port not in CALLBACK_PORTS:
        raise ResponseURLRefused(
            URL_PROBLEMS["port"], first=CALLBACK_PORTS[0], last=CALLBACK_PORTS[-1], port=port or 443
        )
    if not parts.netloc.endswith(f":{port}"):
        raise ResponseURLRefused(URL_PROBLEMS["leading_zero"], port=port)
    if parts.username or parts.password or parts.fragment:
        raise ResponseURLRefused(URL_PROBLEMS["parts"])
    if not _is_this_machine(parts.hostname):
        raise ResponseURLRefused(URL_PROBLEMS["elsewhere"], host=parts.hostname)
    return text


def _check_characters(text: str) -> None:
    """Refuse what HTTP cannot carry in an address: the call would never be made."""
    wrong = next(
        (one for one in text if not one.isascii() or not one.isprintable() or one == " "), None
    )
    if wrong is not None:
        shown = repr(wrong)[1:-1] if wrong.isprintable() and wrong != " " else f"U+{ord(wrong):04X}"
        raise ResponseURLRefused(
            URL_PROBLEMS["characters"], character=shown, instead=quote(wrong, errors="replace")
        )


def _is_this_machine(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)
