"""The journal of calls: what is kept, what is not, and how it is found again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from mpesa_integrations.simulator import Simulator, calls
from mpesa_integrations.simulator.calls import Call, CallFilter, CallLog
from tests.support.endpoint import listening
from tests.support.raw import RawClient, new_reference


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CallLog]:
    log = CallLog(tmp_path / "calls.sqlite3")
    yield log
    log.close()


def _call(number: int = 1, **changes: object) -> Call:
    values: dict[str, object] = {
        "at": datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=number),
        "kind": "call", "operation": "c2b", "code": "INS-0", "outcome": "success",
        "http_status": 201, "seconds": 0.01, "amount": Decimal(number),
    }  # fmt: skip
    return Call(**{**values, **changes})  # type: ignore[arg-type]


def test_a_payment_is_kept_without_secrets(mpesa_simulator: Simulator, raw: RawClient) -> None:
    reference = new_reference()
    raw.call("c2b", input_ThirdPartyReference=reference, input_Amount="12.50")
    (call,) = mpesa_simulator.calls.select(CallFilter())
    assert (call.operation, call.code, call.outcome, call.http_status) == (
        "c2b", "INS-0", "success", 201
    )  # fmt: skip
    assert (call.msisdn, call.amount) == ("25884•••4567", Decimal("12.50"))
    assert call.third_party_reference == reference
    assert 0 < call.seconds < 5
    assert raw.token[:6] in call.sent
    for secret in (raw.token, raw.token[:20], "258841234567", mpesa_simulator.account.api_key):
        assert secret not in str(call)


def test_refusals_cuts_and_noise_are_kept_too(mpesa_simulator: Simulator, raw: RawClient) -> None:
    credential = mpesa_simulator.account.security_credential
    raw.call("reversal", input_TransactionID="NOSUCH")
    mpesa_simulator.scenarios.queue("html")
    raw.send("c2b", raw.parameters("c2b"))
    mpesa_simulator.scenarios.queue("cut_after")
    with pytest.raises(OSError, match=r"abort|reset|closed"):
        raw.send("c2b", raw.parameters("c2b"))
    raw.token = "wrong" * 10
    raw.call("c2b")
    found = mpesa_simulator.calls.select(CallFilter(), descending=False)
    assert [(c.operation, c.code, c.outcome, c.http_status) for c in found] == [
        ("reversal", "INS-18", "validation", 400),
        ("c2b", "", "unknown", 502),
        ("c2b", "", "unknown", None),
        ("c2b", "INS-2", "authentication", 401),
    ]
    assert credential not in found[0].sent
    assert found[2].problem


def test_half_a_character_and_deep_nesting_do_no_harm(
    mpesa_simulator: Simulator, raw: RawClient
) -> None:
    for body in (
        '{"input_TransactionReference": "\\ud800", "input_CustomerMSISDN": "\\udfff"}',
        '{"\\ud800": {"a": [NaN]}}',
        "[" * 100_000,
        '{"a": ' * 100_000,
    ):
        answer = raw.send("c2b", {}, data=body)
        assert answer.status_code == 400
    assert mpesa_simulator.calls.count(CallFilter(code="INS-21")) == 3
    assert mpesa_simulator.calls.count(CallFilter(code="INS-20")) == 1


def test_secrets_in_the_wrong_place_are_not_kept(
    mpesa_simulator: Simulator, raw: RawClient
) -> None:
    secret = mpesa_simulator.account.api_key
    body = {"security_credential": secret, "apiKey": secret, "x": {"y": secret}, "z": [secret]}
    for authorization in (secret, f"{secret} x", f"Basic {secret}", f"Bearer {secret}"):
        headers = {**raw.headers(), "Authorization": authorization}
        raw.send("c2b", body, headers=headers)
    for call in mpesa_simulator.calls.select(CallFilter()):
        assert secret not in str(call)
        assert secret[:8] not in call.sent


def test_an_accepted_payment_and_its_callback(
    mpesa_simulator: Simulator, raw: RawClient, tmp_path: Path
) -> None:
    with listening(tmp_path) as endpoint:
        mpesa_simulator.response_url = f"{endpoint.url}/a-long-and-secret-token/"
        raw.call("c2b")
        mpesa_simulator.callbacks.drain()
        mpesa_simulator.response_url = None
    (call,) = mpesa_simulator.calls.select(CallFilter(kind="call"))
    (callback,) = mpesa_simulator.calls.select(CallFilter(kind="callback"))
    assert (call.outcome, callback.outcome, callback.problem) == ("accepted", "success", "")
    assert "secret-token" not in callback.sent
    assert json.loads(callback.answered)["output_ResponseCode"] == "0"


def test_calls_are_filtered_sorted_and_bounded(
    log: CallLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "CALLS_KEPT", 150)
    for number in range(1, 201):
        log.record(_call(number, operation="b2c" if number % 2 else "c2b"))
    assert log.count(CallFilter()) == 150
    assert log.count(CallFilter(operation="b2c")) == 75
    assert log.values("operation") == ["b2c", "c2b"]
    dearest = log.select(CallFilter(), sort="amount", limit=2, offset=1)
    assert [call.amount for call in dearest] == [199, 198]
    since = CallFilter(since=datetime(2026, 1, 1, 3, 19, tzinfo=timezone.utc))
    assert [call.amount for call in log.select(since, descending=False)] == [199, 200]
    latest = log.select(CallFilter(), limit=1)[0]
    assert log.find(latest.id) == latest
    assert log.select(CallFilter(after=latest.id)) == []
    assert log.select(CallFilter(), sort="1; DROP TABLE call", limit=1) == [latest]
    with pytest.raises(ValueError, match="no choice"):
        log.values("sent")


def test_a_stopped_gateway_records_nothing(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.sqlite3")
    log.close()
    log.record(_call())
