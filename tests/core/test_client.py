"""The client against the local gateway: real TLS, real decryption, a ledger to compare with."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from mpesa_integrations import (
    AuthenticationError,
    CallContext,
    ConfigurationError,
    DuplicateTransaction,
    GatewayUnavailable,
    Kind,
    MpesaClient,
    MpesaError,
    OutcomeUnknown,
    PaymentDeclined,
    ResponseCode,
    TransactionStatus,
    ValidationError,
)
from mpesa_integrations.core.protocol.authentication import encrypt_api_key
from mpesa_integrations.simulator import SCENARIOS, Simulator
from tests.support.reports import NUMBER, leaks
from tests.support.waiting import until

from .conftest import MakeClient

MSISDN = "84 123 4567"


@pytest.fixture
def mpesa_client(mpesa_simulator: Simulator, client_of: MakeClient) -> MpesaClient:
    """A client of the gateway, of each kind."""
    return client_of(mpesa_simulator.config)


def test_a_payment_through_its_whole_life(
    mpesa_client: MpesaClient, mpesa_simulator: Simulator
) -> None:
    paid = mpesa_client.c2b(msisdn=MSISDN, amount="100.50", reference="INVOICE 7")
    assert (paid.kind, paid.code) == (Kind.SUCCESS, ResponseCode.SUCCESS)
    assert paid.transaction_id
    assert paid.elapsed > 0
    for reference in (paid.transaction_id, paid.conversation_id, paid.third_party_reference):
        found = mpesa_client.query_transaction_status(query_reference=str(reference))
        assert found.transaction_status is TransactionStatus.COMPLETED
        assert found.transaction_id == paid.transaction_id
    part = mpesa_client.reverse(transaction_id=paid.transaction_id, amount=Decimal("0.50"))
    rest = mpesa_client.reverse(transaction_id=paid.transaction_id)
    assert part.transaction_id != rest.transaction_id
    assert mpesa_simulator.ledger.balance("258841234567") == 100000
    with pytest.raises(PaymentDeclined):
        mpesa_client.reverse(transaction_id=paid.transaction_id)


def test_payouts_and_a_name(mpesa_client: MpesaClient, mpesa_simulator: Simulator) -> None:
    mpesa_client.b2c(msisdn=MSISDN, amount=40, reference="PRIZE")
    mpesa_client.b2b(receiver_shortcode="979797", amount=60, reference="SUPPLIER")
    assert mpesa_simulator.ledger.balance("171717") == 1000000 - 100
    assert mpesa_simulator.ledger.balance("979797") == 60
    assert "**" in str(mpesa_client.query_customer_name(msisdn=MSISDN).customer_name)


def test_any_other_path_can_be_called(
    mpesa_client: MpesaClient, mpesa_simulator: Simulator
) -> None:
    context = CallContext(
        method="post",
        path="/ipg/v1x/c2bPayment/singleStage/",
        parameters={
            "input_TransactionReference": "T1",
            "input_CustomerMSISDN": "258841234567",
            "input_Amount": "3",
            "input_ThirdPartyReference": "GENERIC1",
            "input_ServiceProviderCode": "171717",
        },
    )
    result = mpesa_client.call(context)
    assert (result.kind, result.third_party_reference) == (Kind.SUCCESS, "GENERIC1")
    with pytest.raises(DuplicateTransaction):
        mpesa_client.call(context)
    with pytest.raises(AuthenticationError):
        mpesa_client.call(replace(context, headers={"Authorization": "Bearer none"}))
    with pytest.raises(AuthenticationError):
        mpesa_client.call(replace(context, api_key="k" * 32))
    with pytest.raises(OutcomeUnknown):
        mpesa_client.call(replace(context, path="/no/such/path"))
    with pytest.raises(GatewayUnavailable):
        mpesa_client.call(replace(context, path="/no/such/path", method="GET"))
    name = mpesa_client.call(
        CallContext(
            method="GET",
            path="/ipg/v1x/queryCustomerName/",
            address=mpesa_client.config.host,
            port=mpesa_client.config.port,
            ssl=True,
            public_key=mpesa_client.config.public_key,
            parameters={
                "input_CustomerMSISDN": "258841234567",
                "input_ServiceProviderCode": "171717",
                "input_ThirdPartyReference": "GENERIC2",
            },
        )
    )
    assert name.raw["output_CustomerName"]
    for wrong in (replace(context, method="TRACE"), replace(context, path="ipg")):
        with pytest.raises(ConfigurationError):
            mpesa_client.call(wrong)


EXPECTED: dict[str, type[MpesaError]] = {
    "insufficient_balance": PaymentDeclined,
    "cancelled": PaymentDeclined,
    "wrong_pin": PaymentDeclined,
    "pin_timeout": OutcomeUnknown,
    "timeout_but_paid": OutcomeUnknown,
    "overloaded": GatewayUnavailable,
    "internal_error": OutcomeUnknown,
    "internal_error_but_paid": OutcomeUnknown,
    "html": OutcomeUnknown,
    "empty_body": OutcomeUnknown,
    "truncated_json": OutcomeUnknown,
    "unknown_code": OutcomeUnknown,
    "cut_before": OutcomeUnknown,
    "cut_after": OutcomeUnknown,
    "huge_answer": OutcomeUnknown,
    "redirect": OutcomeUnknown,
    "wrong_reference": OutcomeUnknown,
    "overloaded_but_paid": OutcomeUnknown,
    "failed_but_paid": OutcomeUnknown,
    "overloaded_unawares": OutcomeUnknown,
    "front_403": OutcomeUnknown,
    "front_504_then_paid": OutcomeUnknown,
    "front_504_then_cancelled": OutcomeUnknown,
    "output_error": AuthenticationError,
    "output_error_but_paid": OutcomeUnknown,
    "declined_with_200": PaymentDeclined,
    "declined_with_400": PaymentDeclined,
    "declined_with_408": PaymentDeclined,
}


def _is_pending(simulator: Simulator, reference: str) -> bool:
    transaction = simulator.ledger.find(reference)
    return transaction is not None and transaction.status == "Pending"


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_each_scenario_comes_out_as_what_it_proves(
    mpesa_client: MpesaClient, mpesa_simulator: Simulator, name: str
) -> None:
    mpesa_simulator.scenarios.queue(name, times=3 if name == "overloaded" else 1, delay=0)
    if name not in EXPECTED:
        assert mpesa_client.c2b(msisdn=MSISDN, amount=1, reference="T").kind is Kind.SUCCESS
        return
    with pytest.raises(EXPECTED[name]) as caught:
        mpesa_client.c2b(msisdn=MSISDN, amount=1, reference="T")
    reference = str(caught.value.third_party_reference)
    # Behind a front that gave up, the customer is still being asked.
    until(lambda: not _is_pending(mpesa_simulator, reference))
    transaction = mpesa_simulator.ledger.find(reference)
    moved = transaction is not None and transaction.status == "Completed"
    if EXPECTED[name] is not OutcomeUnknown:
        assert not moved
    # However it ended, asking tells what the ledger knows.
    found = mpesa_client.query_transaction_status(query_reference=reference)
    assert (found.transaction_status is TransactionStatus.COMPLETED) == moved


def test_overload_that_passes_is_not_noticed(
    mpesa_client: MpesaClient, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("overloaded", times=2)
    assert mpesa_client.c2b(msisdn=MSISDN, amount=1, reference="T").kind is Kind.SUCCESS
    assert len(mpesa_simulator.ledger.transactions()) == 1


def test_an_answer_that_takes_too_long_is_unknown_and_pending(
    mpesa_simulator: Simulator, client_of: MakeClient
) -> None:
    mpesa_simulator.scenarios.queue("slow", delay=600)
    config = replace(mpesa_simulator.config, timeout=(5, 0.3))
    with client_of(config) as client, pytest.raises(OutcomeUnknown) as caught:
        client.c2b(msisdn=MSISDN, amount=1, reference="T")
    with client_of(mpesa_simulator.config) as patient:
        found = patient.query_transaction_status(
            query_reference=str(caught.value.third_party_reference)
        )
    assert found.transaction_status is TransactionStatus.PENDING


def test_a_gateway_refusal_names_the_argument(
    mpesa_client: MpesaClient, mpesa_simulator: Simulator
) -> None:
    with pytest.raises(ValidationError) as caught:
        mpesa_client.reverse(transaction_id="NOSUCHTHING")
    assert list(caught.value.errors) == ["transaction_id"]
    assert caught.value.result is not None
    assert caught.value.result.code == "INS-18"


def test_an_asynchronous_payment_is_accepted(
    mpesa_client: MpesaClient, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.response_url = "https://127.0.0.1:18998/nobody"
    mpesa_simulator.callbacks.retry_delays = ()
    result = mpesa_client.c2b(msisdn=MSISDN, amount=1, reference="T")
    assert (result.kind, result.transaction_id) == (Kind.ACCEPTED, None)
    assert result.conversation_id
    mpesa_simulator.callbacks.drain()


def test_a_renewed_key_is_used_from_the_next_call_on(
    mpesa_client: MpesaClient, mpesa_simulator: Simulator
) -> None:
    mpesa_client.query_customer_name(msisdn=MSISDN)
    mpesa_simulator.renew_api_key()
    with pytest.raises(AuthenticationError) as caught:
        mpesa_client.c2b(msisdn=MSISDN, amount=1, reference="T")
    assert "INS-2" in str(caught.value)
    mpesa_client.renew(api_key=mpesa_simulator.account.api_key)
    assert mpesa_client.c2b(msisdn=MSISDN, amount=1, reference="T").kind is Kind.SUCCESS


def test_a_function_that_gives_the_current_key_needs_no_renewal(
    mpesa_simulator: Simulator, client_of: MakeClient
) -> None:
    with client_of(lambda: mpesa_simulator.config) as client:
        client.query_customer_name(msisdn=MSISDN)
        mpesa_simulator.renew_api_key()
        client.query_customer_name(msisdn=MSISDN)


def test_the_token_is_made_once_per_key(
    mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch, client_of: MakeClient
) -> None:
    made: list[str] = []

    def counting(api_key: str, public_key: str) -> str:
        made.append(api_key)
        return encrypt_api_key(api_key, public_key)

    monkeypatch.setattr("mpesa_integrations.core.client.base.encrypt_api_key", counting)
    with client_of(mpesa_simulator.config) as client:
        for _ in range(5):
            client.query_customer_name(msisdn=MSISDN)
        assert len(made) == 1
        client.renew(api_key=mpesa_simulator.renew_api_key())
        client.query_customer_name(msisdn=MSISDN)
        assert len(made) == 2


def test_a_key_renewed_under_sixteen_threads_leaves_no_thread_behind(
    mpesa_simulator: Simulator,
) -> None:
    renewed = threading.Event()
    with MpesaClient(mpesa_simulator.config) as client:

        def work(number: int) -> None:
            while not renewed.is_set():
                try:
                    client.query_customer_name(msisdn=MSISDN)
                except AuthenticationError:
                    assert client.config.api_key  # between the gateway's renewal and ours
            client.query_customer_name(msisdn=MSISDN)

        with ThreadPoolExecutor(16) as pool:
            futures = [pool.submit(work, number) for number in range(16)]
            for _ in range(5):
                client.renew(api_key=mpesa_simulator.renew_api_key())
            renewed.set()
            for future in futures:
                future.result(timeout=30)


@pytest.mark.slow
def test_32_threads_share_a_client_and_640_payments_agree_with_the_ledger(
    mpesa_simulator: Simulator,
) -> None:
    amounts = [Decimal(number % 977 + 1).scaleb(-2) for number in range(640)]
    with MpesaClient(mpesa_simulator.config) as client:

        def pay(number: int) -> tuple[str, str, Decimal]:
            result = client.c2b(
                msisdn=f"84{number % 90:07}" if number % 90 > 50 else MSISDN,
                amount=amounts[number],
                reference=f"N{number}",
            )
            return (
                str(result.third_party_reference), str(result.transaction_id), amounts[number]
            )  # fmt: skip

        with ThreadPoolExecutor(32) as pool:
            results = list(pool.map(pay, range(640)))
    ledger = mpesa_simulator.ledger
    booked = {
        (t.third_party_reference, str(t.transaction_id), t.amount)
        for t in ledger.transactions()
        if t.status == "Completed"
    }
    assert booked == set(results)
    assert len({reference for reference, _, _ in results}) == 640
    assert ledger.balance("171717") == 1000000 + sum(amounts)
    assert ledger.total() == 0


def test_no_answer_shows_a_number(mpesa_simulator: Simulator, client_of: MakeClient) -> None:
    with client_of(mpesa_simulator.config) as client:
        result = client.query_customer_name(msisdn=NUMBER)
    assert leaks(f"{result!r} {result}", []) == []
