"""A market is data: what every market must have, and one of a test's own that works everywhere."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import mpesa_integrations.core.protocol
from mpesa_integrations import (
    Kind,
    MpesaClient,
    MpesaConfig,
    MsisdnError,
    OutcomeUnknown,
    PaymentDeclined,
    ResponseCode,
    ValidationError,
)
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.messages import Message
from mpesa_integrations.core.protocol.callbacks import read_callback
from mpesa_integrations.core.protocol.codes import (
    DUPLICATE_CODE,
    SUCCESS_CODE,
    Advice,
    CodeInfo,
    GatewayCode,
)
from mpesa_integrations.core.protocol.exchange import Exchange
from mpesa_integrations.core.protocol.http import HttpRequest, HttpResponse
from mpesa_integrations.core.protocol.market import Environment, Market
from mpesa_integrations.core.protocol.msisdn import Numbering, normalise_msisdn
from mpesa_integrations.core.protocol.operations import Operation
from mpesa_integrations.core.protocol.outcomes import interpret
from mpesa_integrations.core.protocol.requests import http_request, prepare
from mpesa_integrations.core.protocol.schemas import (
    Amount,
    AnswerSchema,
    CallbackSchema,
    LenientText,
    Msisdn,
    PatternText,
    RequestSchema,
    transaction_reference,
)

from .conftest import API_KEY, PUBLIC_KEY


class ToyCode(GatewayCode):
    SUCCESS = "INS-0"
    DUPLICATE = "INS-10"
    NOT_FOUND = "INS-23"
    INVALID_CURRENCY = "INS-26"

    @classmethod
    def table(cls) -> Mapping[str, CodeInfo]:
        return {
            "INS-0": CodeInfo(201, "Done", Kind.SUCCESS, Advice.TRY_AGAIN),
            "INS-10": CodeInfo(409, "Duplicate", Kind.DUPLICATE, Advice.TRY_AGAIN),
            "INS-23": CodeInfo(400, "Transaction not found", Kind.FAILED, Advice.TRY_AGAIN),
            "INS-26": CodeInfo(400, "Invalid currency", Kind.VALIDATION, Advice.TRY_AGAIN),
        }


class ToyRequest(RequestSchema):
    wire = {  # noqa: RUF012 - marshmallow's metaclass owns the class body
        "reference": "input_TransactionReference",
        "msisdn": "input_CustomerMSISDN",
        "amount": "input_Amount",
        "third_party_reference": "input_ThirdPartyConversationID",
        "service_provider_code": "input_ServiceProviderCode",
    }
    reference = transaction_reference()
    msisdn = Msisdn(required=True)
    amount = Amount(Message("must be a positive number of toys"), required=True)
    service_provider_code = PatternText(r"[0-9]{6}", Message("must have 6 digits"), required=True)

    def parameters(self, values: Mapping[str, object]) -> dict[str, str]:
        return {**super().parameters(values), "input_Country": "TOY", "input_Currency": "TOY"}


class ToyAnswer(AnswerSchema):
    third_party_reference = LenientText("output_ThirdPartyConversationID")


class ToyCallback(CallbackSchema):
    third_party_reference = LenientText("input_ThirdPartyConversationID")


TOY = Market(
    name="toyland",
    currency="TOY",
    environments={
        "sandbox": Environment(host="api.toys.example", port=443, path="/sandbox"),
        "production": Environment(host="api.toys.example", port=443, path="/openapi"),
    },
    origin="*",
    shortcode=r"[0-9]{6}",
    shortcode_rule="must have 6 digits",
    sandbox_shortcode="000000",
    numbering=Numbering(
        country_code="266",
        region="LS",
        length=8,
        mobile="5",
        prefix_length=2,
        prefix_rule="two-digit prefixes beginning with 5",
        prefixes=("50", "58"),
        operators={"62": "Econet"},
        example="%s12 3456",
        rule=Message("must be 266 and eight digits"),
        wrong_length=Message("A number has eight digits, as in %(example)s; not %(count)d."),
        wrong_country=Message("Only toy numbers, as in %(example)s."),
    ),
    operations={
        "c2b": Operation(
            name="c2b",
            method="POST",
            port=18352,
            path="/ipg/v2/vodacomTOY/c2bPayment/singleStage/",
            request_schema=ToyRequest,
            answer_schema=ToyAnswer,
        )
    },
    codes=ToyCode,
    argument_of_code={ToyCode.INVALID_CURRENCY: "amount"},
    answer_schema=ToyAnswer,
    reference_parameter="input_ThirdPartyConversationID",
    callback_schema=ToyCallback,
    callback_ports=None,
)


class ToyConfig(MpesaConfig):
    market = TOY


def toy_config(environment: str = "sandbox") -> ToyConfig:
    return ToyConfig(
        api_key=API_KEY,
        public_key=PUBLIC_KEY,
        service_provider_code="123456" if environment == "production" else "000000",
        environment=environment,
        origin="*",
        msisdn_prefixes=TOY.numbering.prefixes,
        retries=0,
    )


PAYMENT = {"msisdn": "5812 3456", "amount": 10, "reference": "T1", "third_party_reference": "REF1"}


class Answering:
    """A transport that answers each request alike, and keeps it."""

    def __init__(self, status: int, **fields: str) -> None:
        self.status, self.fields = status, fields
        self.requests: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return HttpResponse(self.status, json.dumps(self.fields).encode())

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("environment", "path"), [("sandbox", "/sandbox"), ("production", "/openapi")]
)
def test_another_markets_payment_goes_to_its_host_in_its_words(environment: str, path: str) -> None:
    transport = Answering(
        201, output_ResponseCode="INS-0", output_TransactionID="t1",
        output_ThirdPartyConversationID="REF1",
    )  # fmt: skip
    client = MpesaClient(toy_config(environment), transport=transport)
    result = client.c2b(**PAYMENT)  # type: ignore[arg-type]
    assert (result.kind, result.code) == (Kind.SUCCESS, ToyCode.SUCCESS)
    (request,) = transport.requests
    assert request.url == (
        f"https://api.toys.example:443{path}/ipg/v2/vodacomTOY/c2bPayment/singleStage/"
    )
    sent = json.loads(request.body or b"")
    assert sent["input_CustomerMSISDN"] == "26658123456"
    assert (sent["input_ThirdPartyConversationID"], sent["input_Currency"]) == ("REF1", "TOY")


def test_a_code_means_what_its_market_says() -> None:
    assert ResponseCode("INS-23").kind is Kind.UNKNOWN
    client = MpesaClient(toy_config(), transport=Answering(400, output_ResponseCode="INS-23"))
    with pytest.raises(PaymentDeclined, match="Transaction not found") as declined:
        client.c2b(**PAYMENT)  # type: ignore[arg-type]
    assert declined.value.result.code is ToyCode.NOT_FOUND
    client = MpesaClient(toy_config(), transport=Answering(400, output_ResponseCode="INS-26"))
    with pytest.raises(ValidationError) as refused:
        client.c2b(**PAYMENT)  # type: ignore[arg-type]
    assert refused.value.errors == {"amount": ["INS-26 Invalid currency"]}
    # A code that only Mozambique has is none of this market's.
    client = MpesaClient(toy_config(), transport=Answering(400, output_ResponseCode="INS-2"))
    with pytest.raises(OutcomeUnknown):
        client.c2b(**PAYMENT)  # type: ignore[arg-type]


def test_another_markets_numbers_are_its_own() -> None:
    numbering = TOY.numbering
    for typed in ("5812 3456", "+266 58 12 3456", "26658123456"):
        assert normalise_msisdn(typed, numbering, numbering.prefixes) == "26658123456"
    for typed, words in (
        ("84 123 4567", "not 9"),
        ("+258 84 123 4567", "Only toy numbers"),
        ("6212 3456", "which is Econet's"),
    ):
        with pytest.raises(MsisdnError, match=words):
            normalise_msisdn(typed, numbering, numbering.prefixes)


def test_another_markets_callback_is_read_by_its_fields() -> None:
    body = {
        "input_OriginalConversationID": "C1",
        "input_ThirdPartyConversationID": "REF1",
        "input_ResultCode": "INS-23",
    }
    callback = read_callback(json.dumps(body).encode(), TOY)
    assert (callback.third_party_reference, callback.kind) == ("REF1", Kind.FAILED)


def test_prepare_and_interpret_need_no_client() -> None:
    config = toy_config()
    prepared = prepare("c2b", PAYMENT, config)
    request = http_request(prepared.operation, prepared.parameters, config, bearer="token")
    assert request.headers["Authorization"] == "Bearer token"
    answer = HttpResponse(409, b'{"output_ResponseCode": "INS-10"}')
    outcome = interpret(
        answer, operation=prepared.operation, settings=config, reference="REF1", elapsed=0.1
    )
    assert outcome.result is not None
    assert outcome.result.kind is Kind.DUPLICATE
    exchange = Exchange(prepared.operation, config, request=request, reference="REF1")
    assert exchange.receive(answer, 0.1).error is not None
    assert exchange.finished


@pytest.mark.parametrize("market", [MOZAMBIQUE, TOY], ids=lambda market: market.name)
def test_a_market_has_what_protocol_reads(market: Market) -> None:
    table = market.codes.table()
    assert table[SUCCESS_CODE].kind is Kind.SUCCESS
    assert table[DUPLICATE_CODE].kind is Kind.DUPLICATE
    assert {member.value for member in market.codes} == set(table)
    assert "third_party_reference" in market.callback_schema().fields
    for name, operation in market.operations.items():
        assert operation.name == name
        assert operation.path.startswith("/")
        assert "third_party_reference" in operation.answer_schema().fields
        fields = operation.request_schema(numbering=market.numbering).fields
        assert set(operation.request_schema.wire) == set(fields)
    assert all(map(market.numbering.is_prefix, market.numbering.prefixes))


def test_protocol_does_no_io_and_knows_no_market() -> None:
    forbidden = {"requests", "urllib3", "socket", "ssl", "logging", "threading", "asyncio"}
    for file in Path(*mpesa_integrations.core.protocol.__path__).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {node.module or ""} if not node.level else set()
                inner = node.module or ""
                assert not inner.startswith(("markets", "settings", "client", "payments")), file
            else:
                continue
            assert not names & forbidden, (file, names)
            # A new reference has the time in it; nothing else asks a clock.
            assert "time" not in names or file.name == "references.py"
