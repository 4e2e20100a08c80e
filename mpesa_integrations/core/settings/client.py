"""The settings of one M-Pesa account, checked when they are made. No request is built here."""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ...version import __version__
from ..errors import ConfigurationError
from ..markets.mozambique import MOZAMBIQUE
from ..protocol.authentication import check_api_key_fits, normalise_api_key, normalise_public_key
from ..protocol.market import Environment, Market
from ..redaction import SECRET_SETTINGS, forgetful_calls, remember_secrets, secret
from ..text import clean, plain

logger = logging.getLogger("mpesa_integrations")

DEFAULT_USER_AGENT = f"mpesa-integrations/{__version__}"
"""The gateway stands behind a firewall that turns away requests that name no program."""
DEFAULT_TIMEOUT = (10.0, 120.0)
"""Seconds to connect, and to wait for an answer: a customer needs a minute and more for the PIN."""
KEY_PREFIX = "MPESA_"

_ACCOUNT_SETTINGS = (
    "api_key",
    "public_key",
    "service_provider_code",
    "initiator_identifier",
    "security_credential",
)
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_PLACE = re.compile(r"(\[[^]]+\]|[^:]*)(?::([0-9]{1,5}))?")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


@forgetful_calls
@dataclass(frozen=True, kw_only=True)
class MpesaConfig:
    """One account's settings; docs/protocol.md, "Call context".

    Args:
        api_key: the account's API key.
        public_key: the account's public key: bare Base64, PEM, or the path of a file with either;
            kept as bare Base64.
        service_provider_code: the business's shortcode, 5 or 6 digits.
        environment: `sandbox`, `production` or `local` (a gateway started by `mpesa simulator`).
        host: another host name or address than the environment's.
        port: one port for all operations, for a gateway behind a proxy. None means each
            operation's documented port, and for `local` the local gateway's.
        endpoints: where single operations are called instead, for hosts that may only leave by some
            ports: `{"c2b": "relay.example:443"}`; `:443` alone changes the port.
        proxy: the URL of a proxy on the way out, as `http://user:password@proxy.example:3128`. It
            must let `CONNECT` through to the operations' ports.
        ssl: whether to use HTTPS; only a gateway of your own can go without.
        verify: True for the certificates that ship with `requests` (certifi), or the path of a CA
            bundle. False is accepted with a warning outside production, for experiments.
        origin: the `Origin` header.
        user_agent: the `User-Agent` header.
        timeout: seconds to connect and to wait for the answer, as `(connect, read)`, or the second
            alone. The default waits 120 s for an answer: the customer types the PIN in that time.
        initiator_identifier: needed for reversals; comes with the account.
        security_credential: needed for reversals; comes with the account.
        callback_token: the secret part of the callback URL: 16 to 128 letters, digits, `-` or `_`.
        msisdn_prefixes: the operator prefixes accepted in phone numbers.
        retries: how often a request that surely was not accepted is sent again (0 to 10).

    Raises:
        ConfigurationError: a value is wrong; names the setting, what is wrong and what is right.
    """

    # Whose gateway it is. No annotation: it is no setting.
    market = MOZAMBIQUE

    api_key: str = field(default="", repr=False)
    public_key: str = field(default="", repr=False)
    service_provider_code: str = ""
    environment: str = "sandbox"
    host: str | None = None
    port: int | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict, hash=False)
    proxy: str | None = field(default=None, repr=False)
    ssl: bool = True
    verify: bool | str = True
    origin: str = MOZAMBIQUE.origin
    user_agent: str = DEFAULT_USER_AGENT
    timeout: tuple[float, float] = DEFAULT_TIMEOUT
    initiator_identifier: str | None = field(default=None, repr=False)
    security_credential: str | None = field(default=None, repr=False)
    callback_token: str | None = field(default=None, repr=False)
    msisdn_prefixes: tuple[str, ...] = MOZAMBIQUE.numbering.prefixes
    retries: int = 2

    def __post_init__(self) -> None:
        checks = {
            "environment": _environment(self.environment, self.market),
            "api_key": normalise_api_key(self.api_key),
            "public_key": normalise_public_key(self.public_key),
            "service_provider_code": _shortcode(self.service_provider_code, self.market),
            "host": _host(self.host),
            "port": _port(self.port),
            "endpoints": _endpoints(self.endpoints, self.market),
            "proxy": _proxy(self.proxy),
            "ssl": _flag("ssl", self.ssl),
            "verify": _verify(self.verify),
            "origin": _header(
                "origin", self.origin, f"a host name, as in {self.market.origin}, or *"
            ),
            "user_agent": _header("user_agent", self.user_agent, "a program's name, as in shop/2"),
            "timeout": _timeout(self.timeout),
            "initiator_identifier": _optional_text(
                "initiator_identifier", self.initiator_identifier
            ),
            "security_credential": _optional_text("security_credential", self.security_credential),
            "callback_token": read_callback_token(self.callback_token),
            "msisdn_prefixes": _prefixes(self.msisdn_prefixes, self.market),
            "retries": _retries(self.retries),
        }
        for name, value in checks.items():
            hidden = name.upper() in SECRET_SETTINGS
            object.__setattr__(self, name, secret(value) if hidden else value)
        check_api_key_fits(self.api_key, self.public_key)
        remember_secrets(self.api_key, self.security_credential, self.callback_token)
        if self.proxy is not None:
            remember_secrets(urlsplit(self.proxy).password)
        self._refuse_unsafe_transport()
        self._refuse_shared_shortcode()

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> MpesaConfig:
        """Read the settings from a mapping with keys such as `MPESA_API_KEY`.

        Keys that do not begin with `MPESA_` are passed over; texts are read as numbers and flags
        where the setting is one, so the values may come from a file.

        Raises:
            ConfigurationError: a value is wrong, or an `MPESA_…` key is not a setting.
        """
        values = {}
        for key, value in mapping.items():
            if key.startswith(KEY_PREFIX):
                values[_setting_of(key)] = value
        return cls(**values)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> MpesaConfig:
        """Read the settings from environment variables such as `MPESA_API_KEY`.

        Lists are written with commas (`MPESA_TIMEOUT=10,120`). An empty variable counts as unset,
        and `MPESA_…` variables of other programs are passed over.

        Raises:
            ConfigurationError: a value is missing or wrong.
        """
        return cls(**settings_in_env(environ))

    @classmethod
    def from_account_file(cls, path: Path | str) -> MpesaConfig:
        """Read the settings of a local gateway from the `account.json` that it writes.

        Raises:
            ConfigurationError: the file is missing, or is not such a file.
        """
        return cls(**settings_in_account_file(path))

    @property
    def address(self) -> str:
        """The host that is called."""
        return self.host or self._place.host

    def port_for(self, documented_port: int) -> int:
        """The port that is called for an operation whose documented port is the given one."""
        if self.port is not None:
            return self.port
        own = None if self.host else self._place.port
        return own or documented_port

    def address_for(self, operation: str, documented_port: int) -> tuple[str, int]:
        """The host and port that are called for an operation of that name and documented port."""
        host, port = _split_place(self.endpoints.get(operation, ""))
        return host or self.address, int(port) if port else self.port_for(documented_port)

    @property
    def _place(self) -> Environment:
        return self.market.environments[self.environment]

    def _refuse_shared_shortcode(self) -> None:
        live = self.environment == "production" and self.host is None
        sandboxs = self.market.sandbox_shortcode
        if live and self.service_provider_code == sandboxs:
            raise _wrong(
                "service_provider_code",
                f"is the sandbox's {sandboxs}, and environment is production: others "
                "would be paid; use the shortcode of your contract",
            )

    def _refuse_unsafe_transport(self) -> None:
        if self.environment == "production" and self.verify is False:
            raise _wrong(
                "verify", "is off in production; use True, or the path of the gateway's CA bundle"
            )
        if not self.ssl and (self.environment == "production" or not self.host):
            raise _wrong("ssl", "is off; the gateway speaks HTTPS only, so set ssl to True")
        if self.verify is False:
            logger.warning(
                "config.verify_off: the gateway's certificate is not checked; anybody on the way "
                "can read and change payments. Set verify to a CA bundle."
            )


