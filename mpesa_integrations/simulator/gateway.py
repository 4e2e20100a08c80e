"""The gateway's HTTP face: bearer, parameters, operation, answer.

Source: docs/protocol.md.

Its checks are its own and not the library's schemas, so that a mistake in one is seen by the other.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from mpesa_integrations.core.markets.mozambique.codes import ResponseCode
from mpesa_integrations.core.masking import mask_msisdn

from .calls import Call, outcome_of, shorten, shown_body, shown_parameters, shown_text
from .ledger import DuplicateReference, Transaction
from .scenarios import SUCCESS, Processing, Reply, Scenario

if TYPE_CHECKING:
    from .server import Simulator

logger = logging.getLogger("mpesa_integrations.simulator")

CUT = "mpesa.cut"
"""The WSGI environment's key by which an answer asks the server to cut the connection instead."""
UNKNOWN_RECEIVER = "999999"
"""A shortcode that no business has."""
_PREFIX = "/ipg/v1x/"
_NOT_APPLICABLE = "N/A"
_HUGE = 2 * 1024 * 1024
_FIRST_NAMES = ("Am**ia", "Jo*o", "Ma**a", "Ca**os", "Fa**ma", "Pe**o", "Ce**a", "An**nio")
_LAST_NAMES = ("Ma**el", "Si**e", "Co**a", "Nh**tumbo", "Mu**nga", "Ta**e", "Ch**ano")

CUT_BY_SCENARIO = "The connection was cut by a scenario"
"""What the journal says of a call that got no answer."""

