"""A customer who is asked for a PIN: approving, refusing, ignoring, in both modes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from mpesa_integrations.simulator import Simulator, phones
from mpesa_integrations.simulator.phones import Phones
from tests.support.endpoint import listening
from tests.support.raw import MSISDN, RawClient, new_reference

_MOST = 16
Answer = Future[tuple[int, dict[str, Any]]]
Pay = Callable[..., tuple[str, Answer]]


@pytest.fixture
def pay(mpesa_simulator: Simulator, raw: RawClient) -> Iterator[Pay]:
    """Call in the background, since the answer waits for the customer."""
    mpesa_simulator.auto_approve = False
    with ThreadPoolExecutor(_MOST) as pool:

        def call(operation: str = "c2b", **changes: str) -> tuple[str, Answer]:
            reference = new_reference()
            changes = {"input_ThirdPartyReference": reference, **changes}
            return reference, pool.submit(raw.call, operation, **changes)

        yield call
        mpesa_simulator.reset()


@pytest.mark.parametrize(
    ("decision", "status", "code", "stands"),
    [("approve", 201, "INS-0", "Completed"), ("refuse", 401, "INS-5", "Cancelled")],
)
def test_the_answer_waits_for_the_customer(
    mpesa_simulator: Simulator, pay: Pay, decision: str, status: int, code: str, stands: str
) -> None:
    reference, answer = pay()
    prompt = mpesa_simulator.phones.wait(reference)
    assert not answer.done()
    found = mpesa_simulator.ledger.find(reference)
    assert found is not None
    assert found.status == "Pending"
    getattr(mpesa_simulator.phones, decision)(prompt.transaction.conversation_id)
    http_status, fields = answer.result(30)
    assert (http_status, fields["output_ResponseCode"]) == (status, code)
    found = mpesa_simulator.ledger.find(reference)
    assert found is not None
    assert found.status == stands
    assert mpesa_simulator.phones.waiting == []
    with pytest.raises(LookupError, match="waits"):
        mpesa_simulator.phones.approve(prompt.transaction.conversation_id)


def test_a_customer_who_does_nothing_ends_with_the_documented_code(
    mpesa_simulator: Simulator, pay: Pay
) -> None:
    mpesa_simulator.phones.pin_timeout = 0.1
    reference, answer = pay()
    http_status, fields = answer.result(30)
    assert (http_status, fields["output_ResponseCode"]) == (408, "INS-9")
    found = mpesa_simulator.ledger.find(reference)
    assert found is not None
    assert found.status == "Expired"
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000


def test_an_approved_payment_still_needs_money(mpesa_simulator: Simulator, pay: Pay) -> None:
    reference, answer = pay(input_Amount="100000.01")
    prompt = mpesa_simulator.phones.wait(reference)
    mpesa_simulator.phones.approve(prompt.transaction.conversation_id)
    assert answer.result(30)[1]["output_ResponseCode"] == "INS-2006"


def test_only_payments_by_customers_ask_and_scenarios_decide_themselves(
    mpesa_simulator: Simulator, pay: Pay
) -> None:
    assert pay("b2c")[1].result(10)[0] == 201
    cancelled = pay(input_CustomerMSISDN="258840000002")[1].result(10)
    assert cancelled[1]["output_ResponseCode"] == "INS-5"


def test_in_asynchronous_mode_the_callback_waits(
    mpesa_simulator: Simulator, pay: Pay, tmp_path: Path
) -> None:
    with listening(tmp_path) as endpoint:
        mpesa_simulator.response_url = endpoint.url
        reference, answer = pay()
        assert answer.result(30)[1]["output_TransactionID"] == "N/A"
        prompt = mpesa_simulator.phones.wait(reference)
        assert endpoint.bodies == []
        mpesa_simulator.phones.refuse(prompt.transaction.conversation_id)
        mpesa_simulator.callbacks.drain()
        assert [body["input_ResultCode"] for body in endpoint.bodies] == ["INS-5"]
        mpesa_simulator.response_url = None


def test_too_many_waiting_customers_are_turned_away(
    mpesa_simulator: Simulator, pay: Pay, raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phones, "MOST_WAITING", _MOST)
    answers = [pay() for _ in range(_MOST)]
    for reference, _ in answers:
        mpesa_simulator.phones.wait(reference)
    reference = new_reference()
    assert raw.code("c2b", input_ThirdPartyReference=reference) == "INS-16"
    assert mpesa_simulator.ledger.find(reference) is None
    mpesa_simulator.reset()
    codes = {answer.result(30)[1]["output_ResponseCode"] for _, answer in answers}
    assert codes <= {"INS-9", "INS-1"}  # the latter where the ledger was emptied first


def test_the_control_interface_answers_prompts(mpesa_simulator: Simulator, pay: Pay) -> None:
    def control(method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method, f"{mpesa_simulator.control_url}/simulator{path}", json=body,
            verify=mpesa_simulator.account.ca_file, timeout=10,
        )  # fmt: skip

    reference, answer = pay()
    mpesa_simulator.phones.wait(reference)
    (waiting,) = control("GET", "/prompts").json()["waiting"]
    assert (waiting["third_party_reference"], waiting["amount"]) == (reference, "10.00")
    path = f"/prompts/{waiting['conversation_id']}"
    assert control("POST", path, {"decision": "perhaps"}).status_code == 400
    assert control("POST", path, {"decision": "approve"}).status_code == 204
    assert answer.result(30)[0] == 201
    gone = control("POST", path, {"decision": "approve"})
    assert gone.status_code == 400
    assert "waits for a PIN" in gone.json()["problem"]
    assert control("PUT", "/auto-approve", {"auto_approve": "yes"}).status_code == 400
    assert control("PUT", "/auto-approve", {"auto_approve": True}).status_code == 204
    assert mpesa_simulator.auto_approve


def test_stopping_waits_for_nobody(state_dir: Path) -> None:
    with Simulator(state_dir) as simulator, ThreadPoolExecutor(1) as pool:
        simulator.auto_approve = False
        raw = RawClient(simulator)
        pool.submit(raw.code, "c2b", input_ThirdPartyReference="STOPPING")
        prompt = simulator.phones.wait("STOPPING")
        started = time.monotonic()
        simulator.stop()
        raw.session.close()
    assert time.monotonic() - started < 10
    stopped = Phones()
    stopped.stop()
    assert stopped.show(prompt.transaction).result(0) == "INS-9"