def settings_in_account_file(path: Path | str) -> dict[str, Any]:
    """The settings that a local gateway's `account.json` gives.

    Raises:
        ConfigurationError: the file is missing, or is not such a file.
    """
    try:
        account = json.loads(Path(path).read_text(encoding="utf-8"))
        url = urlsplit(account["base_url"])
        return {
            **{name: account[name] for name in _ACCOUNT_SETTINGS},
            "environment": "local",
            "host": url.hostname,
            "port": url.port,
            "verify": account["ca_file"],
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"account file {path} cannot be used ({type(error).__name__}); "
            "mpesa simulator writes one as account.json in its state directory",
            setting="account",
        ) from error


def settings_in_env(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The settings that environment variables such as `MPESA_API_KEY` give, unchecked."""
    environ = os.environ if environ is None else environ
    names = {KEY_PREFIX + f.name.upper(): f.name for f in fields(MpesaConfig)}
    return {names[k]: v for k, v in environ.items() if k in names and v.strip()}


def _wrong(setting: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{setting} {what}", setting=setting)


def _setting_of(key: str) -> str:
    names = [f.name for f in fields(MpesaConfig)]
    name = key[len(KEY_PREFIX) :].lower()
    if name in names:
        return name
    import difflib  # only for who mistyped a setting

    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {KEY_PREFIX}{close[0].upper()}?" if close else ""
    raise ConfigurationError(f"{key} is not a setting of M-Pesa{hint}", setting=key)


def _environment(value: object, market: Market) -> str:
    text = clean(value) if isinstance(value, str) else ""
    if text not in market.environments:
        raise _wrong("environment", f"must be one of {', '.join(market.environments)}")
    return text


def _shortcode(value: object, market: Market) -> str:
    text = plain(str(value)) if isinstance(value, (str, int)) else ""
    if not re.fullmatch(market.shortcode, text):
        raise _wrong("service_provider_code", market.shortcode_rule)
    return text


def _host(value: object) -> str | None:
    if value is None:
        return None
    text = clean(value) if isinstance(value, str) else ""
    if _HOST.fullmatch(text) or _is_ip(text):
        return text
    raise _wrong(
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
        raise _wrong(setting, f"must be a whole number from {low} to {high}")
    return value


def _port(value: object) -> int | None:
    return None if value is None else _integer("port", value, 1, 65535)


def _retries(value: object) -> int:
    return _integer("retries", value, 0, 10)


def _flag(setting: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = clean(value).lower() if isinstance(value, str) else ""
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise _wrong(setting, "must be true or false")


def _verify(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and clean(value).lower() in _TRUE | _FALSE:
        return _flag("verify", value)
    if isinstance(value, (str, Path)) and clean(str(value)):
        for path in map(os.path.expanduser, (str(value).strip(), clean(str(value)))):
            if "\0" not in path and os.path.exists(path):
                return path
        raise _wrong("verify", f"names a CA bundle that does not exist: {path!r}")
    raise _wrong("verify", "must be True, or the path of a CA bundle")


def _optional_text(setting: str, value: object) -> str | None:
    if value is None:
        return None
    text = clean(value) if isinstance(value, str) else ""
    if not text or not text.isprintable():
        raise _wrong(setting, "must be text on one line, as the account page shows it")
    return text


def _header(setting: str, value: object, what: str) -> str:
    text = _optional_text(setting, value)
    if text is None or not text.isascii():
        raise _wrong(setting, f"must be {what}")
    return text


def _endpoints(value: object, market: Market) -> dict[str, str]:
    pairs: Iterable[tuple[object, object]]
    if isinstance(value, str):
        pairs = [item.partition("=")[::2] for item in value.split(",") if clean(item)]
    else:
        pairs = value.items() if isinstance(value, Mapping) else [("", value)]
    named = ((clean(str(name)), place) for name, place in pairs)
    return {name: _endpoint(name, place, market) for name, place in named}


def _endpoint(operation: str, value: object, market: Market) -> str:
    """A host and a port, either of which may be left out, as `host:port`."""
    host, port = _split_place(plain(value) if isinstance(value, str) else "")
    right_host = not host or _HOST.fullmatch(host) or _is_ip(host)
    right_port = not port or 0 < int(port) <= 65535
    if operation not in market.operations or not (host or port) or not (right_host and right_port):
        raise _wrong(
            "endpoints",
            'must give operations a place, as in {"c2b": "relay.example:443"}; the operations are '
            + ", ".join(market.operations),
        )
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def _split_place(text: str) -> tuple[str, str]:
    """The host and the port of `host:port`; "" for what is left out, or is not to be made out."""
    found = None if _is_ip(text) else _PLACE.fullmatch(text)
    if found is None:
        return (text if _is_ip(text) else "", "")
    return found[1].removeprefix("[").removesuffix("]"), found[2] or ""


def _proxy(value: object) -> str | None:
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
        raise _wrong(
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
    raise _wrong(
        "callback_token",
        "must have 16 to 128 letters, digits, - or _, hard to guess; make one with: "
        'python -c "import secrets; print(secrets.token_urlsafe(32))"',
    )


def _timeout(value: object) -> tuple[float, float]:
    parts: list[object]
    if isinstance(value, str):
        parts = list(value.split(","))
    elif isinstance(value, Iterable):
        parts = list(value)
    else:
        parts = [value]
    if len(parts) == 1:
        parts = [DEFAULT_TIMEOUT[0], *parts]
    seconds = [_seconds(part) for part in parts]
    if len(seconds) != 2 or not all(0 < s <= 3600 for s in seconds):
        raise _wrong(
            "timeout",
            "must be (connect, read) in seconds, each more than 0 and 3600 at the most, "
            f"as in {DEFAULT_TIMEOUT}",
        )
    return seconds[0], seconds[1]


def _seconds(value: object) -> float:
    try:
        text = plain(value) if isinstance(value, str) else value
        number = math.nan if isinstance(text, bool) else float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    return number


def _prefixes(value: object, market: Market) -> tuple[str, ...]:
    items: list[object] = []
    if isinstance(value, str):
        items = list(value.split(","))
    elif isinstance(value, Iterable):
        items = list(value)
    texts = tuple(plain(str(item)) for item in items)
    if not texts or not all(map(market.numbering.is_prefix, texts)):
        raise _wrong("msisdn_prefixes", f"must be {market.numbering.prefix_rule}")
    return texts
