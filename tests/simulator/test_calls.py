"""The journal of calls: what is kept, what is not, and how it is found again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.call_log import CallLog
from mpesa_integrations.simulator.calls import Call, CallFilter
from mpesa_integrations.simulator.ledger import Ledger
from tests.support.endpoint import listening
from tests.support.raw import RawClient, new_reference

from .portal_client import PortalClient


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CallLog]:
    log = _opened(tmp_path)
    yield log
    log.close()


def _opened(directory: Path) -> CallLog:
    Ledger(directory / "ledger.sqlite3").close()
    return CallLog(directory / "calls.sqlite3", directory / "ledger.sqlite3")


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
    assert (call.msisdn, call.amount) == ("258841234567", Decimal("12.50"))
    assert call.third_party_reference == reference
    assert 0 < call.seconds < 5
    assert raw.token[:6] in call.sent
    for secret in (raw.token, raw.token[:20], mpesa_simulator.account.api_key):
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
    assert mpesa_simulator.calls.count(CallFilter(code="INS-21")) == 4


def test_what_is_too_long_to_be_read_can_still_be_shown(
    mpesa_simulator: Simulator, raw: RawClient, portal: PortalClient
) -> None:
    many = {f"input_{number}": "\0" * 500 for number in range(20)}
    raw.send("c2b", {**many, "input_Amount": "1"})
    raw.send("c2b", {f"input_{number}": 10**4000 for number in range(20)})
    raw.send("c2b", {}, headers={**raw.headers(), "Host": "h" * 30_000})
    for call in mpesa_simulator.calls.select(CallFilter()):
        assert set(json.loads(call.sent)) == {"method", "url", "headers", "parameters"}
        assert len(call.sent) <= 20_000
    assert portal.get("log").status_code == 200


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
    assert (callback.msisdn, callback.amount) == (call.msisdn, call.amount)
    (group,) = mpesa_simulator.calls.groups(CallFilter(), limit=5)
    assert group == (call, [callback])
    assert json.loads(callback.answered)["output_ResponseCode"] == "0"


def test_calls_are_filtered_sorted_and_bounded(log: CallLog) -> None:
    log.kept = 150
    for number in range(1, 201):
        log.record(_call(number, operation="b2c" if number % 2 else "c2b"))
    assert log.count(CallFilter()) == 150
    assert log.count(CallFilter(operation="b2c")) == 75
    assert {row.operation for row in log.tally(CallFilter())} == {"b2c", "c2b"}
    dearest = log.select(CallFilter(), sort="amount", limit=2, offset=1)
    assert [call.amount for call in dearest] == [199, 198]
    since = CallFilter(since=datetime(2026, 1, 1, 3, 19, tzinfo=timezone.utc))
    assert [call.amount for call in log.select(since, descending=False)] == [199, 200]
    until = CallFilter(
        since=datetime(2026, 1, 1, 3, 17, tzinfo=timezone.utc),
        until=datetime(2026, 1, 1, 3, 19, tzinfo=timezone.utc),
    )
    assert [call.amount for call in log.select(until, descending=False)] == [197, 198]
    latest = log.select(CallFilter(), limit=1)[0]
    assert log.find(latest.id) == latest
    assert log.select(CallFilter(), sort="1; DROP TABLE call", limit=1) == [latest]


def test_a_payment_is_found_by_whatever_is_in_it_or_in_its_callbacks(
    mpesa_simulator: Simulator, raw: RawClient, tmp_path: Path
) -> None:
    log = mpesa_simulator.calls
    reference = new_reference()
    raw.call("c2b", input_ThirdPartyReference=reference, input_TransactionReference="100%_off\\1")
    raw.call("b2b")
    with listening(tmp_path) as endpoint:
        mpesa_simulator.response_url = endpoint.url
        raw.call("c2b", input_Amount="77.77")
        mpesa_simulator.callbacks.send_test()
        mpesa_simulator.callbacks.drain()
    (later,) = mpesa_simulator.ledger.latest(1)

    def found(text: str) -> list[Decimal | None]:
        return [group.call.amount for group in log.groups(CallFilter(search=text), limit=9)]

    assert found(reference.lower()) == [Decimal(10)]
    assert found("+258 84 123-4567") == found("258841234567") == [Decimal("77.77"), Decimal(10)]
    assert found("100%_off") == [Decimal(10)]
    assert found("1000_off") == []
    assert later.transaction_id
    assert found(later.transaction_id) == [Decimal("77.77")]  # its callback told that
    assert found("TEST") == [Decimal(1)]
    assert len(log.groups(CallFilter(), limit=9)) == 4
    assert len(log.groups(CallFilter(), limit=2)) == 2


def test_a_stopped_gateway_records_nothing(tmp_path: Path) -> None:
    log = _opened(tmp_path)
    log.close()
    log.record(_call())


def test_a_journal_that_cannot_be_written_says_so_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mpesa_integrations.simulator.call_log._PRUNE_EVERY", 1)
    with closing(_opened(tmp_path)) as log:
        for occasion in ("DELETE", "INSERT"):
            with closing(sqlite3.connect(tmp_path / "calls.sqlite3")) as full:
                full.execute(
                    f"CREATE TRIGGER t{occasion} BEFORE {occasion} ON call"
                    f" BEGIN SELECT RAISE(FAIL, 'full at {occasion}'); END"
                )
            log.kept = 0
            log.record(_call())
            assert f"calls.not_recorded problem=full at {occasion}" in caplog.text


def test_a_journal_of_an_older_version_is_begun_anew(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "calls.sqlite3")) as old:
        old.execute("CREATE TABLE call (id INTEGER PRIMARY KEY, at TEXT)")
        old.execute("INSERT INTO call (at) VALUES ('2026-01-01')")
        old.commit()
    with closing(_opened(tmp_path)) as log:
        log.record(_call())
    with closing(_opened(tmp_path)) as log:
        assert [call.operation for call in log.select(CallFilter())] == ["c2b"]


class TestHowAPaymentEnded:
    """What the journal tells of it, whatever the caller was answered."""

    def ended(self, simulator: Simulator, reference: str) -> tuple[str, str, str, str]:
        found = simulator.calls.select(CallFilter(kind="call"), descending=False)
        call = next(call for call in found if call.third_party_reference == reference)
        assert (call.ended_at is not None) == (call.told_by != "" or call.ended == "success")
        return call.outcome, call.ended, call.ended_code, call.told_by

    @pytest.mark.parametrize(
        ("scenario", "expected"),
        [
            ("success", ("success", "success", "INS-0", "answer")),
            ("cancelled", ("cancelled", "cancelled", "INS-5", "answer")),
            ("insufficient_balance", ("failed", "failed", "INS-2006", "answer")),
            ("empty_body", ("unknown", "success", "INS-0", "")),
            ("cut_after", ("unknown", "success", "INS-0", "")),
            ("internal_error_but_paid", ("unknown", "success", "INS-0", "")),
            ("overloaded_unawares", ("not_accepted", "success", "INS-0", "")),
            ("failed_but_paid", ("failed", "success", "INS-0", "")),
        ],
    )
    def test_is_the_ledgers_word(
        self, mpesa_simulator: Simulator, raw: RawClient, scenario: str,
        expected: tuple[str, str, str, str],
    ) -> None:  # fmt: skip
        mpesa_simulator.scenarios.queue(scenario)
        reference = new_reference()
        with suppress(OSError):
            raw.send("c2b", raw.parameters("c2b", input_ThirdPartyReference=reference))
        assert self.ended(mpesa_simulator, reference) == expected

    @pytest.mark.parametrize("scenario", ["cut_before", "html", "internal_error", "unknown_code"])
    def test_what_never_got_in_is_said_to_be_so(
        self, mpesa_simulator: Simulator, raw: RawClient, scenario: str
    ) -> None:
        mpesa_simulator.scenarios.queue(scenario)
        with suppress(OSError):
            raw.send("c2b", raw.parameters("c2b"))
        (call,) = mpesa_simulator.calls.select(CallFilter())
        assert (call.outcome, call.ended, call.told_by) == ("unknown", "never_in", "")

    def test_a_prompt_that_nobody_answered_and_a_status_query_that_told_so(
        self, mpesa_simulator: Simulator, raw: RawClient
    ) -> None:
        mpesa_simulator.scenarios.queue("pin_timeout")
        reference = new_reference()
        raw.call("c2b", input_ThirdPartyReference=reference)
        assert self.call(mpesa_simulator).told_by == ""
        raw.call("query_transaction_status", input_QueryReference=reference)
        call = self.call(mpesa_simulator)
        assert (call.outcome, call.ended, call.ended_code, call.told_by) == (
            "unknown", "expired", "INS-9", "status_query"
        )  # fmt: skip

    def test_what_was_given_back_is_no_longer_a_success_alone(
        self, mpesa_simulator: Simulator, raw: RawClient
    ) -> None:
        _, answer = raw.call("c2b", input_Amount="10")
        paid = answer["output_TransactionID"]
        raw.call("reversal", input_TransactionID=paid, input_ReversalAmount="4")
        assert self.call(mpesa_simulator).ended == "partly_reversed"
        raw.call("reversal", input_TransactionID=paid)
        assert self.call(mpesa_simulator).ended == "reversed"
        (second, first) = mpesa_simulator.calls.select(CallFilter(operation="reversal"))
        assert (first.ended, second.ended) == ("success", "success")
        # What the request did not say, the ledger does.
        assert (first.amount, second.amount) == (Decimal(4), Decimal(6))
        assert first.msisdn == second.msisdn == "258841234567"
        found = CallFilter(operation="reversal", search="84 123 4567")
        assert mpesa_simulator.calls.count(found) == 2

    def test_a_duplicate_is_not_the_first_payment(
        self, mpesa_simulator: Simulator, raw: RawClient
    ) -> None:
        reference = new_reference()
        raw.call("c2b", input_ThirdPartyReference=reference)
        raw.call("c2b", input_ThirdPartyReference=reference)
        (again, first) = mpesa_simulator.calls.select(CallFilter())
        assert (again.ended, again.ended_code, first.ended) == ("duplicate", "INS-10", "success")

    def test_in_asynchronous_mode_the_callback_tells(
        self, mpesa_simulator: Simulator, raw: RawClient, tmp_path: Path
    ) -> None:
        mpesa_simulator.auto_approve = False
        reference = new_reference()
        with listening(tmp_path) as endpoint:
            mpesa_simulator.response_url = endpoint.url
            raw.call("c2b", input_ThirdPartyReference=reference)
            assert self.call(mpesa_simulator).ended == "pending"
            prompt = mpesa_simulator.phones.wait(reference)
            mpesa_simulator.phones.refuse(prompt.transaction.conversation_id)
            mpesa_simulator.callbacks.drain()
        assert self.ended(mpesa_simulator, reference) == (
            "accepted", "cancelled", "INS-5", "callback"
        )  # fmt: skip
        assert mpesa_simulator.calls.count(CallFilter(kind="call", code="INS-5")) == 1
        assert mpesa_simulator.calls.count(CallFilter(kind="call", code="INS-0")) == 1

    def test_a_callback_that_was_given_up_told_nobody(
        self, mpesa_simulator: Simulator, raw: RawClient, tmp_path: Path
    ) -> None:
        mpesa_simulator.callbacks.retry_delays = (0.01, 0.01)
        reference = new_reference()
        with listening(tmp_path) as endpoint:
            endpoint.answer = lambda _: ("500 Internal Server Error", b"")
            mpesa_simulator.response_url = endpoint.url
            raw.call("c2b", input_ThirdPartyReference=reference)
            mpesa_simulator.callbacks.drain()
        assert self.ended(mpesa_simulator, reference) == (
            "accepted", "success", "INS-0", "given_up"
        )  # fmt: skip
        attempts = mpesa_simulator.calls.select(CallFilter(kind="callback"), descending=False)
        assert [(row.attempt, row.attempts) for row in attempts] == [(1, 3), (2, 3), (3, 3)]
        raw.call("query_transaction_status", input_QueryReference=reference)
        assert self.call(mpesa_simulator).told_by == "status_query"

    def call(self, simulator: Simulator) -> Call:
        return simulator.calls.select(CallFilter(operation="c2b"), descending=False)[0]
