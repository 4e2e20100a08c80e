"""What users of the gateway have seen; docs/protocol.md, "Seen in practice", a row each.

None of it is documented. What the local gateway does of it is tested with the local gateway.
"""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mpesa_integrations import (
    AuthenticationError,
    ConfigurationError,
    GatewayUnavailable,
    HttpRequest,
    HttpResponse,
    Kind,
    MpesaClient,
    MpesaConfig,
    MsisdnError,
    NotConnected,
    OutcomeUnknown,
    PaymentDeclined,
    TransactionStatus,
    __version__,
    normalise_msisdn,
    read_callback,
)
from mpesa_integrations.core.client.problems import not_connected
from mpesa_integrations.core.payments.lifecycle import Evidence, evidence_of_status
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.core.settings.account_checks import SettingsMessage, check_account
from mpesa_integrations.core.settings.values import DEFAULT_TIMEOUT

from .conftest import API_KEY, PUBLIC_KEY, make_config

MSISDN = "841234567"


class _Answering:
    """A transport that gives each request the same answer, and keeps the requests."""

    def __init__(self, status: int, body: Any) -> None:
        self._answer = HttpResponse(
            status, body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        self.requests: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return self._answer

    def close(self) -> None:
        pass


def _client(status: int, body: Any, **settings: Any) -> tuple[MpesaClient, _Answering]:
    transport = _Answering(status, body)
    return MpesaClient(make_config(**settings), transport=transport), transport


def _pay(client: MpesaClient, reference: str = "T") -> Any:
    return client.c2b(
        msisdn=MSISDN, amount="10.50", reference=reference, third_party_reference="REF1"
    )


def _paid(**changes: Any) -> dict[str, Any]:
    return {
        "output_ResponseCode": "INS-0",
        "output_TransactionID": "4XDF12345",
        "output_ThirdPartyReference": "REF1",
        **changes,
    }


def _doubts(**options: Any) -> list[SettingsMessage]:
    account = {"API_KEY": API_KEY, "PUBLIC_KEY": PUBLIC_KEY, "SERVICE_PROVIDER_CODE": "171717"}
    settings = AccountSettings.from_mapping({**account, **options})
    return list(check_account("default", settings, in_production=False))


# The gateway stands behind a web firewall.


@pytest.mark.parametrize(
    ("settings", "named"),
    [({}, f"mpesa-integrations/{__version__}"), ({"user_agent": "shop/2"}, "shop/2")],
)
def test_every_request_names_its_program_and_an_account_may_name_its_own(
    settings: dict[str, str], named: str
) -> None:
    client, transport = _client(200, _paid(), **settings)
    _pay(client)
    assert transport.requests[0].headers["User-Agent"] == named


def test_a_page_that_forbids_says_that_the_firewall_may_not_have_liked_the_user_agent() -> None:
    client, transport = _client(403, b"<html>Forbidden</html>")
    with pytest.raises(OutcomeUnknown, match=r"web firewall .* User-Agent"):
        _pay(client)
    assert len(transport.requests) == 1


# The front answers HTML 504 while the customer's prompt is still live.


def test_a_gateway_timeout_of_the_front_is_an_outcome_unknown_and_never_sent_again() -> None:
    client, transport = _client(504, b"<html>Gateway Time-out</html>", retries=10)
    with pytest.raises(OutcomeUnknown):
        _pay(client)
    assert len(transport.requests) == 1


# A synchronous payment blocks until the customer acts.


def test_a_call_waits_longer_for_its_answer_than_the_gateway_does_for_the_customer() -> None:
    assert DEFAULT_TIMEOUT[1] >= 110
    assert MpesaConfig.__dataclass_fields__["timeout"].default == DEFAULT_TIMEOUT


def test_a_payment_that_waits_for_its_customer_blocks_no_other() -> None:
    acted = threading.Event()

    class Waiting(_Answering):
        def send(self, request: HttpRequest) -> HttpResponse:
            if b"WAITS" in (request.body or b""):
                assert acted.wait(30)
            return super().send(request)

    client = MpesaClient(make_config(), transport=Waiting(200, _paid()))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_pay, client, "WAITS")
        assert _pay(client).kind is Kind.SUCCESS
        assert not waiting.done()
        acted.set()
        assert waiting.result(30).kind is Kind.SUCCESS


# `output_error` in place of a code, on a bad key or session.


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthenticationError), (403, AuthenticationError), (400, OutcomeUnknown),
     (500, OutcomeUnknown)],
)  # fmt: skip
def test_an_error_in_place_of_a_code_is_kept_in_words(status: int, error: type[Exception]) -> None:
    client, _ = _client(status, {"output_error": "Bad API key"})
    with pytest.raises(error, match="Bad API key"):
        _pay(client)


