"""How each setting's value is read: what people paste is cleaned, and what is wrong is named.

A function each; all raise `ConfigurationError` for a value that cannot be. Which settings there
are, and which do not go together, is in `client`.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import wrong_setting
from ..protocol.market import Market
from ..text import clean, plain

DEFAULT_TIMEOUT = (10.0, 120.0)
"""Seconds to connect, and to wait for an answer: a customer needs a minute and more for the PIN."""

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_PLACE = re.compile(r"(\[[^]]+\]|[^:]*)(?::([0-9]{1,5}))?")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


def read_environment(value: object, market: Market) -> str:
    """Read the environment: one that the market has."""
    text = clean(value) if isinstance(value, str) else ""
    if text not in market.environments:
        raise wrong_setting("environment", f"must be one of {', '.join(market.environments)}")
    return text


def read_shortcode(value: object, market: Market) -> str:
    """Read the business's shortcode."""
    text = plain(_written(value)) if isinstance(value, (str, int)) else ""
    if not re.fullmatch(market.shortcode, text):
        raise wrong_setting("service_provider_code", market.shortcode_rule)
    return text


def _written(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to write out the very longest numbers
        return ""


def read_host(value: object) -> str | None:
    """Read a host name or address; None where there is none."""
    if value is None:
        return None
    text = clean(value) if isinstance(value, str) else ""
    if _HOST.fullmatch(text) or _is_ip(text):
        return text
    raise wrong_setting(
        "host",
        "must be a host name or address alone, as in api.vm.co.mz: no https://, path or port "
        "(the port is a setting of its own)",
    )


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _integer(setting: str, value: object, low: int, high: int) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", plain(value)):
        value = int(plain(value))
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong_setting(setting, f"must be a whole number from {low} to {high}")
    return value


def read_port(value: object) -> int | None:
    """Read a port; None where there is none."""
    return None if value is None else _integer("port", value, 1, 65535)


def read_retries(value: object) -> int:
    """Read how often a call is sent again."""
    return _integer("retries", value, 0, 10)


def read_flag(setting: str, value: object) -> bool:
    """Read a yes or no, as a file or the environment may write it."""
    if isinstance(value, bool):
        return value
    word = clean(value).lower() if isinstance(value, str) else ""
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise wrong_setting(setting, "must be true or false")


def read_verify(value: object) -> bool | str:
    """Read whether certificates are checked, or the path of a CA bundle."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and clean(value).lower() in _TRUE | _FALSE:
        return read_flag("verify", value)
    if isinstance(value, (str, Path)) and clean(str(value)):
        for path in map(os.path.expanduser, (str(value).strip(), clean(str(value)))):
            if "\0" not in path and os.path.exists(path):
                return path
        raise wrong_setting("verify", f"names a CA bundle that does not exist: {path!r}")
    raise wrong_setting("verify", "must be True, or the path of a CA bundle")


def read_optional_text(setting: str, value: object) -> str | None:
    """Read text on one line; None where there is none."""
    if value is None:
        return None
    text = clean(value) if isinstance(value, str) else ""
    if not text or not text.isprintable():
        raise wrong_setting(setting, "must be text on one line, as the account page shows it")
    return text


def read_header(setting: str, value: object, what: str) -> str:
    """Read a header's value."""
    text = read_optional_text(setting, value)
    if text is None or not text.isascii():
        raise wrong_setting(setting, f"must be {what}")
    return text


def read_endpoints(value: object, market: Market) -> dict[str, str]:
    """Read where single operations are called, as `{"c2b": "relay.example:443"}`."""
    pairs: Iterable[tuple[object, object]]
    if isinstance(value, str):
        pairs = [item.partition("=")[::2] for item in value.split(",") if clean(item)]
    else:
        pairs = value.items() if isinstance(value, Mapping) else [("", value)]
    named = ((clean(_written(name)), place) for name, place in pairs)
    return {name: _endpoint(name, place, market) for name, place in named}


def _endpoint(operation: str, value: object, market: Market) -> str:
    """A host and a port, either of which may be left out, as `host:port`."""
    host, port = split_place(plain(value) if isinstance(value, str) else "")
    right_host = not host or _HOST.fullmatch(host) or _is_ip(host)
    right_port = not port or 0 < int(port) <= 65535
    if operation not in market.operations or not (host or port) or not (right_host and right_port):
        raise wrong_setting(
            "endpoints",
            'must give operations a place, as in {"c2b": "relay.example:443"}; the operations are '
            + ", ".join(market.operations),
        )
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def split_place(text: str) -> tuple[str, str]:
    """Split `host:port`; "" for what is left out, or is not to be made out."""
    found = None if _is_ip(text) else _PLACE.fullmatch(text)
    if found is None:
        return (text if _is_ip(text) else "", "")
    return found[1].removeprefix("[").removesuffix("]"), found[2] or ""


def read_proxy(value: object) -> str | None:
    """Read the URL of a proxy; None where there is none."""
    if value is None:
        return None
    text = clean(value) if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port
        # The transport writes the user and the password in Latin-1.
        unquote(parts.netloc, errors="strict").encode("latin-1")
    except ValueError:
        right = False
    if not right or not text.isascii() or not text.isprintable() or " " in text:
        # It is not repeated: it can hold a password.
        raise wrong_setting(
            "proxy",
            "must be a URL with http or https, a host and a port, as in "
            "http://user:password@proxy.example:3128, special characters (of Latin-1 at the most) "
            "written as %40",
        )
    return text


def read_callback_token(value: object) -> str | None:
    """Read the secret part of the callback URL; None where there is none.

    Raises:
        ConfigurationError: it is no such token.
    """
    if value is None:
        return None
    text = clean(value) if isinstance(value, str) else ""
    if _TOKEN.fullmatch(text):
        return text
    raise wrong_setting(
        "callback_token",
        "must have 16 to 128 letters, digits, - or _, hard to guess; make one with: "
        'python -c "import secrets; print(secrets.token_urlsafe(32))"',
    )


def read_timeout(value: object) -> tuple[float, float]:
    """Read the seconds to connect and to wait, as `(connect, read)` or the second alone."""
    parts: list[object]
    if isinstance(value, str):
        parts = list(value.strip(" ()[]").split(","))
    elif isinstance(value, Iterable):
        parts = list(value)
    else:
        parts = [value]
    if len(parts) == 1:
        parts = [DEFAULT_TIMEOUT[0], *parts]
    seconds = [_seconds(part) for part in parts]
    if len(seconds) != 2 or not all(0 < s <= 3600 for s in seconds):
        raise wrong_setting(
            "timeout",
            "must be (connect, read) in seconds, each more than 0 and 3600 at the most, "
            f"as in {DEFAULT_TIMEOUT}",
        )
    return seconds[0], seconds[1]


def _seconds(value: object) -> float:
    try:
        text = plain(value) if isinstance(value, str) else value
        number = math.nan if isinstance(text, bool) else float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number


def read_prefixes(value: object, market: Market) -> tuple[str, ...]:
    """Read the operator prefixes that are accepted."""
    items: list[object] = []
    if isinstance(value, str):
        items = list(value.split(","))
    elif isinstance(value, Iterable):
        items = list(value)
    texts = tuple(plain(_written(item)) for item in items)
    if not texts or not all(map(market.numbering.is_prefix, texts)):
        raise wrong_setting("msisdn_prefixes", f"must be {market.numbering.prefix_rule}")
    return texts
