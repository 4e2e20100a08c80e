"""The gateway's answers to raw HTTPS requests, against docs/protocol.md."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpesa_integrations import CODES
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter
from tests.support.raw import MSISDN, PATHS, RawClient, new_reference

PAYMENTS = ("c2b", "b2c", "b2b")


@pytest.mark.parametrize("operation", PAYMENTS)
def test_a_payment_moves_money_and_answers_as_documented(
    raw: RawClient, mpesa_simulator: Simulator, operation: str
) -> None:
    reference = new_reference()
    status, answer = raw.call(operation, input_ThirdPartyReference=reference, input_Amount="10.50")
    assert status in (200, 201)
    assert answer["output_ResponseCode"] == "INS-0"
    assert answer["output_ResponseDesc"] == "Request processed successfully"
    assert re.fullmatch(r"AG_\d{8}_[0-9a-f]{20}", answer["output_ConversationID"])
    assert re.fullmatch(r"[0-9A-Z]{9,}", answer["output_TransactionID"])
    assert answer["output_ThirdPartyReference"] == reference
    transaction = mpesa_simulator.ledger.find(reference)
    assert transaction is not None
    assert (transaction.status, transaction.amount) == ("Completed", Decimal("10.50"))
    moved = Decimal("10.50") if operation == "c2b" else Decimal("-10.50")
    business = mpesa_simulator.ledger.balance(raw.account.service_provider_code)
    assert business == Decimal(1000000) + moved
    assert mpesa_simulator.ledger.total() == 0


def test_a_status_query_finds_a_payment_by_each_of_its_references(raw: RawClient) -> None:
    reference = new_reference()
    _, paid = raw.call("c2b", input_ThirdPartyReference=reference)
    for query in (paid["output_TransactionID"], paid["output_ConversationID"], reference):
        status, answer = raw.call("query_transaction_status", input_QueryReference=query)
        assert (status, answer["output_ResponseCode"]) == (200, "INS-0")
        assert answer["output_ResponseTransactionStatus"] == "Completed"
        assert answer["output_TransactionID"] == paid["output_TransactionID"]


def test_a_status_query_for_nothing_says_not_applicable(raw: RawClient) -> None:
    _, answer = raw.call("query_transaction_status", input_QueryReference="NOSUCHTHING")
    assert answer["output_ResponseCode"] == "INS-0"
    assert answer["output_ResponseTransactionStatus"] == "N/A"


def test_a_customer_name_is_masked(raw: RawClient) -> None:
    status, answer = raw.call("query_customer_name")
    assert (status, answer["output_ResultCode"]) == (200, "INS-0")
    assert answer["output_ResultDesc"]
    assert "output_ResponseCode" not in answer
    assert "**" in answer["output_CustomerName"]


def test_a_reversal_in_parts_stops_at_the_amount(
    raw: RawClient, mpesa_simulator: Simulator
) -> None:
    _, paid = raw.call("c2b", input_Amount="10")
    original = {"input_TransactionID": paid["output_TransactionID"]}
    assert raw.code("reversal", **original, input_ReversalAmount="4") == "INS-0"
    assert raw.code("reversal", **original, input_ReversalAmount="6.01") == "INS-15"
    assert raw.code("reversal", **original) == "INS-0"
    assert raw.code("reversal", **original) == "INS-6"
    assert raw.code("reversal", **original, input_ReversalAmount="1") == "INS-6"
    assert mpesa_simulator.ledger.balance(MSISDN) == Decimal(100000)
    found = mpesa_simulator.ledger.find(paid["output_TransactionID"])
    assert found is not None
    assert found.reversed_amount == found.amount == 10


def test_a_reversal_sent_again_is_a_duplicate_and_not_one_too_many(raw: RawClient) -> None:
    _, paid = raw.call("c2b", input_Amount="10")
    asked = {"input_TransactionID": paid["output_TransactionID"], "input_ThirdPartyReference": "R7"}
    assert raw.code("reversal", **asked) == "INS-0"
    assert raw.code("reversal", **asked) == "INS-10"


@pytest.mark.parametrize(
    ("operation", "changes", "code"),
    [
        ("c2b", {"input_ServiceProviderCode": "17171"}, "INS-13"),
        ("c2b", {"input_ServiceProviderCode": "17"}, "INS-13"),
        ("b2b", {"input_PrimaryPartyCode": "222222"}, "INS-13"),
        ("b2b", {"input_ReceiverPartyCode": "abc"}, "INS-13"),
        ("query_transaction_status", {"input_QueryReference": "!!"}, "INS-14"),
        ("c2b", {"input_Amount": "0"}, "INS-15"),
        ("c2b", {"input_Amount": "-1"}, "INS-15"),
        ("c2b", {"input_Amount": "1.001"}, "INS-15"),
        ("c2b", {"input_Amount": "1e3"}, "INS-15"),
        ("c2b", {"input_Amount": ""}, "INS-15"),
        ("c2b", {"input_TransactionReference": ""}, "INS-17"),
        ("c2b", {"input_TransactionReference": "x" * 21}, "INS-17"),
        ("reversal", {}, "INS-18"),
        ("c2b", {"input_ThirdPartyReference": "a-b"}, "INS-19"),
        ("c2b", {"input_ThirdPartyReference": "x" * 51}, "INS-19"),
        ("c2b", {"input_Amount": None}, "INS-20"),
        ("reversal", {"input_SecurityCredential": None}, "INS-20"),
        ("query_customer_name", {"input_CustomerMSISDN": None}, "INS-20"),
        ("reversal", {"input_InitiatorIdentifier": "nobody"}, "INS-24"),
        ("reversal", {"input_SecurityCredential": "wrong"}, "INS-25"),
        ("b2b", {"input_ReceiverPartyCode": "999999"}, "INS-2002"),
        ("c2b", {"input_Amount": "100000.01"}, "INS-2006"),
        ("b2c", {"input_Amount": "1000000.01"}, "INS-2006"),
        ("c2b", {"input_CustomerMSISDN": "841234567"}, "INS-2051"),
        ("c2b", {"input_CustomerMSISDN": "258821234567"}, "INS-2051"),
    ],
)
def test_each_check_answers_the_code_that_fits(
    raw: RawClient, operation: str, changes: dict[str, str | None], code: str
) -> None:
    status, answer = raw.call(operation, **changes)
    assert answer["output_ResponseCode"] == code
    assert status == CODES[code].http_status
    assert answer["output_TransactionID"] == "N/A"


@pytest.mark.parametrize("code", list(CODES))
def test_every_code_of_the_table_can_be_had(
    raw: RawClient, mpesa_simulator: Simulator, code: str
) -> None:
    mpesa_simulator.scenarios.queue(f"code:{code}")
    status, answer = raw.call("c2b")
    assert answer["output_ResponseCode"] == code
    assert answer["output_ResponseDesc"] == CODES[code].meaning
    assert status == CODES[code].http_status or (code == "INS-0" and status == 201)


def test_a_reference_pays_once(raw: RawClient, mpesa_simulator: Simulator) -> None:
    reference = new_reference()
    assert raw.code("c2b", input_ThirdPartyReference=reference) == "INS-0"
    status, answer = raw.call("c2b", input_ThirdPartyReference=reference)
    assert (status, answer["output_ResponseCode"]) == (409, "INS-10")
    assert raw.code("b2c", input_ThirdPartyReference=reference) == "INS-10"
    assert len(mpesa_simulator.ledger.transactions()) == 1


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer nonsense",
        "Bearer " + base64.b64encode(bytes(512)).decode(),
        "Bearer " + base64.b64encode(b"\xff" * 512).decode(),
        "Basic dXNlcjpwYXNz",
    ],
)
def test_a_wrong_bearer_is_refused(raw: RawClient, authorization: str | None) -> None:
    headers = {key: value for key, value in raw.headers().items() if key != "Authorization"}
    if authorization is not None:
        headers["Authorization"] = authorization
    response = raw.send("c2b", raw.parameters("c2b"), headers=headers)
    assert response.status_code == 401
    assert response.json()["output_ResponseCode"] == "INS-2"


def test_a_renewed_key_makes_old_tokens_useless_at_once(
    raw: RawClient, mpesa_simulator: Simulator
) -> None:
    assert raw.code("c2b") == "INS-0"
    mpesa_simulator.renew_api_key()
    assert raw.code("c2b") == "INS-2"
    renewed = RawClient(mpesa_simulator)
    assert renewed.code("c2b") == "INS-0"
    kept = json.loads((mpesa_simulator.state_dir / "account.json").read_text())
    assert kept["api_key"] == renewed.account.api_key


def test_a_token_made_by_openssl_is_accepted(raw: RawClient, tmp_path: Path) -> None:
    key = tmp_path / "key.der"
    key.write_bytes(base64.b64decode(raw.account.public_key))
    made = subprocess.run(
        ["openssl", "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", str(key),
         "-pkeyopt", "rsa_padding_mode:pkcs1"],
        input=raw.account.api_key.encode(),
        capture_output=True,
        check=True,
    )  # fmt: skip
    raw.token = base64.b64encode(made.stdout).decode()
    assert raw.code("c2b") == "INS-0"


@pytest.mark.parametrize("operation", list(PATHS))
def test_another_verb_or_path_is_refused(raw: RawClient, operation: str) -> None:
    method, _, path = PATHS[operation]
    url = raw.account.base_url
    for other in {"GET", "POST", "PUT", "DELETE"} - {method}:
        answer = raw.session.request(other, url + path, headers=raw.headers(), timeout=10)
        assert answer.status_code == 405
    wrong = raw.session.request(method, f"{url}{path}x/", headers=raw.headers(), timeout=10)
    assert wrong.status_code == 404


def test_clients_in_use_are_accepted(raw: RawClient) -> None:
    """A Host header without port, a path without its last slash, fields nobody asked for."""
    method, _, path = PATHS["c2b"]
    headers = {**raw.headers(), "Host": "127.0.0.1", "User-Agent": "", "X-Extra": "1"}
    parameters = {**raw.parameters("c2b"), "input_Something": "else"}
    response = raw.session.request(
        method,
        raw.account.base_url + path.rstrip("/"),
        headers=headers,
        json=parameters,
        timeout=10,
    )
    assert response.json()["output_ResponseCode"] == "INS-0"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"input_Amount": NaN}',
        b'{"input_Amount": true}',
        b'{"input_TransactionReference": 10}',
    ],
)
def test_a_malformed_body_is_refused(raw: RawClient, body: bytes) -> None:
    response = raw.send("c2b", {}, json=None, data=body)
    assert (response.status_code, response.json()["output_ResponseCode"]) == (400, "INS-21")


@pytest.mark.parametrize(
    ("operation", "name"),
    [("c2b", "input_TransactionReference"), ("reversal", "input_TransactionID")],
)
def test_half_a_character_is_no_text(raw: RawClient, operation: str, name: str) -> None:
    response = raw.send(operation, raw.parameters(operation, **{name: "R\ud800"}))
    assert (response.status_code, response.json()["output_ResponseCode"]) == (400, "INS-21")


@pytest.mark.parametrize(("written", "amount"), [("10", "10.00"), ("10.50", "10.50")])
def test_an_amount_may_be_a_json_number(
    raw: RawClient, mpesa_simulator: Simulator, written: str, amount: str
) -> None:
    parameters = {**raw.parameters("c2b"), "input_Amount": float(written)}
    body = json.dumps(parameters).replace(str(float(written)), written)
    assert raw.send("c2b", {}, json=None, data=body).json()["output_ResponseCode"] == "INS-0"
    (paid,) = mpesa_simulator.ledger.transactions()
    assert paid.amount == Decimal(amount)
    (call,) = mpesa_simulator.calls.select(CallFilter())
    assert call.amount == Decimal(amount)
    back = {
        **raw.parameters("reversal", input_TransactionID=paid.transaction_id),
        "input_ReversalAmount": 4,
    }
    assert raw.send("reversal", back).json()["output_ResponseCode"] == "INS-0"
    assert mpesa_simulator.ledger.transactions()[0].reversed_amount == 4


@pytest.mark.parametrize(
    ("written", "code"), [("1e1", "INS-15"), ("10.005", "INS-15"), ("-1", "INS-15"),
                          ("9" * 5000, "INS-15"), ("null", "INS-21"), ("[10]", "INS-21")],
)  # fmt: skip
def test_a_json_number_must_be_an_amount_too(raw: RawClient, written: str, code: str) -> None:
    body = json.dumps({**raw.parameters("c2b"), "input_Amount": 0}).replace(": 0,", f": {written},")
    answer = raw.send("c2b", {}, json=None, data=body).json()
    assert answer["output_ResponseCode"] == code


_json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    operation=st.sampled_from(list(PATHS)),
    changes=st.dictionaries(
        st.sampled_from([
            "input_TransactionReference", "input_CustomerMSISDN", "input_Amount",
            "input_ThirdPartyReference", "input_ServiceProviderCode", "input_QueryReference",
            "input_TransactionID", "input_ReversalAmount", "input_ReceiverPartyCode",
        ]),
        _json_values,
        max_size=4,
    ),
)  # fmt: skip
def test_no_request_breaks_the_gateway(
    raw: RawClient, operation: str, changes: dict[str, Any]
) -> None:
    response = raw.send(operation, {**raw.parameters(operation), **changes})
    answer = response.json()
    code = answer.get("output_ResponseCode", answer.get("output_ResultCode"))
    assert code in CODES
    assert code != "INS-1"


def test_money_is_conserved_under_threads(mpesa_simulator: Simulator) -> None:
    def work(number: int) -> int:
        client = RawClient(mpesa_simulator)
        done = 0
        for turn in range(10):
            _, paid = client.call("c2b", input_Amount="1.01")
            if turn % 2:
                done += (
                    client.code("reversal", input_TransactionID=paid["output_TransactionID"])
                    == "INS-0"
                )
        client.session.close()
        return done

    with ThreadPoolExecutor(16) as pool:
        reversals = sum(pool.map(work, range(16)))
    assert reversals == 80
    ledger = mpesa_simulator.ledger
    assert ledger.total() == 0
    assert ledger.balance(MSISDN) == Decimal(100000) - 80 * Decimal("1.01")


def test_a_transaction_is_reversed_once_however_many_ask(
    mpesa_simulator: Simulator, raw: RawClient
) -> None:
    _, paid = raw.call("c2b", input_Amount="10")

    def reverse(number: int) -> str:
        client = RawClient(mpesa_simulator)
        code = client.code(
            "reversal",
            input_TransactionID=paid["output_TransactionID"],
            input_ReversalAmount="10",
        )
        client.session.close()
        return code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(reverse, range(8)))
    assert codes.count("INS-0") == 1
    assert mpesa_simulator.ledger.balance(MSISDN) == Decimal(100000)
