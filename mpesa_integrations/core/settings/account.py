"""One account's settings as a framework gives them, read. Doubts about them: `account_checks`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast, get_args

from ..errors import ConfigurationError, wrong_setting
from ..markets.mozambique import CALLBACK_PORTS
from ..protocol.http import Transport
from ..redaction import Secret, forgetful_calls
from ..text import clean
from .client import CLIENT_SETTINGS, KEY_PREFIX, MpesaConfig, unknown_setting
from .networks import UNIX, Network, read_network

_LONGEST = 10 * 366 * 24 * 3600
Proxy = Network | Literal["unix"]
Send = Literal["now", "worker"]
"""Who sends a payment: the call that records it, or a worker."""
SentBy = Literal["now", "worker", "task"]
"""The same for an account, whose payments may also be a task queue's."""


@forgetful_calls
@dataclass(frozen=True, kw_only=True)
class AccountSettings:
    """One account's settings: the client's, and how its records and callbacks are treated.

    Attributes:
        config: the client's settings.
        transport: another way to send bytes than `requests`: an object as `Transport` describes
            it, a class of such, or either's dotted path.
        verify_callbacks: whether a callback's result, success or failure, counts only once a status
            query confirms it.
        callback_base_url: the site as the gateway reaches it, `https://shop.example:12000`.
        callback_networks: the networks that may call; none means any.
        trusted_proxies: the networks of proxies whose `X-Forwarded-For` counts; `"unix"` among
            them means a proxy on the same machine that comes by a unix socket.
        apply_callbacks: `inline`, in the request; or `worker`: the request only stores them.
        not_found_after: from what age on a payment that the gateway does not know counts as never
            accepted; None means never.
        stuck_after: from what age on a payment that is still open is reported to a person.
        send: `now`, by the call; or `worker`: the call only records the payment, which needs
            records in a database, and a worker sends it; or `task`: likewise, and a task for each
            payment is put on the queue of Django's tasks or of Celery. A call's `send=` goes
            before.
        send_within: how old a payment that a worker is to send may become; then it is never sent.
    """

    config: MpesaConfig
    transport: Transport | None = None
    verify_callbacks: bool = False
    callback_base_url: str | None = field(default=None, repr=False)
    callback_networks: tuple[Network, ...] = ()
    trusted_proxies: tuple[Proxy, ...] = ()
    apply_callbacks: str = "inline"
    not_found_after: timedelta | None = None
    stuck_after: timedelta = timedelta(hours=24)
    send: SentBy = "now"
    send_within: timedelta = timedelta(minutes=2)

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> AccountSettings:
        """Read the settings from a mapping with keys such as `API_KEY` and `VERIFY_CALLBACKS`.

        Raises:
            ConfigurationError: a setting is missing, wrong or not known.
        """
        for name in options:
            if name not in _READERS and name.lower() not in CLIENT_SETTINGS:
                raise unknown_setting(name, (*CLIENT_SETTINGS, *_READERS))
        config = MpesaConfig.from_mapping(
            {KEY_PREFIX + name: value for name, value in options.items() if name not in _READERS}
        )
        own = {
            name.lower(): read(name, options[name])
            for name, read in _READERS.items()
            if options.get(name) is not None
        }
        return cls(config=config, **own)

    def callback_url(self, path: str) -> str:
        """The URL to paste into the developer portal, for the endpoint's path on the site.

        Raises:
            ConfigurationError: CALLBACK_BASE_URL or CALLBACK_TOKEN is not set.
        """
        for name, value in (
            ("CALLBACK_BASE_URL", self.callback_base_url),
            ("CALLBACK_TOKEN", self.config.callback_token),
        ):
            if not value:
                raise ConfigurationError(f"{name} is not set; set it first", setting=name)
        return f"{self.callback_base_url}{path}"


def _transport(name: str, value: object) -> Transport:
    try:
        found = pkgutil.resolve_name(clean(value)) if isinstance(value, str) else value
    except (ImportError, AttributeError, ValueError) as error:
        raise wrong_setting(
            name.lower(), f"cannot be imported ({type(error).__name__}: {error})"
        ) from error
    if isinstance(found, type):
        found = found()
    if callable(getattr(found, "send", None)) and callable(getattr(found, "close", None)):
        return cast("Transport", found)
    raise wrong_setting(name.lower(), "must have the methods send and close of Transport")


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise wrong_setting(name.lower(), "must be True or False")


def _base_url(name: str, value: object) -> str:
    text = clean(value).rstrip("/") if isinstance(value, str) else ""
    if text:
        return Secret(text)
    raise wrong_setting(name.lower(), f"must be as https://shop.example:{CALLBACK_PORTS[0]}")


def _networks(name: str, value: object) -> tuple[Network, ...]:
    items = [] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    try:
        networks = tuple(
            read_network(clean(item) if isinstance(item, str) else item) for item in items
        )
    except ValueError:
        networks = ()
    if networks or value in ([], ()):
        return networks
    raise wrong_setting(name.lower(), 'must be a list of networks, as ["10.0.0.0/8"]')


def _proxies(name: str, value: object) -> tuple[Proxy, ...]:
    items = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    items = [clean(item) if isinstance(item, str) else item for item in items]
    networks = [item for item in items if item != UNIX]
    if networks == [value]:
        return _networks(name, value)
    found: tuple[Proxy, ...] = _networks(name, networks)
    return (*found, UNIX) if UNIX in items else found


def _one_of(*words: str) -> Callable[[str, object], str]:
    *others, last = (f'"{word}"' for word in words)
    problem = f"must be {', '.join(others)} or {last}"

    def read(name: str, value: object) -> str:
        text = clean(value) if isinstance(value, str) else value
        if text in words:
            return str(text)
        raise wrong_setting(name.lower(), problem)

    return read


def _seconds(name: str, value: object) -> timedelta:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and 0 < cast("float", value) <= _LONGEST:
        return timedelta(seconds=cast("float", value))
    raise wrong_setting(name.lower(), "must be seconds, more than 0 and of ten years at the most")


_READERS: dict[str, Callable[[str, object], Any]] = {
    "TRANSPORT": _transport,
    "VERIFY_CALLBACKS": _flag,
    "CALLBACK_BASE_URL": _base_url,
    "CALLBACK_NETWORKS": _networks,
    "TRUSTED_PROXIES": _proxies,
    "APPLY_CALLBACKS": _one_of("inline", "worker"),
    "NOT_FOUND_AFTER": _seconds,
    "STUCK_AFTER": _seconds,
    "SEND": _one_of(*get_args(SentBy)),
    "SEND_WITHIN": _seconds,
}
ACCOUNT_SETTINGS = tuple(_READERS)
"""The settings of an account that are not the client's."""
