"""The work of a call without a listener: what it waits for, and that no thread need wait."""

from __future__ import annotations

import json

import pytest

from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter
from mpesa_integrations.simulator.exchange import Answer, Request
from mpesa_integrations.simulator.gateway import steps_of_call
from mpesa_integrations.simulator.steps import AskCustomer, Pause, Steps
from tests.support.raw import RawClient


@pytest.fixture
def call(raw: RawClient, mpesa_simulator: Simulator) -> Steps[Answer]:
    return _call(raw, mpesa_simulator)


def _call(raw: RawClient, simulator: Simulator) -> Steps[Answer]:
    request = Request(
        method="POST",
        address="https://gateway.test",
        port=443,
        path="/ipg/v1x/c2bPayment/singleStage/",
        query={},
        headers={name.lower(): value for name, value in raw.headers().items()},
        body=json.dumps(raw.parameters("c2b")).encode(),
    )
    return steps_of_call(simulator, request)


def _end(call: Steps[Answer], came: str | None = None) -> Answer:
    with pytest.raises(StopIteration) as end:
        call.send(came)
    answer: Answer = end.value.value
    return answer


def test_a_call_that_waits_for_nothing_is_answered_at_once(call: Steps[Answer]) -> None:
    answer = _end(call)
    assert (answer.status, answer.fields["output_ResponseCode"]) == (201, "INS-0")


def test_a_thousand_calls_wait_for_their_customers_in_one_thread(
    raw: RawClient, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.auto_approve = False
    calls = [_call(raw, mpesa_simulator) for _ in range(1000)]
    asked = [next(call) for call in calls]
    assert all(isinstance(step, AskCustomer) for step in asked)
    assert {entry.status for entry in mpesa_simulator.ledger.transactions()} == {"Pending"}
    codes = ["INS-0" if number % 2 else "INS-5" for number in range(1000)]
    answers = [_end(call, code) for call, code in zip(calls, codes, strict=True)]
    assert [answer.fields["output_ResponseCode"] for answer in answers] == codes
    assert mpesa_simulator.ledger.total() == 0


def test_what_is_slow_says_for_how_long(call: Steps[Answer], mpesa_simulator: Simulator) -> None:
    mpesa_simulator.scenarios.queue("slow", delay=7)
    assert next(call) == Pause(7)
    assert _end(call).status == 201


def test_a_call_that_outlasts_a_reset_leaves_nothing_behind(
    call: Steps[Answer], mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("slow", delay=7)
    assert next(call) == Pause(7)
    mpesa_simulator.reset()
    assert _end(call).fields["output_ResponseCode"] == "INS-1"
    assert mpesa_simulator.ledger.transactions() == []
    assert mpesa_simulator.calls.select(CallFilter()) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ipg/v1x/c2bPayment/singleStage/", 405),
        ("OPTIONS", "/ipg/v1x/c2bPayment/singleStage/", 405),
        ("POST", "/ipg/v1x/noSuchThing/", 404),
    ],
)
def test_what_is_no_operation_is_no_call(
    raw: RawClient, mpesa_simulator: Simulator, method: str, path: str, status: int
) -> None:
    answer = raw.session.request(method, raw.account.base_url + path, timeout=10)
    assert answer.status_code == status
    assert mpesa_simulator.calls.select(CallFilter()) == []
