"""The settings of one M-Pesa account as the client needs them, and where they may come from.

How a single setting's value is read is in `values`; what else an account has is in `account`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...version import __version__
from ..errors import ConfigurationError, wrong_setting
from ..markets.mozambique import MOZAMBIQUE
from ..protocol.authentication import check_api_key_fits, normalise_api_key
from ..protocol.market import Environment
from ..redaction import SECRET_SETTINGS, forgetful_calls, remember_secrets, secret
from . import values
from .public_key import normalise_public_key

logger: logging.Logger = logging.getLogger("mpesa_integrations")

DEFAULT_USER_AGENT = f"mpesa-integrations/{__version__}"
"""The gateway stands behind a firewall that turns away requests that name no program."""
KEY_PREFIX = "MPESA_"

_ACCOUNT_SETTINGS = (
    "api_key",
    "public_key",
    "service_provider_code",
    "initiator_identifier",
    "security_credential",
)


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
    timeout: tuple[float, float] = values.DEFAULT_TIMEOUT
    initiator_identifier: str | None = field(default=None, repr=False)
    security_credential: str | None = field(default=None, repr=False)
    callback_token: str | None = field(default=None, repr=False)
    msisdn_prefixes: tuple[str, ...] = MOZAMBIQUE.numbering.prefixes
    retries: int = 2

    def __post_init__(self) -> None:
        checks = {
            "environment": values.read_environment(self.environment, self.market),
            "api_key": normalise_api_key(self.api_key),
            "public_key": normalise_public_key(self.public_key),
            "service_provider_code": values.read_shortcode(self.service_provider_code, self.market),
            "host": values.read_host(self.host),
            "port": values.read_port(self.port),
            "endpoints": values.read_endpoints(self.endpoints, self.market),
            "proxy": values.read_proxy(self.proxy),
            "ssl": values.read_flag("ssl", self.ssl),
            "verify": values.read_verify(self.verify),
            "origin": values.read_header(
                "origin", self.origin, f"a host name, as in {self.market.origin}, or *"
            ),
            "user_agent": values.read_header(
                "user_agent", self.user_agent, "a program's name, as in shop/2"
            ),
            "timeout": values.read_timeout(self.timeout),
            "initiator_identifier": values.read_optional_text(
                "initiator_identifier", self.initiator_identifier
            ),
            "security_credential": values.read_optional_text(
                "security_credential", self.security_credential
            ),
            "callback_token": values.read_callback_token(self.callback_token),
            "msisdn_prefixes": values.read_prefixes(self.msisdn_prefixes, self.market),
            "retries": values.read_retries(self.retries),
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
        place = self.endpoints.get(operation)
        host, port = values.split_place(place) if place else ("", "")
        return host or self.address, int(port) if port else self.port_for(documented_port)

    def calls(self, environment: str) -> bool:
        """Whether any operation goes to a host of an environment, however it was set."""
        theirs = set(self.market.environments[environment].hosts)
        if environment != self.environment:
            # In some markets two environments have one host.
            theirs.difference_update(self._place.hosts)
        places = (values.split_place(place)[0] for place in self.endpoints.values())
        return any(host.lower() in theirs for host in (self.address, *places))

    @property
    def _place(self) -> Environment:
        return self.market.environments[self.environment]

    def _refuse_shared_shortcode(self) -> None:
        shared = self.market.sandbox_shortcode
        if self.service_provider_code == shared and self.calls("production"):
            raise wrong_setting(
                "service_provider_code",
                f"is the sandbox's {shared}, and the live gateway is called: others would be paid; "
                "use the shortcode of your contract",
            )

    def _refuse_unsafe_transport(self) -> None:
        if self.environment == "production" and self.verify is False:
            raise wrong_setting(
                "verify", "is off in production; use True, or the path of the gateway's CA bundle"
            )
        if not self.ssl and (self.environment == "production" or not self.host):
            raise wrong_setting("ssl", "is off; the gateway speaks HTTPS only, so set ssl to True")
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


def _setting_of(key: str) -> str:
    name = key[len(KEY_PREFIX) :].lower()
    if name in CLIENT_SETTINGS:
        return name
    raise unknown_setting(name, CLIENT_SETTINGS, prefix=KEY_PREFIX)


def unknown_setting(name: str, known: Iterable[str], *, prefix: str = "") -> ConfigurationError:
    """Make the error for what is no setting, with the one that may have been meant.

    Args:
        name: what was given.
        known: the names of all that are settings.
        prefix: what the reader writes before each.
    """
    import difflib  # only for who mistyped a setting

    close = difflib.get_close_matches(name.upper(), [setting.upper() for setting in known], n=1)
    hint = f" (did you mean {prefix}{close[0]}?)" if close else ""
    return ConfigurationError(
        f"{prefix}{name.upper()} is not a setting of M-Pesa{hint}", setting=name.lower()
    )


CLIENT_SETTINGS = tuple(f.name for f in fields(MpesaConfig))