# INS-1 or an empty code where the balance was too small; INS-1 for a space before a reference.


@pytest.mark.parametrize(("status", "code"), [(500, "INS-1"), (200, ""), (400, "")])
def test_an_internal_error_or_an_empty_code_proves_nothing(status: int, code: str) -> None:
    client, transport = _client(status, {"output_ResponseCode": code})
    with pytest.raises(OutcomeUnknown):
        _pay(client)
    assert len(transport.requests) == 1


def test_a_reference_is_trimmed_before_it_is_sent() -> None:
    client, transport = _client(200, _paid())
    _pay(client, "  INVOICE 7 ")
    assert json.loads(transport.requests[0].body or b"")["input_TransactionReference"] == (
        "INVOICE 7"
    )


# The sandbox refuses a live shortcode, and the live host would collect for others with its own.


@pytest.mark.parametrize(
    "settings",
    [
        {"environment": "production"},
        {"environment": "production", "host": "api.vm.co.mz"},
        {"environment": "production", "host": "api.mpesa.vm.co.mz"},
        {"environment": "sandbox", "host": "API.vm.co.mz"},
        {"environment": "sandbox", "endpoints": {"c2b": "api.vm.co.mz:18352"}},
    ],
)
def test_the_sandboxs_shortcode_is_refused_on_the_live_host(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="others would be paid") as caught:
        make_config(service_provider_code="171717", **settings)
    assert caught.value.setting == "service_provider_code"
    make_config(service_provider_code="123456", **settings)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({}, []),
        ({"SERVICE_PROVIDER_CODE": "123456"}, [12]),
        ({"SERVICE_PROVIDER_CODE": "123456", "HOST": "api.sandbox.vm.co.mz"}, [12]),
        ({"SERVICE_PROVIDER_CODE": "123456", "HOST": "127.0.0.1"}, []),
        ({"SERVICE_PROVIDER_CODE": "123456", "ENVIRONMENT": "production"}, []),
    ],
)
def test_a_live_shortcode_at_the_sandbox_is_warned_of(
    options: dict[str, str], numbers: list[int]
) -> None:
    found = _doubts(**options)
    assert [doubt.number for doubt in found] == numbers
    assert not any(doubt.serious for doubt in found)


# Hosting providers block the outward ports.


def test_a_port_that_cannot_be_reached_is_named_with_what_may_be_the_reason() -> None:
    refused = not_connected(ConnectionRefusedError(), where="api.example:18352", behind=None)
    assert "api.example:18352" in str(refused)
    assert "hosting providers often block outward ports" in str(refused)


def test_of_a_port_of_this_machine_it_is_asked_whether_the_local_gateway_runs() -> None:
    # Bound and not listened on, so that nobody else can answer there.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = make_config(host="127.0.0.1", retries=0, endpoints={"c2b": f":{port}"})
        with MpesaClient(config) as client, pytest.raises(GatewayUnavailable) as caught:
            _pay(client)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "is it running? mpesa simulator starts the local gateway" in str(caught.value)
    assert "hosting providers" not in str(caught.value)
    assert isinstance(caught.value.__cause__, NotConnected)


def test_host_and_port_can_be_set_for_a_single_operation() -> None:
    settings = {"environment": "sandbox", "endpoints": {"c2b": "relay.example:443"}}
    client, transport = _client(200, _paid(), **settings)
    _pay(client)
    client.b2c(msisdn=MSISDN, amount=1, reference="T", third_party_reference="REF1")
    places = [request.url.split("/")[2] for request in transport.requests]
    assert places == ["relay.example:443", "api.sandbox.vm.co.mz:18345"]


# The HTTP status is not what tells.


@pytest.mark.parametrize("status", [200, 400, 408])
def test_the_code_decides_whatever_the_status(status: int) -> None:
    client, _ = _client(status, {"output_ResponseCode": "INS-2006"})
    with pytest.raises(PaymentDeclined, match="INS-2006"):
        _pay(client)


# IDs have been seen in several shapes, and a status answer without a transaction ID.


