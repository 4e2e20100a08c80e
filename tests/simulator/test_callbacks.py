"""Asynchronous mode: early answers, callbacks and their acknowledgement."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mpesa_integrations.simulator import Delivery, Simulator, Transaction, callbacks
from mpesa_integrations.simulator.delivery import post_result
from tests.support.endpoint import Endpoint, acknowledge, listening
from tests.support.raw import RawClient, new_reference
from tests.support.waiting import until


@pytest.fixture
def endpoint(mpesa_simulator: Simulator, tmp_path: Path) -> Iterator[Endpoint]:
    with listening(tmp_path) as found:
        mpesa_simulator.response_url = found.url
        mpesa_simulator.callbacks.retry_delays = (0.01, 0.01)
        yield found
        mpesa_simulator.reset()


def test_the_early_answer_has_no_transaction_and_the_callback_has(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint
) -> None:
    reference = new_reference()
    _, answer = raw.call("c2b", input_ThirdPartyReference=reference)
    assert answer["output_ResponseCode"] == "INS-0"
    assert answer["output_TransactionID"] == "N/A"
    mpesa_simulator.callbacks.drain()
    (body,) = endpoint.bodies
    transaction = mpesa_simulator.ledger.find(reference)
    assert transaction is not None
    assert body == {
        "input_OriginalConversationID": answer["output_ConversationID"],
        "input_ThirdPartyReference": reference,
        "input_TransactionID": transaction.transaction_id,
        "input_ResultCode": "0",
        "input_ResultDesc": "Request processed successfully",
    }
    (delivery,) = mpesa_simulator.callbacks.deliveries
    assert delivery.acknowledged


def test_a_refusal_comes_by_callback_too(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint
) -> None:
    assert raw.code("c2b", input_CustomerMSISDN="258840000001") == "INS-0"
    mpesa_simulator.callbacks.drain()
    assert endpoint.bodies[0]["input_ResultCode"] == "INS-2006"
    assert endpoint.bodies[0]["input_TransactionID"] == "N/A"
    assert mpesa_simulator.ledger.balance("258840000001") == 100000


def test_a_callback_can_come_before_the_answer(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint
) -> None:
    mpesa_simulator.scenarios.queue("callback_before_answer")
    _, answer = raw.call("c2b")
    assert len(endpoint.bodies) == 1  # no waiting: it was there when the answer came
    assert answer["output_TransactionID"] == "N/A"


def test_a_callback_can_come_twice_or_never(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint
) -> None:
    mpesa_simulator.scenarios.queue("callback_twice")
    raw.call("c2b")
    mpesa_simulator.callbacks.drain()
    assert len(endpoint.bodies) == 2
    assert endpoint.bodies[0] == endpoint.bodies[1]
    mpesa_simulator.scenarios.queue("callback_never")
    reference = new_reference()
    raw.call("c2b", input_ThirdPartyReference=reference)
    mpesa_simulator.callbacks.drain()
    assert len(endpoint.bodies) == 2
    transaction = mpesa_simulator.ledger.find(reference)
    assert transaction is not None
    assert transaction.status == "Completed"


def test_a_payment_is_pending_until_its_delayed_callback(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint
) -> None:
    mpesa_simulator.scenarios.queue("callback_delayed", delay=600)
    reference = new_reference()
    raw.call("c2b", input_ThirdPartyReference=reference)
    _, answer = raw.call("query_transaction_status", input_QueryReference=reference)
    assert answer["output_ResponseTransactionStatus"] == "Pending"
    assert answer["output_TransactionID"] == "N/A"
    assert endpoint.bodies == []


def test_a_reset_waits_for_what_is_being_delivered_and_gives_up_the_rest(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[str] = []
    answered = threading.Event()

    def post_slowly(url: str, transaction: Transaction, **attempt: int) -> Delivery:
        posted.append(transaction.third_party_reference)
        answered.wait(30)
        return post_result(url, transaction, **attempt)

    monkeypatch.setattr(callbacks, "post_result", post_slowly)
    monkeypatch.setattr(mpesa_simulator.callbacks, "_pool", ThreadPoolExecutor(2))
    for _ in range(5):
        raw.call("c2b")
    until(lambda: len(posted) == 2)
    with ThreadPoolExecutor(1) as other:
        reset = other.submit(mpesa_simulator.reset)
        until(lambda: mpesa_simulator.response_url is None)
        answered.set()
        reset.result(30)
    assert len(posted) == len(endpoint.bodies) == 2


def test_callbacks_take_their_time_again_after_a_reset_that_did_not_end(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_long() -> None:
        raise TimeoutError

    with monkeypatch.context() as stuck:
        stuck.setattr(mpesa_simulator.callbacks, "drain", too_long)
        with pytest.raises(TimeoutError):
            mpesa_simulator.reset()
    mpesa_simulator.response_url = endpoint.url
    mpesa_simulator.scenarios.queue("callback_delayed", delay=600)
    reference = new_reference()
    raw.call("c2b", input_ThirdPartyReference=reference)
    _, answer = raw.call("query_transaction_status", input_QueryReference=reference)
    assert answer["output_ResponseTransactionStatus"] == "Pending"


def test_a_reversal_is_asynchronous_too(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint
) -> None:
    raw.call("c2b")
    mpesa_simulator.callbacks.drain()
    paid = endpoint.bodies[0]["input_TransactionID"]
    assert raw.code("reversal", input_TransactionID=paid) == "INS-0"
    mpesa_simulator.callbacks.drain()
    assert endpoint.bodies[1]["input_ResultCode"] == "0"
    found = mpesa_simulator.ledger.find(paid)
    assert found is not None
    assert found.reversed_amount == found.amount


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (("500 Internal Server Error", b""), "HTTP 500"),
        (("200 OK", b"<html>"), "not JSON"),
        (("200 OK", b"[" * 60_000), "not JSON"),
        (("200 OK", b"[]"), "not a JSON object"),
        (("200 OK", b'{"output_ResponseCode": 0}'), "output_ResponseCode"),
    ],
)
def test_an_answer_that_does_not_acknowledge_is_retried_and_explained(
    raw: RawClient,
    mpesa_simulator: Simulator,
    endpoint: Endpoint,
    answer: tuple[str, bytes],
    words: str,
) -> None:
    endpoint.answer = lambda body: answer if len(endpoint.bodies) < 3 else acknowledge(body)
    raw.call("c2b")
    mpesa_simulator.callbacks.drain()
    deliveries = mpesa_simulator.callbacks.deliveries
    assert [delivery.acknowledged for delivery in deliveries] == [False, False, True]
    assert words in str(deliveries[0].problem)


def test_an_endpoint_that_is_not_there_is_given_up(
    raw: RawClient, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.response_url = "https://127.0.0.1:18999/nobody"
    mpesa_simulator.callbacks.retry_delays = (0.01,)
    raw.call("c2b")
    mpesa_simulator.callbacks.drain()
    deliveries = mpesa_simulator.callbacks.deliveries
    assert len(deliveries) == 2
    assert all("no answer" in str(delivery.problem) for delivery in deliveries)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:12000/", "https"),
        ("https://127.0.0.1/", "11000 to 19000"),
        ("https://127.0.0.1:10999/", "11000 to 19000"),
        ("https://127.0.0.1:19001/", "11000 to 19000"),
        ("https://127.0.0.1:banana/", "cannot be read"),
        ("https:///path", "name a host"),
        ("not a url", "https"),
        ("https://user:pass@127.0.0.1:12000/", "user name"),
        ("https://192.0.2.1:12000/", "this machine"),
    ],
)
def test_a_response_url_that_is_not_called_is_refused_with_the_reason(
    mpesa_simulator: Simulator, url: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        mpesa_simulator.response_url = url
    assert mpesa_simulator.response_url is None


@pytest.mark.parametrize("port", [11000, 19000])
def test_the_ends_of_the_port_range_are_in_it(mpesa_simulator: Simulator, port: int) -> None:
    mpesa_simulator.response_url = f" https://127.0.0.1:{port}/callback "
    assert mpesa_simulator.response_url == f"https://127.0.0.1:{port}/callback"


def test_clearing_the_url_returns_to_synchronous_mode(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint
) -> None:
    mpesa_simulator.response_url = ""
    _, answer = raw.call("c2b")
    assert answer["output_TransactionID"] != "N/A"
    assert endpoint.bodies == []


def test_a_callback_names_no_secret(
    raw: RawClient, mpesa_simulator: Simulator, endpoint: Endpoint
) -> None:
    raw.call("c2b")
    mpesa_simulator.callbacks.drain()
    text = json.dumps(endpoint.bodies)
    assert raw.account.api_key not in text
    assert raw.account.security_credential not in text
