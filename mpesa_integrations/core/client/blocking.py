"""The blocking client: checks a call, sends it, reads the answer, and raises what it must.

Records, states and signals are not its business.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, cast
from urllib.parse import urlencode

import marshmallow
from urllib3.util import Retry

from ..errors import (
    AuthenticationError,
    ConfigurationError,
    DuplicateTransaction,
    GatewayUnavailable,
    MpesaError,
    OutcomeUnknown,
    PaymentDeclined,
    ValidationError,
    nothing_sent,
)
from ..messages import Message
from ..protocol.answers import read_answer
from ..protocol.authentication import encrypt_api_key
from ..protocol.codes import Kind
from ..protocol.http import HttpRequest, HttpResponse, NoAnswer, NotConnected, Transport
from ..protocol.market import Market
from ..protocol.operations import Operation
from ..protocol.references import new_third_party_reference
from ..protocol.results import CustomerNameResult, Result, TransactionStatusResult
from ..protocol.schemas import RequestSchema
from ..redaction import Secret, forgetful_calls
from ..sentry import keep_from_sentry
from ..settings.client import MpesaConfig
from ..telemetry import note_duration
from .transport import RequestsTransport

logger = logging.getLogger("mpesa_integrations")

_BACKOFF = 0.25  # seconds before the second retry, doubled each time; the first is sent at once
_BACKOFF_JITTER = 0.25
_METHODS = ("GET", "POST", "PUT")

_ERRORS: dict[Kind, type[MpesaError]] = {
    Kind.FAILED: PaymentDeclined,
    Kind.CANCELLED: PaymentDeclined,
    Kind.DUPLICATE: DuplicateTransaction,
    Kind.VALIDATION: ValidationError,
    Kind.AUTHENTICATION: AuthenticationError,
    Kind.NOT_ACCEPTED: GatewayUnavailable,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedRequest:
    """A checked and normalised call, ready to be recorded and then sent.

    Attributes:
        operation: the row of the operation table.
        values: the arguments as normalised: the amount a Decimal, the MSISDN `258…`.
        parameters: the same as the gateway's parameters, all text. May hold a secret.
        third_party_reference: the reference that this request is known by.
    """

    operation: Operation
    values: Mapping[str, Any] = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)
    third_party_reference: str


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


@forgetful_calls
class MpesaClient:
    """A client of the M-Pesa gateway, to be made once per account and shared by all threads.

    A call returns when the gateway said yes: `result.kind` is `Kind.SUCCESS`, or `Kind.ACCEPTED`
    for an account in asynchronous mode, whose result comes by callback. Every other outcome raises
    an `MpesaError` that carries the result. `OutcomeUnknown` means that money may have moved.

    Args:
        config: the settings, or a function that returns the current ones (asked at each call, so
            that a renewed API key is used from the next call on).
        transport: another way to send bytes; requests over pooled connections when left out.
    """

    def __init__(
        self,
        config: MpesaConfig | Callable[[], MpesaConfig],
        *,
        transport: Transport | None = None,
    ) -> None:
        self._source = config
        self._transport: Transport = transport or RequestsTransport()
        self._bearer: tuple[str, str, str] = ("", "", "")
        self._schemas: dict[tuple[str, tuple[str, ...]], RequestSchema] = {}
        self._lock = threading.Lock()

    @property
    def config(self) -> MpesaConfig:
        """The settings that the next call uses."""
        return self._source if isinstance(self._source, MpesaConfig) else self._source()

    @property
    def longest_call(self) -> timedelta:
        """The time after which a call that was begun is neither answered nor sent again."""
        config = self.config
        connect, read = config.timeout
        waits = sum(_BACKOFF * 2**n + _BACKOFF_JITTER for n in range(1, config.retries))
        # An answer's head and its body may each take the time to read.
        return timedelta(seconds=(config.retries + 1) * (connect + 2 * read) + waits)

    def renew(self, *, api_key: str) -> None:
        """Use another API key from the next call on; calls under way end with the old one.

        Raises:
            ConfigurationError: the key cannot be used, or the client was given a function, which
                must itself return the renewed key.
        """
        with self._lock:
            if not isinstance(self._source, MpesaConfig):
                raise ConfigurationError(
                    "api_key comes from the function that the client was given; renew it there",
                    setting="api_key",
                )
            self._source = replace(self._source, api_key=api_key)

    def close(self) -> None:
        """Close the pooled connections."""
        self._transport.close()

    def __enter__(self) -> MpesaClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def c2b(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Take a payment from a customer, who confirms it with the PIN on the phone.

        Args:
            msisdn: the customer's number, as typed (`84 123 4567`) or normalised.
            amount: meticais with at most 2 decimals; never a float.
            reference: what the customer and the statement see, 1 to 20 characters, or a whole
                number.
            third_party_reference: 1 to 20 letters and digits, unique per request; made if left out.

        Returns:
            The result, of kind success (with a transaction ID) or accepted (result by callback).

        Raises:
            ValidationError: an argument is wrong; nothing moved.
            PaymentDeclined: failed or cancelled; nothing moved.
            AuthenticationError: the credentials were refused; nothing moved.
            DuplicateTransaction: the third-party reference was used before, by another request.
            GatewayUnavailable: surely not accepted; safe to try again.
            OutcomeUnknown: may have been accepted; query it, never send it again.

        Source: docs/protocol.md, "Call context".
        """
        return self.send(
            self.prepare(
                "c2b",
                msisdn=msisdn,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    def b2c(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Pay out to a customer. Arguments, result and errors as for `c2b`."""
        return self.send(
            self.prepare(
                "b2c",
                msisdn=msisdn,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    def b2b(
        self,
        *,
        receiver_shortcode: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Pay another business.

        Args:
            receiver_shortcode: the other business's shortcode, 5 or 6 digits.
            amount: as for `c2b`.
            reference: as for `c2b`.
            third_party_reference: as for `c2b`.

        Returns and raises as `c2b` does.
        """
        return self.send(
            self.prepare(
                "b2b",
                receiver_shortcode=receiver_shortcode,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    def reverse(
        self,
        *,
        transaction_id: str,
        amount: str | int | Decimal | None = None,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Give a transaction's money back, the whole of it or a part.

        Args:
            transaction_id: the transaction to reverse, as `4XDF12345`.
            amount: meticais to give back; None means all.
            third_party_reference: of this reversal, not of the payment; made if left out.

        Returns and raises as `c2b` does, and:

        Raises:
            ConfigurationError: `initiator_identifier` or `security_credential` is not configured.
        """
        return self.send(
            self.prepare(
                "reversal",
                transaction_id=transaction_id,
                amount=amount,
                third_party_reference=third_party_reference,
            )
        )

    def query_transaction_status(
        self, *, query_reference: str, third_party_reference: str | None = None
    ) -> TransactionStatusResult:
        """Ask where a transaction stands.

        Args:
            query_reference: its transaction ID, conversation ID or third-party reference.
            third_party_reference: of this query itself; made if left out.

        Returns:
            A result whose `transaction_status` tells; None there means the gateway said `N/A`.

        Raises:
            ValidationError: an argument is wrong.
            AuthenticationError: the credentials were refused.
            GatewayUnavailable: no readable answer; safe to ask again.
        """
        request = self.prepare(
            "query_transaction_status",
            query_reference=query_reference,
            third_party_reference=third_party_reference,
        )
        return cast("TransactionStatusResult", self.send(request))

    def query_customer_name(
        self, *, msisdn: str, third_party_reference: str | None = None
    ) -> CustomerNameResult:
        """Ask for the name a phone number is registered under, partly masked by the gateway.

        Args:
            msisdn: the customer's number, as typed or normalised.
            third_party_reference: of this query itself; made if left out.

        Raises as `query_transaction_status` does.
        """
        request = self.prepare(
            "query_customer_name", msisdn=msisdn, third_party_reference=third_party_reference
        )
        environment = self.config.environment
        try:
            return cast("CustomerNameResult", self.send(request))
        except AuthenticationError as error:
            code = error.result.code
            if code != request.operation.absent_in_sandbox or environment != "sandbox":
                raise
            raise AuthenticationError(
                f"{error}. The sandbox has no customer name service: ask in production, or the "
                "local gateway",
                result=error.result,
                third_party_reference=error.third_party_reference,
            ) from None

    def call(self, context: CallContext) -> Result:
        """Call any path of the gateway, also one this library has no method for.

        Args:
            context: the call, as the gateway's documentation describes one.

        Returns and raises as the named methods do, by the code of the answer.

        Raises:
            ConfigurationError: the context cannot be called as it stands.
        """
        config = self._config_for(context)
        method = context.method.upper()
        if method not in _METHODS:
            raise ConfigurationError(
                f"method must be one of {', '.join(_METHODS)}", setting="method"
            )
        if not context.path.startswith("/"):
            raise ConfigurationError("path must begin with /", setting="path")
        moves_money = method != "GET" if context.moves_money is None else context.moves_money
        operation = Operation(
            name="call",
            method=method,
            port=context.port or 443,
            path=context.path,
            request_schema=RequestSchema,
            answer_schema=config.market.answer_schema,
            moves_money=moves_money,
        )
        reference = context.parameters.get(config.market.reference_parameter)
        return self._send(config, operation, context.parameters, reference, context.headers)

    def prepare(self, operation_name: str, **arguments: Any) -> PreparedRequest:
        """Check a call's arguments and fill in what the account knows, sending nothing.

        Args:
            operation_name: `c2b`, `b2c`, `b2b`, `reversal`, `query_transaction_status` or
                `query_customer_name`.
            arguments: those of the method of that name; None counts as left out.

        Raises:
            ValidationError: with a message per wrong argument.
            ConfigurationError: a setting that the operation needs is missing.
        """
        keep_from_sentry()
        config = self.config
        operation = config.market.operations[operation_name]
        given = {name: value for name, value in arguments.items() if value is not None}
        given.setdefault("third_party_reference", new_third_party_reference())
        given["service_provider_code"] = config.service_provider_code
        if operation.name == "reversal":
            given.update(_reversal_credentials(config))
        schema = self._schema(operation, config)
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

    def send(self, request: PreparedRequest) -> Result:
        """Send a prepared request; returns and raises as the method that it was prepared for.

        Sent at most once, except that a request which surely was not accepted (no connection came
        about, or `INS-16`) is sent again up to `config.retries` times.
        """
        return self._send(
            self.config, request.operation, request.parameters, request.third_party_reference
        )

    def _send(
        self,
        config: MpesaConfig,
        operation: Operation,
        parameters: Mapping[str, str],
        reference: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        keep_from_sentry()
        http_request = self._http_request(config, operation, parameters, headers)
        started = time.monotonic()
        retry = Retry(total=config.retries, backoff_factor=_BACKOFF, backoff_jitter=_BACKOFF_JITTER)
        answered_before = False
        while True:
            result, not_connected = self._attempt(
                config.market, operation, http_request, reference, started
            )
            if result is not None:
                result = _of_its_own(result) if answered_before else result
                answered_before = True
            again = not_connected.retryable if not_connected else _was_not_accepted(result)
            if not again or retry.total == 0:
                break
            logger.info(
                "call.retried operation=%s third_party_reference=%s", operation.name, reference
            )
            retry = retry.increment(error=None)
            retry.sleep()
        if result is None:
            raise GatewayUnavailable(
                f"Nothing was sent: {not_connected}", third_party_reference=reference
            ) from not_connected
        if result.kind in (Kind.SUCCESS, Kind.ACCEPTED):
            return result
        raise _error_for(config.market, operation, result)

    def _attempt(
        self,
        market: Market,
        operation: Operation,
        http_request: HttpRequest,
        reference: str | None,
        started: float,
    ) -> tuple[Result | None, NotConnected | None]:
        """Send once. Gives the result, or the error that proves that nothing was sent."""
        try:
            response = self._transport.send(http_request)
        except NotConnected as error:
            logger.warning(
                "call.not_connected operation=%s third_party_reference=%s problem=%s",
                operation.name,
                reference,
                error,
            )
            return None, error
        except NoAnswer as error:
            elapsed = time.monotonic() - started
            note_duration(operation.name, "no_answer", elapsed)
            logger.warning(
                "call.no_answer operation=%s third_party_reference=%s problem=%s elapsed=%.3f",
                operation.name,
                reference,
                error,
                elapsed,
            )
            raise _unanswered(operation, error, reference) from error
        return _read(market, operation, response, reference, started), None

    def _http_request(
        self,
        config: MpesaConfig,
        operation: Operation,
        parameters: Mapping[str, str],
        headers: Mapping[str, str] | None,
    ) -> HttpRequest:
        url = _url(config, operation)
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
                "Authorization": Secret(f"Bearer {self._bearer_for(config)}"),
                "Origin": config.origin,
                "User-Agent": config.user_agent,
                **(headers or {}),
            },
            body=body,
            timeout=config.timeout,
            verify=config.verify,
            proxy=config.proxy,
        )

    def _bearer_for(self, config: MpesaConfig) -> str:
        kept = self._bearer
        if kept[0] != config.api_key or kept[1] != config.public_key:
            # One assignment, so another thread sees the old token or the new one, never a mixture.
            token = encrypt_api_key(config.api_key, config.public_key)
            kept = self._bearer = (config.api_key, config.public_key, token)
        return kept[2]

    def _schema(self, operation: Operation, config: MpesaConfig) -> RequestSchema:
        # Making a marshmallow schema costs more than checking a payment with it.
        key = (operation.name, config.msisdn_prefixes)
        schema = self._schemas.get(key)
        if schema is None:
            schema = operation.request_schema(
                numbering=config.market.numbering, msisdn_prefixes=config.msisdn_prefixes
            )
            self._schemas[key] = schema
        return schema

    def _config_for(self, context: CallContext) -> MpesaConfig:
        changes: dict[str, Any] = {
            "host": context.address,
            "port": context.port,
            "ssl": context.ssl,
            "api_key": context.api_key,
            "public_key": context.public_key,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self.config, **given) if given else self.config


def _url(config: MpesaConfig, operation: Operation) -> str:
    address, port = config.address_for(operation.name, operation.port)
    # An IPv6 address can have a zone, whose % is written so in a URL (RFC 6874).
    host = f"[{address.replace('%', '%25')}]" if ":" in address else address
    scheme = "https" if config.ssl else "http"
    return f"{scheme}://{host}:{port}{operation.path}"


def _reversal_credentials(config: MpesaConfig) -> dict[str, str]:
    found = {
        "initiator_identifier": config.initiator_identifier,
        "security_credential": config.security_credential,
    }
    for setting, value in found.items():
        if value is None:
            raise ConfigurationError(
                f"{setting} is missing; a reversal needs it, and it comes with the account",
                setting=setting,
            )
    return cast("dict[str, str]", found)


def _was_not_accepted(result: Result | None) -> bool:
    return result is not None and result.kind is Kind.NOT_ACCEPTED


def _of_its_own(result: Result) -> Result:
    """A later attempt's result: what it duplicates may be the attempt before, which got in."""
    if result.kind is not Kind.DUPLICATE:
        return result
    told = f"An earlier attempt of this call may have got in: {result.description}"
    return replace(result, kind=Kind.UNKNOWN, description=told)


def _read(
    market: Market,
    operation: Operation,
    response: HttpResponse,
    reference: str | None,
    started: float,
) -> Result:
    result = read_answer(
        operation,
        market.codes,
        http_status=response.status,
        body=response.body,
        third_party_reference=reference,
        elapsed=time.monotonic() - started,
    )
    note_duration(operation.name, result.kind.value, result.elapsed)
    logger.info(
        "call.answered operation=%s third_party_reference=%s code=%s kind=%s http_status=%s "
        "conversation_id=%s transaction_id=%s elapsed=%.3f",
        operation.name,
        reference,
        result.code,
        result.kind,
        result.http_status,
        result.conversation_id,
        result.transaction_id,
        result.elapsed,
    )
    return result


def _unanswered(operation: Operation, error: NoAnswer, reference: str | None) -> MpesaError:
    if operation.moves_money:
        return OutcomeUnknown(
            f"Outcome unknown: {error}. The request may have been accepted: query its status "
            f"with third-party reference {reference}, and do not send it again",
            third_party_reference=reference,
        )
    return GatewayUnavailable(
        f"No answer: {error}. It was only a question: it may be asked again",
        third_party_reference=reference,
    )


def _error_for(market: Market, operation: Operation, result: Result) -> MpesaError:
    reference = result.third_party_reference
    label = f"{result.code} {result.description}" if result.code else result.description
    text = f"{label} (third-party reference {reference})" if reference else label
    if result.kind is Kind.VALIDATION and result.code is not None:
        argument = market.argument_of_code.get(result.code, "request")
        problem = Message(
            "%(code)s %(meaning)s",
            english=label,  # as the gateway worded it
            code=result.code.value,
            meaning=result.code.meaning,
        )
        return ValidationError(
            text,
            errors={argument: [problem]},
            result=result,
            third_party_reference=reference,
        )
    unknown = OutcomeUnknown if operation.moves_money else GatewayUnavailable
    return _ERRORS.get(result.kind, unknown)(text, result=result, third_party_reference=reference)