@pytest.mark.parametrize("conversation", ["AG_20180206_00005e7dccc6da08efa8", "0af3" * 8])
@pytest.mark.parametrize("transaction", ["4XDF12345", "a1b2c3d4e5f6"])
def test_ids_of_any_shape_are_kept_and_may_be_asked_for(
    conversation: str, transaction: str
) -> None:
    answer = _paid(output_TransactionID=transaction, output_ConversationID=conversation)
    client, _ = _client(200, answer)
    result = _pay(client)
    assert (result.transaction_id, result.conversation_id) == (transaction, conversation)
    for found in (transaction, conversation):
        client.prepare("query_transaction_status", query_reference=found)
    client.prepare("reversal", transaction_id=transaction)
    callback = {
        "input_OriginalConversationID": conversation,
        "input_ThirdPartyReference": "REF1",
        "input_TransactionID": transaction,
        "input_ResultCode": "0",
    }
    assert read_callback(json.dumps(callback).encode()).transaction_id == transaction


def test_a_status_is_read_without_a_transaction_id() -> None:
    client, _ = _client(
        200, {"output_ResponseCode": "INS-0", "output_ResponseTransactionStatus": "Completed"}
    )
    result = client.query_transaction_status(query_reference="X")
    assert result.transaction_status is TransactionStatus.COMPLETED
    assert result.transaction_id is None


# Status answers under `output_TransactionStatus`, and words that nobody documents.


@pytest.mark.parametrize(
    ("documented", "other", "status"),
    [(None, "Completed", "Completed"), ("N/A", "Success", "Success"),
     ("Pending", "Completed", "Pending")],
)  # fmt: skip
def test_the_documented_field_of_a_status_is_read_first(
    documented: str | None, other: str, status: str
) -> None:
    client, _ = _client(
        200,
        {
            "output_ResponseCode": "INS-0",
            "output_ResponseTransactionStatus": documented,
            "output_TransactionStatus": other,
        },
    )
    assert client.query_transaction_status(query_reference="X").transaction_status == status


@pytest.mark.parametrize("word", ["Success", "Successful", "Processing", "Rejected"])
def test_a_status_that_is_not_documented_proves_nothing(word: str) -> None:
    assert evidence_of_status(TransactionStatus(word)) is Evidence.NOTHING


# The sandbox has no customer names: INS-26.


@pytest.mark.parametrize(("environment", "named"), [("sandbox", True), ("local", False)])
def test_who_asks_the_sandbox_for_a_name_reads_that_it_has_no_such_service(
    environment: str, named: bool
) -> None:
    client, _ = _client(
        400, {"output_ResultCode": "INS-26", "output_CustomerName": "N/A"}, environment=environment
    )
    with pytest.raises(AuthenticationError, match="INS-26") as caught:
        client.query_customer_name(msisdn=MSISDN)
    assert ("The sandbox has no customer name service" in str(caught.value)) == named
    assert caught.value.result is not None


def test_a_broken_front_that_says_the_same_is_no_missing_service() -> None:
    client, _ = _client(503, {"output_ResultCode": "INS-26"}, environment="sandbox")
    with pytest.raises(GatewayUnavailable) as caught:
        client.query_customer_name(msisdn=MSISDN)
    assert "no customer name service" not in str(caught.value)


# An amount as a JSON number is taken, too.


def test_an_amount_is_sent_as_text_all_the_same() -> None:
    client, transport = _client(200, _paid())
    _pay(client)
    assert json.loads(transport.requests[0].body or b"")["input_Amount"] == "10.50"


# Other prefixes are other operators'.


@pytest.mark.parametrize(
    ("number", "operator"),
    [("86 123 4567", "Movitel"), ("87 123 4567", "Movitel"), ("82 123 4567", "Tmcel"),
     ("83 123 4567", "Tmcel")],
)  # fmt: skip
def test_another_operators_number_is_refused_by_its_operators_name(
    number: str, operator: str
) -> None:
    with pytest.raises(MsisdnError, match=operator):
        normalise_msisdn(number)
    assert MpesaConfig.__dataclass_fields__["msisdn_prefixes"].default == ("84", "85")


# Weakly founded, and so no refusal: the callback's port, the length of an API key.


@pytest.mark.parametrize(
    ("url", "serious"),
    [
        ("https://shop.example:12000", None),
        ("https://shop.example", False),
        ("https://shop.example:443", False),
        ("https://shop.example:8443", False),
        ("http://shop.example:12000", True),
        ("https://shop.example:x", True),
    ],
)
def test_a_callback_port_that_is_said_not_to_be_called_is_only_warned_of(
    url: str, serious: bool | None
) -> None:
    found = _doubts(CALLBACK_BASE_URL=url, CALLBACK_TOKEN="a-token-of-32-characters-or-more")
    assert [(doubt.number, doubt.serious) for doubt in found] == (
        [] if serious is None else [(10, serious)]
    )


def test_an_api_key_of_another_length_is_only_warned_of() -> None:
    assert [(doubt.number, doubt.serious) for doubt in _doubts(API_KEY="k" * 40)] == [(3, False)]
