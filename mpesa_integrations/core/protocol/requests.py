"""From a call's arguments to an HTTP request: checked, in the gateway's words, and addressed.

Nothing is sent, and no reference is made: a reference needs the clock, so who calls gives one.
What comes back is in `outcomes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, cast
from urllib.parse import urlencode

import marshmallow

from ..errors import ConfigurationError, nothing_sent
from ..redaction import Secret
from .http import HttpRequest
from .market import Market
from .msisdn import Numbering
from .operations import Operation
from .schemas import RequestSchema

_METHODS = ("GET", "POST", "PUT")
_OF_THE_ACCOUNT = ("service_provider_code", "initiator_identifier", "security_credential")


class GatewaySettings(Protocol):
    """What a request needs to know of an account's settings; `MpesaConfig` is such."""

    @property
    def market(self) -> Market:
        """Whose gateway it is."""

    @property
    def environment(self) -> str:
        """One of the market's environments."""

    @property
    def service_provider_code(self) -> str:
        """The business's shortcode."""

    @property
    def initiator_identifier(self) -> str | None:
        """What a reversal needs."""

    @property
    def security_credential(self) -> str | None:
        """What a reversal needs."""

    @property
    def msisdn_prefixes(self) -> tuple[str, ...]:
        """The operator prefixes that are accepted."""

    @property
    def ssl(self) -> bool:
        """Whether to use HTTPS."""

    @property
    def verify(self) -> bool | str:
        """As of `HttpRequest`."""

    @property
    def origin(self) -> str:
        """The `Origin` header."""

    @property
    def user_agent(self) -> str:
        """The `User-Agent` header."""

    @property
    def timeout(self) -> tuple[float, float]:
        """As of `HttpRequest`."""

    @property
    def proxy(self) -> str | None:
        """As of `HttpRequest`."""

    @property
    def retries(self) -> int:
        """How often a request that surely was not accepted is sent again."""

    def address_for(self, operation: str, documented_port: int) -> tuple[str, int]:
        """The host and port that are called for an operation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedRequest:
    """A checked and normalised call, ready to be recorded and then sent.

    Attributes:
        operation: the row of the operation table.
        values: the arguments as normalised: the amount a Decimal, the MSISDN `258…`.
        parameters: the same as the gateway's parameters, all text. May hold a secret.
        third_party_reference: the reference that this request is known by.
        time_left: as of `HttpRequest`.
    """

    operation: Operation
    values: Mapping[str, Any] = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)
    third_party_reference: str
    time_left: Callable[[], float] | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallContext:
    """A call as the gateway's documentation describes one; docs/protocol.md, "Call context".

    Attributes:
        method: `GET`, `POST` or `PUT`.
        path: the path, beginning with `/`.
        parameters: sent as a JSON body, or with GET as the query string.
        port: port number; None means the configuration's, or 443.
        address: host; None means the configuration's.
        ssl: whether to use HTTPS; None means as configured.
        headers: headers added to, or put in place of, the usual ones.
        api_key: another API key than the configuration's.
        public_key: another public key than the configuration's, in any accepted form.
        moves_money: whether an unanswered call must not be repeated; None means all but GET.
    """

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    port: int | None = None
    address: str | None = None
    ssl: bool | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_key: str | None = field(default=None, repr=False)
    public_key: str | None = field(default=None, repr=False)
    moves_money: bool | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the context puts in place of the account's."""
        found = {
            "host": self.address,
            "port": self.port,
            "ssl": self.ssl,
            "api_key": self.api_key,
            "public_key": self.public_key,
        }
        return {name: value for name, value in found.items() if value is not None}


def prepare(
    operation_name: str, arguments: Mapping[str, Any], settings: GatewaySettings
) -> PreparedRequest:
    """Check a call's arguments, and add what the account knows.

    Args:
        operation_name: a row of the market's table, as `c2b`.
        arguments: by their Python names, `third_party_reference` among them.
        settings: the account's.

    Raises:
        ValidationError: with a message per wrong argument.
        ConfigurationError: a setting that the operation needs is missing.
    """
    market = settings.market
    operation = market.operations[operation_name]
    schema = _schema(operation.request_schema, market.numbering, settings.msisdn_prefixes)
    given = {**arguments, **_known_to_the_account(operation, schema, settings)}
    try:
        values = schema.load(given)
    except marshmallow.ValidationError as error:
        raise nothing_sent(cast("dict[str, list[str]]", error.messages)) from None
    return PreparedRequest(
        operation=operation,
        values=values,
        parameters=schema.parameters(values),
        third_party_reference=values["third_party_reference"],
    )


def operation_of(context: CallContext, market: Market) -> Operation:
    """Give a call that is in no table its row.

    Raises:
        ConfigurationError: the context cannot be called as it stands.
    """
    method = context.method.upper()
    if method not in _METHODS:
        raise ConfigurationError(f"method must be one of {', '.join(_METHODS)}", setting="method")
    if not context.path.startswith("/"):
        raise ConfigurationError("path must begin with /", setting="path")
    return Operation(
        name="call",
        method=method,
        port=context.port or 443,
        path=context.path,
        request_schema=RequestSchema,
        answer_schema=market.answer_schema,
        moves_money=method != "GET" if context.moves_money is None else context.moves_money,
    )


def http_request(
    operation: Operation,
    parameters: Mapping[str, str],
    settings: GatewaySettings,
    *,
    bearer: str,
    headers: Mapping[str, str] | None = None,
) -> HttpRequest:
    """Make the HTTP request of a call; docs/protocol.md, "Call context".

    Args:
        operation: what is called.
        parameters: the gateway's parameters, all text.
        settings: the account's.
        bearer: the token of the `Authorization` header, without the word `Bearer`.
        headers: headers added to, or put in place of, the usual ones.
    """
    url = _url(operation, settings)
    body = None
    if operation.method == "GET":
        query = urlencode(parameters)
        url = f"{url}?{query}" if query else url
    else:
        body = json.dumps(dict(parameters)).encode()
    return HttpRequest(
        method=operation.method,
        url=url,
        headers={
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Authorization": Secret(f"Bearer {bearer}"),
            "Origin": settings.origin,
            "User-Agent": settings.user_agent,
            **(headers or {}),
        },
        body=body,
        timeout=settings.timeout,
        verify=settings.verify,
        proxy=settings.proxy,
    )


@lru_cache(maxsize=256)
def _schema(
    schema: type[RequestSchema], numbering: Numbering, prefixes: tuple[str, ...]
) -> RequestSchema:
    # Making a marshmallow schema costs more than checking a payment with it.
    return schema(numbering=numbering, msisdn_prefixes=prefixes)


def _known_to_the_account(
    operation: Operation, schema: RequestSchema, settings: GatewaySettings
) -> dict[str, str]:
    found = {}
    for setting in _OF_THE_ACCOUNT:
        if setting not in schema.fields:
            continue
        value = getattr(settings, setting)
        if value is None:
            raise ConfigurationError(
                f"{setting} is missing; a {operation.name} needs it, and it comes with the account",
                setting=setting,
            )
        found[setting] = value
    return found


def _url(operation: Operation, settings: GatewaySettings) -> str:
    address, port = settings.address_for(operation.name, operation.port)
    # An IPv6 address can have a zone, whose % is written so in a URL (RFC 6874).
    host = f"[{address.replace('%', '%25')}]" if ":" in address else address
    scheme = "https" if settings.ssl else "http"
    place = settings.market.environments[settings.environment].path
    return f"{scheme}://{host}:{port}{place}{operation.path}"
