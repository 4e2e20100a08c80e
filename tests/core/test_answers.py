"""What comes back: read leniently, never guessed."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mpesa_integrations import (
    CODES,
    AuthenticationError,
    CustomerNameResult,
    DuplicateTransaction,
    GatewayUnavailable,
    Kind,
    MpesaClient,
    MpesaError,
    OutcomeUnknown,
    PaymentDeclined,
    ResponseCode,
    Result,
    TransactionStatus,
    TransactionStatusResult,
    ValidationError,
    acknowledgement,
    read_callback,
)
from mpesa_integrations.core.markets.mozambique.operations import (
    C2B,
    OPERATIONS,
    QUERY_CUSTOMER_NAME,
    QUERY_TRANSACTION_STATUS,
)
from mpesa_integrations.core.protocol.answers import UnreadableBody, read_answer
from mpesa_integrations.core.protocol.http import HttpRequest, HttpResponse, NotConnected
from mpesa_integrations.core.protocol.operations import Operation

from .conftest import make_config

CONVERSATION = "AG_20180206_00005e7dccc6da08efa8"


def _answer(code: str | None = "INS-0", **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "output_ResponseCode": code,
        "output_ResponseDesc": "as documented",
        "output_ConversationID": CONVERSATION,
        "output_TransactionID": "4XDF12345",
        "output_ThirdPartyReference": "REF1",
    }
    return {k: v for k, v in {**fields, **changes}.items() if v != "absent"}


def _read(fields: Any, status: int = 200, operation: Operation = C2B) -> Result:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return read_answer(
        operation, ResponseCode, http_status=status, body=body, third_party_reference="REF1"
    )


def test_a_success_is_read_whole() -> None:
    result = _read(_answer(output_Surprise="new"), 201)
    assert result.kind is Kind.SUCCESS
    assert (result.transaction_id, result.conversation_id) == ("4XDF12345", CONVERSATION)
    assert (result.third_party_reference, result.http_status) == ("REF1", 201)
    assert result.raw["output_Surprise"] == "new"
    assert "new" not in repr(result)


@pytest.mark.parametrize("nothing", ["N/A", "n/a", "", " ", None, "absent", [], {}, True])
def test_not_applicable_is_none_and_a_payment_without_a_transaction_is_only_accepted(
    nothing: Any,
) -> None:
    result = _read(_answer(output_TransactionID=nothing))
    assert result.transaction_id is None
    assert result.kind is Kind.ACCEPTED


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (_answer(), 500),
        (_answer(), 202),
        (_answer(), 400),
        (_answer(output_TransactionID="N/A", output_ConversationID="N/A"), 200),
        (_answer(output_ThirdPartyReference="ANOTHER"), 200),
        (_answer("INS-6", output_ThirdPartyReference="ANOTHER"), 401),
        (_answer("INS-4711"), 400),
        (_answer("ins-0"), 200),
        (_answer(None), 200),
        (_answer("absent"), 200),
        (_answer("N/A"), 200),
        (_answer(["INS-0"]), 200),  # type: ignore[arg-type]
        (b"", 200),
        (b" \n", 200),
        (b"<html>INS-0</html>", 200),
        (b'{"output_ResponseCode": "INS-0", "output_Conv', 200),
        (b'{"output_ResponseCode": "INS-0", "output_ResponseCode": "INS-6"}', 200),
        (b'[{"output_ResponseCode": "INS-0"}]', 200),
        (b'"INS-0"', 200),
        (b"null", 200),
        (json.dumps(_answer()).encode("utf-16"), 200),
        (b'{"output_ResponseCode": "INS-0", "x": NaN}', 200),
        (b'{"output_ResponseCode": "INS-0", "x": ' + b"9" * 5000 + b"}", 200),
        (b"[" * 200_000, 200),
        (b'{"a":' * 100_000, 200),
        (b"\xff\xfe\x00", 200),
    ],
)
def test_what_cannot_be_read_or_does_not_fit_proves_nothing(fields: Any, status: int) -> None:
    result = _read(fields, status)
    assert result.kind is Kind.UNKNOWN
    assert result.description
    assert result.third_party_reference == "REF1"


@pytest.mark.parametrize("operation", list(OPERATIONS.values()), ids=lambda found: found.name)
def test_a_success_has_the_http_status_200_or_201_and_no_other(operation: Operation) -> None:
    fields = _answer(output_ResponseTransactionStatus="Completed", output_CustomerName="J*n")
    for status in (*range(100, 104), *range(199, 310), *range(400, 430), *range(500, 512)):
        kind = Kind.SUCCESS if status in (200, 201) else Kind.UNKNOWN
        result = _read(fields, status, operation)
        assert result.kind is kind, status
        assert (f"HTTP status is {status}" in result.description) == (kind is Kind.UNKNOWN)


def test_a_byte_order_mark_and_a_repeated_equal_field_do_no_harm() -> None:
    body = json.dumps(_answer())
    assert _read(b"\xef\xbb\xbf" + body.encode()).kind is Kind.SUCCESS
    twice = body[:-1] + ', "output_ResponseCode": "INS-0"}'
    assert _read(twice.encode()).kind is Kind.SUCCESS


def test_a_phone_number_in_a_description_is_masked() -> None:
    words = {"output_ResponseDesc": "No wallet for 258841234567", "output_TransactionID": "N/A"}
    result = _read(_answer("INS-6", **words), 401)
    assert result.description == "No wallet for 25884•••4567"


@pytest.mark.parametrize(
    ("word", "status"),
    [("Completed", TransactionStatus.COMPLETED), ("N/A", None), ("absent", None)],
)
def test_a_status_answer(word: str, status: TransactionStatus | None) -> None:
    result = _read(
        _answer(output_ResponseTransactionStatus=word), operation=QUERY_TRANSACTION_STATUS
    )
    assert isinstance(result, TransactionStatusResult)
    assert (result.kind, result.transaction_status) == (Kind.SUCCESS, status)


@pytest.mark.parametrize("operation", [QUERY_TRANSACTION_STATUS, QUERY_CUSTOMER_NAME])
def test_an_answer_to_another_question_is_no_answer(operation: Operation) -> None:
    fields = _answer(
        output_ResponseTransactionStatus="Completed", output_ThirdPartyReference="ANOTHER"
    )
    result = _read(fields, operation=operation)
    assert result.kind is Kind.UNKNOWN
    assert (result.conversation_id, result.transaction_id) == (None, None)
    transport = _Scripted((200, json.dumps(fields).encode()))
    with pytest.raises(GatewayUnavailable, match="another request"):
        MpesaClient(make_config(), transport=transport).query_transaction_status(
            query_reference="X"
        )


def test_a_transaction_of_which_no_money_moved_proves_nothing() -> None:
    others = (Kind.SUCCESS, Kind.UNKNOWN, Kind.DUPLICATE)
    for code in (code for code, info in CODES.items() if info.kind not in others):
        result = _read(_answer(code), CODES[code].http_status)
        assert result.kind is Kind.UNKNOWN
        assert result.description.startswith(f"{code} says that no money moved")
        assert result.description.endswith("as documented")  # the gateway's own words are kept
        assert result.transaction_id == "4XDF12345"
        callback = read_callback(json.dumps({**CALLBACK, "input_ResultCode": code}).encode())
        assert (callback.kind, callback.code) == (Kind.UNKNOWN, code)
        assert "4XDF12345" in callback.description


@pytest.mark.parametrize("status", [200, 302, 400, 408, 500, 502, 503, 504])
def test_a_servers_error_only_goes_with_a_code_that_is_documented_with_it(status: int) -> None:
    for code in CODES.keys() - {"INS-0"}:
        result = _read(_answer(code, output_TransactionID="N/A"), status)
        fits = status in (200, 400, 408, CODES[code].http_status)
        assert result.kind is (CODES[code].kind if fits else Kind.UNKNOWN)
        told = not fits and CODES[code].kind is not Kind.UNKNOWN
        assert (str(status) in result.description) == told


@pytest.mark.parametrize(
    ("code", "changes", "status"),
    [
        ("INS-16", {}, 503),
        ("INS-16", {"output_TransactionID": "N/A"}, 500),
        ("INS-16", {"output_TransactionID": "N/A", "output_ThirdPartyReference": "OTHER"}, 503),
        ("INS-6", {}, 401),
        ("INS-6", {"output_TransactionID": "N/A"}, 502),
        ("INS-0", {}, 500),
    ],
)
def test_what_contradicts_itself_is_never_sent_again(
    code: str, changes: dict[str, str], status: int
) -> None:
    transport = _Scripted(*[(status, json.dumps(_answer(code, **changes)).encode())] * 3)
    client = MpesaClient(make_config(retries=2), transport=transport)
    with pytest.raises(OutcomeUnknown):
        client.c2b(msisdn="841234567", amount=1, reference="T", third_party_reference="REF1")
    assert len(transport.requests) == 1


def test_a_name_answer_with_two_codes_proves_nothing() -> None:
    fields = {**_answer(), "output_ResultCode": "INS-6"}
    assert _read(fields, operation=QUERY_CUSTOMER_NAME).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "authentication"), (403, "authentication"), (400, "unknown"),
                         (500, "unknown")]
)  # fmt: skip
def test_an_error_in_place_of_a_code_is_kept(status: int, kind: str) -> None:
    result = _read({"output_error": "Bad API key of 258841234567"}, status)
    assert (result.kind, result.description) == (kind, "Bad API key of 25884•••4567")
    assert _read({"output_error": "x", "output_TransactionID": "T1"}, status).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [(403, b" <html>Forbidden</html>", True), (403, b"", False), (502, b"<html></html>", False)],
)
def test_a_page_that_forbids_names_the_web_firewall(status: int, body: bytes, named: bool) -> None:
    result = _read(body, status)
    assert result.kind is Kind.UNKNOWN
    assert ("firewall" in result.description) == named


@pytest.mark.parametrize(
    ("prefix", "code"), [("Result", "INS-0"), ("Result", "0"), ("Response", "INS-0")]
)
def test_a_name_answer_names_its_code_in_two_ways(prefix: str, code: str) -> None:
    result = _read(
        {
            f"output_{prefix}Code": code,
            f"output_{prefix}Desc": "fine",
            "output_CustomerName": "Jo*n Sm**h",
        },
        operation=QUERY_CUSTOMER_NAME,
    )
    assert isinstance(result, CustomerNameResult)
    assert (result.kind, result.code, result.description) == (Kind.SUCCESS, "INS-0", "fine")
    assert result.customer_name == "Jo*n Sm**h"
    assert "Sm**h" not in repr(result)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=300)
    | st.dictionaries(
        st.sampled_from([*_answer(), "output_ResultCode", "output_ResponseTransactionStatus"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=20)
        | st.sampled_from([*CODES, "0", "N/A", "REF1", "Completed"])
        | st.lists(st.integers(), max_size=1),
    ).map(lambda fields: json.dumps(fields).encode()),
    operation=st.sampled_from(list(OPERATIONS.values())),
)  # fmt: skip
@example(status=200, body=json.dumps(_answer()).encode(), operation=C2B)
def test_no_answer_is_taken_for_more_than_it_says(
    status: int, body: bytes, operation: Operation
) -> None:
    result = _read(body, status, operation)
    if result.kind in (Kind.SUCCESS, Kind.ACCEPTED):
        fields = json.loads(body)
        assert status in (200, 201)
        assert "INS-0" in (str(fields.get("output_ResponseCode")).strip(), "INS-0")
        if operation.moves_money:
            assert fields["output_ResponseCode"].strip() == "INS-0"
            assert (result.transaction_id is not None) == (result.kind is Kind.SUCCESS)
            assert result.transaction_id or result.conversation_id


class _Scripted:
    """A transport that answers what it is told, or raises it."""

    def __init__(self, *answers: tuple[int, bytes] | NotConnected) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, NotConnected):
            raise answer
        return HttpResponse(*answer)

    def close(self) -> None:
        pass


ERRORS: dict[str, type[MpesaError]] = {
    "failed": PaymentDeclined,
    "cancelled": PaymentDeclined,
    "duplicate": DuplicateTransaction,
    "validation": ValidationError,
    "authentication": AuthenticationError,
    "not_accepted": GatewayUnavailable,
    "unknown": OutcomeUnknown,
}


@pytest.mark.parametrize("code", [code for code in CODES if code != "INS-0"])
def test_every_code_but_success_raises_the_error_of_its_kind(code: str) -> None:
    body = json.dumps({"output_ResponseCode": code, "output_ResponseDesc": "why"}).encode()
    transport = _Scripted((CODES[code].http_status, body))
    client = MpesaClient(make_config(retries=0), transport=transport)
    with pytest.raises(MpesaError) as caught:
        client.c2b(msisdn="841234567", amount=1, reference="T", third_party_reference="REF1")
    error = caught.value
    assert type(error) is ERRORS[CODES[code].kind.value]
    assert error.result is not None
    assert (error.result.code, error.result.http_status) == (code, CODES[code].http_status)
    assert error.third_party_reference == "REF1"
    assert code in str(error)
    assert len(transport.requests) == 1
    for one in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(one), str(one), one.result) == (type(error), str(error), error.result)
        assert one.third_party_reference == "REF1"
    if isinstance(error, ValidationError):
        ((problem,),) = error.errors.values()
        assert problem == f"{code} why"
        ((portuguese,),) = error.errors_in("pt").values()
        assert portuguese == f"{code} {ResponseCode(code).meaning_in('pt')}"


def test_an_unanswered_question_may_be_asked_again() -> None:
    body = json.dumps(_answer("INS-1")).encode()
    client = MpesaClient(make_config(), transport=_Scripted((500, body), (502, b"<html>")))
    for _ in range(2):
        with pytest.raises(GatewayUnavailable):
            client.query_transaction_status(query_reference="X")


def test_overload_is_tried_again_with_the_same_reference_and_only_that_often() -> None:
    busy = (503, json.dumps(_answer("INS-16", output_TransactionID="N/A")).encode())
    transport = _Scripted(busy, busy, busy)
    client = MpesaClient(make_config(retries=2), transport=transport)
    with pytest.raises(GatewayUnavailable) as caught:
        client.c2b(msisdn="841234567", amount=1, reference="T", third_party_reference="REF1")
    assert caught.value.result is not None
    assert len({request.body for request in transport.requests}) == 1
    assert len(transport.requests) == 3


def test_a_duplicate_of_an_attempt_of_ones_own_is_an_outcome_unknown() -> None:
    """What was answered INS-16 may have got in after all; who never connected cannot have."""
    busy = (503, json.dumps(_answer("INS-16", output_TransactionID="N/A")).encode())
    duplicate = (409, json.dumps(_answer("INS-10", output_TransactionID="N/A")).encode())
    for answers, error in (
        ((busy, duplicate), OutcomeUnknown),
        ((NotConnected("refused"), duplicate), DuplicateTransaction),
        ((NotConnected("refused"), busy, duplicate), OutcomeUnknown),
        ((duplicate,), DuplicateTransaction),
    ):
        client = MpesaClient(make_config(retries=2), transport=_Scripted(*answers))
        with pytest.raises(error, match="INS-10") as caught:
            client.c2b(msisdn="841234567", amount=1, reference="T", third_party_reference="REF1")
        assert type(caught.value) is error
        assert caught.value.result is not None
        assert caught.value.result.code == "INS-10"


def test_the_request_is_the_documented_one() -> None:
    transport = _Scripted((201, json.dumps(_answer()).encode()), (200, b"{}"))
    client = MpesaClient(make_config(environment="sandbox", origin="*"), transport=transport)
    client.c2b(msisdn="841234567", amount=1, reference="T", third_party_reference="REF1")
    (request,) = transport.requests
    assert (request.method, request.url) == (
        "POST",
        "https://api.sandbox.vm.co.mz:18352/ipg/v1x/c2bPayment/singleStage/",
    )
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Origin"] == "*"
    token = request.headers["Authorization"]
    assert token.startswith("Bearer ")
    assert token.removeprefix("Bearer ") not in repr(request)
    with pytest.raises(GatewayUnavailable):
        client.query_transaction_status(query_reference="A_B", third_party_reference="REF2")
    assert transport.requests[1].body is None
    assert transport.requests[1].url.endswith(
        ":18353/ipg/v1x/queryTransactionStatus/?input_ThirdPartyReference=REF2"
        "&input_QueryReference=A_B&input_ServiceProviderCode=171717"
    )


CALLBACK = {
    "input_OriginalConversationID": CONVERSATION,
    "input_ThirdPartyReference": "REF1",
    "input_TransactionID": "4XDF12345",
    "input_ResultCode": "0",
    "input_ResultDesc": "Request processed successfully",
}


@pytest.mark.parametrize(
    ("code", "kind"),
    [("0", Kind.SUCCESS), ("INS-0", Kind.SUCCESS), ("INS-5", Kind.CANCELLED),
     ("INS-4711", Kind.UNKNOWN), (0, Kind.SUCCESS), ("1", Kind.UNKNOWN)],
)  # fmt: skip
def test_a_callback_is_read_and_acknowledged(code: Any, kind: Kind) -> None:
    transaction = "N/A" if kind is Kind.CANCELLED else "4XDF12345"
    fields = {**CALLBACK, "input_ResultCode": code, "input_TransactionID": transaction}
    callback = read_callback(json.dumps(fields).encode())
    assert callback.kind is kind
    assert callback.transaction_id == (None if kind is Kind.CANCELLED else "4XDF12345")
    assert acknowledgement(callback) == {
        "output_OriginalConversationID": CONVERSATION,
        "output_ThirdPartyConversationID": "REF1",
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"{}", "input_ResultCode"),
        (json.dumps({**CALLBACK, "input_ThirdPartyReference": "N/A"}).encode(),
         "input_ThirdPartyReference"),
        (json.dumps({**CALLBACK, "input_OriginalConversationID": 0.5}).encode(),
         "input_OriginalConversationID"),
        (json.dumps(CALLBACK).encode() + b" " * 70_000, "65536"),
        (b"[" * 60_000, "not JSON"),
        (b'{"input_ResultCode": NaN}', "holds NaN, which is not JSON"),
        (b'{"input_ResultCode": -Infinity}', "holds -Infinity, which is not JSON"),
        (b'{"input_ResultCode": "0", "input_ResultCode": "INS-6"}', "twice"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_callback_is_told_why(body: bytes, words: str) -> None:
    with pytest.raises(UnreadableBody, match=words):
        read_callback(body)


@given(st.binary(max_size=200) | st.dictionaries(
    st.sampled_from(list(CALLBACK)), st.none() | st.integers() | st.text() | st.booleans()
).map(lambda fields: json.dumps(fields).encode()))  # fmt: skip
def test_no_callback_body_makes_anything_but_unreadable_body(body: bytes) -> None:
    try:
        callback = read_callback(body)
    except UnreadableBody:
        return
    assert callback.conversation_id
    assert callback.third_party_reference


@pytest.mark.parametrize(
    "make",
    [
        lambda: _read(_answer()),
        lambda: _read(_answer("INS-4711"), 400),
        lambda: _read(_answer(), operation=QUERY_TRANSACTION_STATUS),
    ],
)
def test_results_survive_pickle_and_copy(make: Callable[[], Result]) -> None:
    result = make()
    assert pickle.loads(pickle.dumps(result)) == result == copy.deepcopy(result)
    with pytest.raises(AttributeError):
        result.code = None  # type: ignore[misc]