Parameters = dict[str, str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation as the gateway serves it.

    Attributes:
        required: the parameters that must be there.
        optional: those that may be.
    """

    operation: str
    method: str
    port: int
    path: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_PAYMENT = (
    "input_TransactionReference",
    "input_CustomerMSISDN",
    "input_Amount",
    "input_ThirdPartyReference",
    "input_ServiceProviderCode",
)
ENDPOINTS = (
    Endpoint("c2b", "POST", 18352, "c2bPayment/singleStage/", _PAYMENT),
    Endpoint("b2c", "POST", 18345, "b2cPayment/", _PAYMENT),
    Endpoint(
        "b2b",
        "POST",
        18349,
        "b2bPayment/",
        (
            "input_TransactionReference",
            "input_Amount",
            "input_ThirdPartyReference",
            "input_PrimaryPartyCode",
            "input_ReceiverPartyCode",
        ),
    ),
    Endpoint(
        "reversal",
        "PUT",
        18354,
        "reversal/",
        (
            "input_TransactionID",
            "input_SecurityCredential",
            "input_InitiatorIdentifier",
            "input_ThirdPartyReference",
            "input_ServiceProviderCode",
        ),
        ("input_ReversalAmount",),
    ),
    Endpoint(
        "query_transaction_status",
        "GET",
        18353,
        "queryTransactionStatus/",
        ("input_QueryReference", "input_ServiceProviderCode", "input_ThirdPartyReference"),
    ),
    Endpoint(
        "query_customer_name",
        "GET",
        19323,
        "queryCustomerName/",
        ("input_CustomerMSISDN", "input_ServiceProviderCode", "input_ThirdPartyReference"),
    ),
)
DOCUMENTED_PORTS = tuple(endpoint.port for endpoint in ENDPOINTS)


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request is answered with a code instead of being carried out."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def gateway_blueprint(simulator: Simulator) -> Blueprint:
    """Make the six operations' routes."""
    blueprint = Blueprint("gateway", __name__)
    for endpoint in ENDPOINTS:
        blueprint.add_url_rule(
            _PREFIX + endpoint.path,
            endpoint.operation,
            _view(simulator, endpoint),
            methods=[endpoint.method],
            # Clients that leave the last slash out are served, not redirected.
            strict_slashes=False,
            # Flask would answer OPTIONS on its own.
            provide_automatic_options=False,
        )
    return blueprint


def _view(simulator: Simulator, endpoint: Endpoint) -> Callable[[], Response]:
    def view() -> Response:
        port = int(request.environ["SERVER_PORT"])
        if simulator.documented_ports and port in DOCUMENTED_PORTS and port != endpoint.port:
            return Response(status=404)
        parameters: Parameters = {}
        at, started = datetime.now(timezone.utc), time.monotonic()
        try:
            _authenticate(simulator)
            parameters = _read_parameters(endpoint)
            _check(simulator, endpoint, parameters)
            response = _carry_out(simulator, endpoint, parameters)
        except Refused as refused:
            response = _answer(endpoint, parameters, refused.code)
        logger.info(
            "gateway.answered operation=%s third_party_reference=%r http_status=%s",
            endpoint.operation,
            parameters.get("input_ThirdPartyReference"),
            response.status_code,
        )
        simulator.calls.record(_journal_entry(endpoint, response, at, time.monotonic() - started))
        return response

    return view


def _journal_entry(endpoint: Endpoint, response: Response, at: datetime, seconds: float) -> Call:
    """What the journal keeps of a call: no secret, no whole phone number."""
    parameters = _parameters_for_journal(endpoint)
    cut = bool(request.environ.get(CUT))
    try:
        fields = {} if cut else json.loads(response.get_data())
    except ValueError:
        fields = {}
    code = fields.get("output_ResponseCode") or fields.get("output_ResultCode") or ""
    accepted = (
        endpoint.method != "GET"
        and code == "INS-0"
        and fields.get("output_TransactionID") == _NOT_APPLICABLE
    )
    amount = parameters.get("input_Amount") or parameters.get("input_ReversalAmount")
    msisdn = parameters.get("input_CustomerMSISDN")
    headers = {
        name: request.headers[name]
        for name in ("Content-Type", "Origin", "User-Agent")
        if name in request.headers
    }
    authorization = request.headers.get("Authorization", "")
    scheme = "Bearer " if authorization.startswith("Bearer ") else ""
    lines = [
        f"{request.method} {request.base_url}",
        f"Authorization: {scheme}{shorten(authorization.removeprefix(scheme))}",
        *(f"{name}: {shown_text(value)}" for name, value in headers.items()),
        "",
        shown_parameters(parameters) if parameters else "(no parameters that can be read)",
    ]
    return Call(
        at=at,
        kind="call",
        operation=endpoint.operation,
        code=code,
        outcome=outcome_of(code, accepted=accepted),
        http_status=None if cut else response.status_code,
        seconds=seconds,
        msisdn=mask_msisdn(msisdn) if isinstance(msisdn, str) else "",
        amount=_readable_amount(amount),
        transaction_reference=_short_text(parameters.get("input_TransactionReference")),
        third_party_reference=_short_text(parameters.get("input_ThirdPartyReference")),
        sent="\n".join(lines),
        answered="" if cut else shown_body(response.get_data(as_text=True)),
        problem=CUT_BY_SCENARIO if cut else "",
    )


def _parameters_for_journal(endpoint: Endpoint) -> dict[str, Any]:
    """The parameters as sent, also where the call was refused before they were looked at."""
    if endpoint.method == "GET":
        return request.args.to_dict()
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _readable_amount(value: Any) -> Decimal | None:
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() and abs(amount) < 10**15 else None


def _short_text(value: Any) -> str:
    return shown_text(value[:50]) if isinstance(value, str) else ""


def _authenticate(simulator: Simulator) -> None:
    if not simulator.credentials.accepts(request.headers.get("Authorization")):
        raise Refused("INS-2")


def _read_parameters(endpoint: Endpoint) -> Parameters:
    if endpoint.method == "GET":
        return request.args.to_dict()
    try:
        body = json.loads(request.get_data(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refused("INS-21") from None
    if not isinstance(body, dict):
        raise Refused("INS-21")
    known = {name: body[name] for name in endpoint.required + endpoint.optional if name in body}
    # The gateway's parameters are all text: an amount as a JSON number is refused too.
    if not all(isinstance(value, str) for value in known.values()):
        raise Refused("INS-21")
    return known


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


# Parameter -> (pattern, code if it does not match).
_FORMATS: dict[str, tuple[re.Pattern[str], str]] = {
    "input_TransactionReference": (re.compile(r"[^\x00-\x1f\x7f]{1,20}"), "INS-17"),
    "input_CustomerMSISDN": (re.compile(r"2588[45][0-9]{7}"), "INS-2051"),
    "input_Amount": (re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?"), "INS-15"),
    "input_ReversalAmount": (re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?"), "INS-15"),
    "input_ThirdPartyReference": (re.compile(r"[A-Za-z0-9]{1,50}"), "INS-19"),
    "input_ServiceProviderCode": (re.compile(r"[0-9]{5,6}"), "INS-13"),
    "input_PrimaryPartyCode": (re.compile(r"[0-9]{5,6}"), "INS-13"),
    "input_ReceiverPartyCode": (re.compile(r"[0-9]{5,6}"), "INS-13"),
    "input_TransactionID": (re.compile(r"[A-Za-z0-9]{1,50}"), "INS-18"),
    "input_QueryReference": (re.compile(r"[A-Za-z0-9_-]{1,50}"), "INS-14"),
}


_OWN_IDS = ("input_TransactionID", "input_QueryReference")


def _check(simulator: Simulator, endpoint: Endpoint, parameters: Parameters) -> None:
    """Refuse what the gateway refuses, by the code that fits."""
    if any(name not in parameters for name in endpoint.required):
        raise Refused("INS-20")
    for name, value in parameters.items():
        if name not in _FORMATS or _FORMATS[name][0].fullmatch(value):
            continue
        # Its own IDs it knows again, whatever shape a test gave them.
        if name not in _OWN_IDS or simulator.ledger.find(value) is None:
            raise Refused(_FORMATS[name][1])
    for name in ("input_Amount", "input_ReversalAmount"):
        if name in parameters and Decimal(parameters[name]) <= 0:
            raise Refused("INS-15")
    for name in ("input_ServiceProviderCode", "input_PrimaryPartyCode"):
        if name in parameters and parameters[name] != simulator.service_provider_code:
            raise Refused("INS-13")
    credentials = simulator.credentials
    if parameters.get("input_InitiatorIdentifier", credentials.initiator_identifier) != (
        credentials.initiator_identifier
    ):
        raise Refused("INS-24")
    if parameters.get("input_SecurityCredential", credentials.security_credential) != (
        credentials.security_credential
    ):
        raise Refused("INS-25")
    receiver = parameters.get("input_ReceiverPartyCode")
    if receiver in (UNKNOWN_RECEIVER, simulator.service_provider_code):
        raise Refused("INS-2002")


def _carry_out(simulator: Simulator, endpoint: Endpoint, parameters: Parameters) -> Response:
    amount = parameters.get("input_Amount") or parameters.get("input_ReversalAmount")
    scenario = simulator.scenarios.choose(
        operation=endpoint.operation,
        msisdn=parameters.get("input_CustomerMSISDN"),
        amount=Decimal(amount) if amount else None,
        third_party_reference=parameters["input_ThirdPartyReference"],
    )
    if endpoint.method == "GET":
        query = _query_name if endpoint.operation == "query_customer_name" else _query_status
        if scenario.delays:
            _pause(simulator.stopping, scenario)
        return _reply(endpoint, parameters, scenario, query(simulator, parameters))
    return _reply(
        endpoint, parameters, scenario, _process(simulator, endpoint, parameters, scenario)
    )


def _process(
    simulator: Simulator, endpoint: Endpoint, parameters: Parameters, scenario: Scenario
) -> Response:
    """Do with the money what the scenario says, and give the answer that tells it truly."""
    if scenario.processing is Processing.NOTHING:
        return _answer(endpoint, parameters, scenario.code)
    # Only where no scenario has decided for the customer.
    asks = endpoint.operation == "c2b" and scenario.name == SUCCESS.name
    asks = asks and not simulator.auto_approve
    if asks and simulator.phones.crowded:
        return _answer(endpoint, parameters, "INS-16")
    transaction = _begin(simulator, endpoint, parameters)

    def decide() -> str:
        if asks:
            return simulator.phones.ask(transaction)
        return scenario.code if scenario.processing is Processing.DECLINE else "INS-0"

    if simulator.callbacks.url is not None:
        simulator.callbacks.schedule(transaction, scenario, decide)
        return _answer(endpoint, parameters, "INS-0", transaction)
    if scenario.delays:
        # Before the decision: until then a status query says Pending, as with a real customer.
        _pause(simulator.stopping, scenario)
    settled = simulator.ledger.settle_outbox(transaction, decide())
    # No code: the ledger was emptied meanwhile, and nobody can say any more what became of it.
    return _answer(endpoint, parameters, settled.code or "INS-1", settled)


def _pause(stopping: threading.Event, scenario: Scenario) -> None:
    stopping.wait(scenario.delay)


def _begin(simulator: Simulator, endpoint: Endpoint, parameters: Parameters) -> Transaction:
    ours = simulator.service_provider_code
    reference = parameters["input_ThirdPartyReference"]
    known = simulator.ledger.find(reference)
    if known is not None and known.third_party_reference == reference:
        # Before all else: what else is wrong with it may be the first request's own doing.
        raise Refused("INS-10")
    original = None
    if endpoint.operation == "reversal":
        original = simulator.ledger.find(parameters["input_TransactionID"])
        if (
            original is None
            or original.transaction_id != parameters["input_TransactionID"]
            or original.status != "Completed"
            or original.operation == "reversal"
        ):
            raise Refused("INS-18")
        amount = _reversal_amount(original, parameters.get("input_ReversalAmount"))
        payer, payee = original.payee, original.payer
    else:
        amount = Decimal(parameters["input_Amount"])
        other = parameters.get("input_CustomerMSISDN") or parameters["input_ReceiverPartyCode"]
        payer, payee = (other, ours) if endpoint.operation == "c2b" else (ours, other)
    try:
        return simulator.ledger.begin(
            operation=endpoint.operation,
            third_party_reference=reference,
            transaction_reference=parameters.get("input_TransactionReference"),
            payer=payer,
            payee=payee,
            amount=amount,
            original=original,
        )
    except DuplicateReference:
        raise Refused("INS-10") from None


def _reversal_amount(original: Transaction, asked: str | None) -> Decimal:
    left = original.amount - original.reversed_amount
    if left <= 0:
        raise Refused("INS-6")  # all of it was given back before
    amount = Decimal(asked) if asked is not None else left
    if amount > left:
        raise Refused("INS-15")
    return amount


def _query_status(simulator: Simulator, parameters: Parameters) -> Response:
    found = simulator.ledger.find(parameters["input_QueryReference"])
    status = found.status if found else _NOT_APPLICABLE
    fields = _fields(parameters, "INS-0", found)
    return _json(200, {**fields, "output_ResponseTransactionStatus": status})


def _query_name(simulator: Simulator, parameters: Parameters) -> Response:
    number = int(parameters["input_CustomerMSISDN"])
    name = f"{_FIRST_NAMES[number % len(_FIRST_NAMES)]} {_LAST_NAMES[number % len(_LAST_NAMES)]}"
    fields = _fields(parameters, "INS-0", None)
    code, description = fields.pop("output_ResponseCode"), fields.pop("output_ResponseDesc")
    return _json(
        200,
        {
            "output_ResultCode": code,
            "output_ResultDesc": description,
            **fields,
            "output_CustomerName": name,
        },
    )


def _answer(
    endpoint: Endpoint, parameters: Parameters, code: str, transaction: Transaction | None = None
) -> Response:
    status = ResponseCode(code).http_status or 400
    if code == "INS-0" and endpoint.method != "GET":
        status = 201
    return _json(status, _fields(parameters, code, transaction))


def _fields(parameters: Parameters, code: str, transaction: Transaction | None) -> dict[str, str]:
    known = ResponseCode(code)
    return {
        "output_ResponseCode": code,
        "output_ResponseDesc": known.meaning if known.known else "Undocumented condition",
        "output_TransactionID": (transaction and transaction.transaction_id) or _NOT_APPLICABLE,
        "output_ConversationID": transaction.conversation_id if transaction else _NOT_APPLICABLE,
        "output_ThirdPartyReference": parameters.get("input_ThirdPartyReference")
        or _NOT_APPLICABLE,
    }


def _json(status: int, fields: dict[str, str]) -> Response:
    return Response(json.dumps(fields), status=status, content_type="application/json")


def _reply(
    endpoint: Endpoint, parameters: Parameters, scenario: Scenario, true_answer: Response
) -> Response:
    """Turn the true answer into what the scenario lets the caller hear."""
    if scenario.reply is Reply.CODE:
        return _answer(endpoint, parameters, scenario.code)
    if scenario.reply is Reply.CODE_AND_IDS:
        return _with_code(scenario.code, true_answer)
    return _REPLIES[scenario.reply](true_answer)


def _with_code(text: str, answer: Response) -> Response:
    code = ResponseCode(text)
    said = {"output_ResponseCode": text, "output_ResponseDesc": code.meaning}
    return _json(code.http_status or 400, {**json.loads(answer.get_data()), **said})


def _html(answer: Response) -> Response:
    page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
    return Response(page, status=502, content_type="text/html")


def _empty(answer: Response) -> Response:
    return Response(b"", status=200, content_type="application/json")


def _truncated(answer: Response) -> Response:
    body = answer.get_data()
    return Response(
        body[: len(body) // 2], status=answer.status_code, content_type="application/json"
    )


def _huge(answer: Response) -> Response:
    fields = json.loads(answer.get_data())
    return _json(answer.status_code, {**fields, "padding": "x" * _HUGE})


def _redirect(answer: Response) -> Response:
    return Response(status=307, headers={"Location": request.url.replace(_PREFIX, "/elsewhere/")})


def _wrong_reference(answer: Response) -> Response:
    fields = json.loads(answer.get_data())
    return _json(answer.status_code, {**fields, "output_ThirdPartyReference": "SOMEBODYELSES1"})


def _cut(answer: Response) -> Response:
    request.environ[CUT] = True
    return answer


_REPLIES: dict[Reply, Callable[[Response], Response]] = {
    Reply.RESULT: lambda answer: answer,
    Reply.HTML: _html,
    Reply.EMPTY: _empty,
    Reply.TRUNCATED: _truncated,
    Reply.HUGE: _huge,
    Reply.REDIRECT: _redirect,
    Reply.WRONG_REFERENCE: _wrong_reference,
    Reply.CUT: _cut,
}
