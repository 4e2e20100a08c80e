"""Each scenario of the table, through raw TLS, by its test number and by the queue."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from mpesa_integrations.simulator import SCENARIOS, Simulator
from mpesa_integrations.simulator.scenario_queue import Scenarios
from tests.support.raw import RawClient, new_reference

PAID = {
    "success", "timeout_but_paid", "internal_error_but_paid", "empty_body", "truncated_json",
    "cut_after", "slow", "huge_answer", "wrong_reference", "callback_before_answer",
    "callback_twice", "callback_delayed", "callback_never",
    "overloaded_but_paid", "failed_but_paid", "overloaded_unawares", "front_504_then_paid",
    "output_error_but_paid",
}  # fmt: skip


def _heard(raw: RawClient, **changes: str) -> str:
    """What a caller without the library makes of it: a code, or what else happened."""
    try:
        response = raw.send("c2b", raw.parameters("c2b", **changes))
    except requests.ConnectionError:
        return "cut"
    if not response.content:
        return f"empty {response.status_code}"
    try:
        fields = response.json()
        if "output_error" in fields:
            return f"output_error {response.status_code}"
        return str(fields["output_ResponseCode"])
    except ValueError:
        kind = response.headers["Content-Type"].partition(";")[0]
        return f"unreadable {kind} {response.status_code}"


HEARD = {
    "insufficient_balance": "INS-2006",
    "cancelled": "INS-5",
    "wrong_pin": "INS-6",
    "pin_timeout": "INS-9",
    "timeout_but_paid": "INS-9",
    "overloaded": "INS-16",
    "internal_error": "INS-1",
    "internal_error_but_paid": "INS-1",
    "html": "unreadable text/html 502",
    "empty_body": "empty 200",
    "truncated_json": "unreadable application/json 201",
    "unknown_code": "INS-4711",
    "cut_before": "cut",
    "cut_after": "cut",
    "redirect": "empty 307",
    "overloaded_but_paid": "INS-16",
    "failed_but_paid": "INS-6",
    "overloaded_unawares": "INS-16",
    "front_403": "unreadable text/html 403",
    "strict_front": "unreadable text/html 403",  # it is a script that asks
    "front_504_then_paid": "unreadable text/html 504",
    "front_504_then_cancelled": "unreadable text/html 504",
    "output_error": "output_error 401",
    "output_error_but_paid": "output_error 400",
    "declined_with_200": "INS-2006",
    "declined_with_400": "INS-2006",
    "declined_with_408": "INS-2006",
}


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_queued_scenario_is_heard_once_and_does_with_the_money_what_it_says(
    raw: RawClient, mpesa_simulator: Simulator, name: str
) -> None:
    mpesa_simulator.scenarios.queue(name, operation="c2b", delay=0)
    reference = new_reference()
    assert _heard(raw, input_ThirdPartyReference=reference) == HEARD.get(name, "INS-0")
    mpesa_simulator.callbacks.drain()
    transaction = mpesa_simulator.ledger.find(reference)
    paid = transaction is not None and transaction.status == "Completed"
    assert paid == (name in PAID)
    assert mpesa_simulator.ledger.total() == 0
    assert _heard(raw) == "INS-0"


@pytest.mark.parametrize("name", [name for name, row in SCENARIOS.items() if row.number])
def test_a_test_number_and_a_test_amount_bring_the_scenario_about(
    raw: RawClient, mpesa_simulator: Simulator, name: str
) -> None:
    row = SCENARIOS[name]
    mpesa_simulator.scenarios.default_delay = 0
    expected = HEARD.get(name, "INS-0")
    assert _heard(raw, input_CustomerMSISDN=str(row.msisdn)) == expected
    assert _heard(raw, input_Amount=f"{row.amount:.2f}") == expected


def test_test_numbers_are_distinct_and_well_formed() -> None:
    numbers = [row.msisdn for row in SCENARIOS.values() if row.msisdn]
    assert len(set(numbers)) == len(numbers)
    assert all(len(number) == 12 and number.startswith("25884") for number in numbers)


def test_a_scenario_waits_for_the_request_it_is_meant_for(
    raw: RawClient, mpesa_simulator: Simulator
) -> None:
    wanted = new_reference()
    mpesa_simulator.scenarios.queue("cancelled", third_party_reference=wanted)
    mpesa_simulator.scenarios.queue("wrong_pin", msisdn="258850000000", times=2)
    assert raw.code("c2b") == "INS-0"
    assert raw.code("c2b", input_ThirdPartyReference=wanted) == "INS-5"
    for expected in ("INS-6", "INS-6", "INS-0"):
        assert raw.code("c2b", input_CustomerMSISDN="258850000000") == expected


def test_queries_and_reversals_can_fail_too(raw: RawClient, mpesa_simulator: Simulator) -> None:
    mpesa_simulator.scenarios.queue("code:INS-1", operation="query_transaction_status")
    mpesa_simulator.scenarios.queue("cut_after", operation="reversal")
    _, paid = raw.call("c2b")
    assert raw.code("query_transaction_status") == "INS-1"
    with pytest.raises(requests.ConnectionError):
        raw.call("reversal", input_TransactionID=paid["output_TransactionID"])
    found = mpesa_simulator.ledger.find(paid["output_TransactionID"])
    assert found is not None
    assert found.reversed_amount == found.amount


def test_a_slow_payment_is_pending_while_it_waits(
    raw: RawClient, mpesa_simulator: Simulator
) -> None:
    reference = new_reference()
    mpesa_simulator.scenarios.queue("slow", delay=600)
    caller = RawClient(mpesa_simulator)
    with pytest.raises(requests.ReadTimeout):
        caller.send("c2b", caller.parameters("c2b", input_ThirdPartyReference=reference),
                    timeout=0.3)  # fmt: skip
    caller.session.close()
    _, answer = raw.call("query_transaction_status", input_QueryReference=reference)
    assert answer["output_ResponseTransactionStatus"] == "Pending"


def test_a_payment_is_pending_after_the_front_has_given_up(
    raw: RawClient, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = threading.Event()
    settle = mpesa_simulator.ledger.settle

    def settle_once_decided(*args: Any) -> Any:
        assert decided.wait(30)
        return settle(*args)

    monkeypatch.setattr(mpesa_simulator.ledger, "settle", settle_once_decided)
    mpesa_simulator.scenarios.queue("front_504_then_paid", delay=0)
    reference = new_reference()

    def status() -> str:
        answer = raw.call("query_transaction_status", input_QueryReference=reference)[1]
        return str(answer["output_ResponseTransactionStatus"])

    assert _heard(raw, input_ThirdPartyReference=reference) == "unreadable text/html 504"
    assert status() == "Pending"
    decided.set()
    mpesa_simulator.callbacks.drain()
    assert status() == "Completed"


def test_each_scenario_waits_as_long_as_the_table_says_unless_told_otherwise() -> None:
    def delay(scenarios: Scenarios, name: str) -> float:
        return scenarios.choose(
            operation="c2b", msisdn=SCENARIOS[name].msisdn, amount=None, third_party_reference=None
        ).delay

    for_people, for_tests = Scenarios(), Scenarios()
    for_tests.default_delay = 0.2
    assert (delay(for_people, "slow"), delay(for_people, "front_504_then_paid")) == (3, 31)
    assert (delay(for_tests, "slow"), delay(for_tests, "front_504_then_paid")) == (0.2, 0.2)


@pytest.mark.parametrize(
    ("user_agent", "let_through"),
    [
        (None, False),
        ("", False),
        ("python-requests/2.32.5", False),
        ("Python/3.11 aiohttp/3.9.1", False),
        ("curl/8.5.0", False),
        ("Java-http-client/17.0.1", False),
        ("Go-http-client/1.1", False),
        ("mpesa-integrations/0.1.0", True),
        ("Mozilla/5.0 (X11; Linux x86_64)", True),
        ("Curlew-shop/1.0", True),
    ],
)
def test_a_strict_front_looks_at_the_user_agent(
    raw: RawClient, mpesa_simulator: Simulator, user_agent: str | None, let_through: bool
) -> None:
    mpesa_simulator.scenarios.queue("strict_front")
    headers = {**raw.headers(), "User-Agent": user_agent}
    response = raw.send("c2b", raw.parameters("c2b"), headers=headers)
    assert response.status_code == (201 if let_through else 403)
    assert len(mpesa_simulator.ledger.transactions()) == let_through


@pytest.mark.parametrize("status", [200, 400, 408])
def test_one_code_comes_with_several_http_statuses(
    raw: RawClient, mpesa_simulator: Simulator, status: int
) -> None:
    mpesa_simulator.scenarios.queue(f"declined_with_{status}")
    found, answer = raw.call("c2b")
    assert (found, answer["output_ResponseCode"]) == (status, "INS-2006")


def test_a_queue_is_used_up_by_as_many_requests_as_it_says(mpesa_simulator: Simulator) -> None:
    mpesa_simulator.scenarios.queue("cancelled", times=10)
    codes: list[str] = []

    def work() -> None:
        client = RawClient(mpesa_simulator)
        codes.extend(client.code("c2b") for _ in range(5))
        client.session.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == ["INS-0"] * 10 + ["INS-5"] * 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "no_such"}, "cut_after"),
        ({"name": "code:XYZ"}, "no scenario"),
        ({"name": "slow", "times": 0}, "times"),
        ({"name": "slow", "times": 1.5}, "times"),
        ({"name": "slow", "delay": -1}, "delay"),
    ],
)
def test_a_wrong_scenario_is_refused_in_words(
    mpesa_simulator: Simulator, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        mpesa_simulator.scenarios.queue(**arguments)  # type: ignore[arg-type]


def test_the_documentation_lists_every_scenario_with_its_numbers() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    for name, row in SCENARIOS.items():
        cells = [name, row.msisdn or "", f"{row.amount:.2f}" if row.amount else ""]
        line = next((line for line in text.splitlines() if line.startswith(f"| `{name}` ")), "")
        assert all(cell in line for cell in cells), f"docs/simulator.md lacks a row for {name}"
        assert ("| yes |" in line) == (name in PAID)
