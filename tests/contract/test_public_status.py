"""What a customer's browser is told of a payment, once or as events; over every store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations import ConfigurationError, RecordsUnavailable
from mpesa_integrations.core.payments import public_status, status_tokens
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.public_status import answer_status, status_events
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.payments.status_tokens import StatusTokens
from mpesa_integrations.simulator import Simulator

from .backends import Backend
from .conftest import MakePayments
from .test_payments import PAYMENT, callback, pending

__all__ = ["pending"]


@pytest.fixture
def accounts(payments: Payments[Any, Any], make_payments: MakePayments) -> Accounts[Any, Any]:
    by_alias = {"default": payments, "payouts": make_payments(alias="payouts")}
    return Accounts(
        lambda: {alias: {} for alias in by_alias},
        lambda alias, _: by_alias[alias],
        status_tokens=StatusTokens(lambda: ["the site's key"]),
        status_path=lambda token: f"/status/{token}/",
    )


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accounts, "_settings_of", lambda self, alias: None)


@pytest.fixture
def ask(accounts: Accounts[Any, Any]) -> Callable[..., Any]:
    """Gives the JSON that is told of a payment."""

    def asked(record: Any, language: str = "en") -> Any:
        answer = answer_status(accounts, accounts.status_token(record), language)
        assert (answer.status, answer.content_type) == (200, "application/json")
        return json.loads(answer.content)

    return asked


def test_the_state_and_the_words_are_told_and_nothing_else(
    payments: Payments[Any, Any], pending: Any, ask: Callable[..., Any]
) -> None:
    assert ask(pending) == {
        "state": "pending", "is_open": True, "is_paid": False, "may_retry": False,
        "message": "Take your phone and type your M-Pesa PIN there to pay 150.00 MZN.",
    }  # fmt: skip
    payments.receive(callback(pending))
    assert ask(pending, "pt-MZ") == {
        "state": "completed", "is_open": False, "is_paid": True, "may_retry": False,
        "message": "Recebemos 150,00 MZN. Obrigado.",
    }  # fmt: skip


@pytest.mark.parametrize("scenario", ["insufficient_balance", "cancelled", "cut_after"])
def test_it_is_what_the_record_says_of_itself(
    payments: Payments[Any, Any], mpesa_simulator: Simulator, ask: Callable[..., Any], scenario: str
) -> None:
    mpesa_simulator.scenarios.queue(scenario, operation="c2b")
    record = payments.c2b(**PAYMENT)
    told = ask(record, "pt")
    own = {name: getattr(record, name) for name in ("is_open", "is_paid", "may_retry")}
    assert told == {"state": record.state, **own, "message": record.customer_message("pt")}
    for hidden in (record.third_party_reference, record.transaction_id, record.msisdn):
        assert not hidden or hidden not in json.dumps(told)


def test_payments_of_every_account_have_a_link(
    accounts: Accounts[Any, Any], ask: Callable[..., Any]
) -> None:
    payout = accounts["payouts"].b2c(**PAYMENT)
    assert ask(payout)["message"] == "We have sent you 150.00 MZN."
    assert accounts.status_url(payout).startswith("/status/")


def test_it_is_one_statement(
    accounts: Accounts[Any, Any], backend: Backend, pending: Any, ask: Callable[..., Any]
) -> None:
    ask(pending)
    statements: list[None] = []
    with backend.before_each_statement(lambda: statements.append(None)):
        ask(pending)
    assert len(statements) == 1


def test_what_no_worker_sent_in_time_has_failed(
    accounts: Accounts[Any, Any], payments: Payments[Any, Any], backend: Backend,
    ask: Callable[..., Any],
) -> None:  # fmt: skip
    queued = payments.c2b(**PAYMENT, send="worker")
    assert (ask(queued)["state"], ask(queued)["may_retry"]) == ("queued", False)
    backend.set_all(send_before=datetime.now(timezone.utc) - timedelta(seconds=1))
    told = backend.run(Follower(accounts, backend, queued).follow())
    assert [(each["state"], each["may_retry"]) for each in told] == [("failed", True)]
    assert ask(queued) == told[0]
    assert backend.records()[0].response_description == "Not sent in time"


@pytest.mark.parametrize("error", [ConfigurationError, RecordsUnavailable])
def test_it_is_told_as_it_is_where_its_account_cannot_be_had(
    accounts: Accounts[Any, Any], payments: Payments[Any, Any], backend: Backend,
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: type[Exception],
) -> None:  # fmt: skip
    def had(self: Any, alias: str) -> Any:
        raise error("it is no more")

    queued = payments.c2b(**PAYMENT, send="worker")
    backend.set_all(send_before=datetime.now(timezone.utc) - timedelta(seconds=1))
    monkeypatch.setattr(accounts, "_store_of", lambda alias: payments.store)
    monkeypatch.setattr(Accounts, "loader", object())
    monkeypatch.setattr(Accounts, "__getitem__", had)
    assert ask(queued)["state"] == "queued"


def test_what_leads_nowhere_is_said_in_few_words(
    accounts: Accounts[Any, Any], backend: Backend, pending: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    token = accounts.status_token(pending)
    of_another_site = StatusTokens(lambda: ["another"]).make(
        "default", pending.third_party_reference
    )
    of_no_account = accounts.status_tokens.make("gone", pending.third_party_reference)
    of_no_payment = accounts.status_tokens.make("default", "NOBODYS")
    for wrong in ("x", of_another_site, of_no_account, of_no_payment):
        answer = answer_status(accounts, wrong, "en")
        assert (answer.status, answer.content) == (404, "There is nothing here.\n")
    with backend.before_each_statement(_hang_up):
        assert answer_status(accounts, token, "en").status == 503
    assert answer_status(accounts, token, "en").status == 200
    monkeypatch.setattr(status_tokens, "GOOD_FOR", -1)
    assert answer_status(accounts, token, "en").status == 410


def _hang_up() -> None:
    raise ConnectionResetError


class Follower:
    """Reads events, and has something happen after each."""

    def __init__(self, accounts: Accounts[Any, Any], backend: Backend, record: Any) -> None:
        self.events: list[str] = []
        self._backend = backend
        self._stream = status_events(accounts, accounts.status_token(record), "en")

    async def follow(self, *then: Callable[[], object]) -> list[Any]:
        happens = list(then)
        async for event in self._stream:
            self.events.append(event)
            if happens:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, self._happen, happens.pop(0))
        assert all(event.endswith("\n\n") for event in self.events)
        return [json.loads(event[6:]) for event in self.events if event.startswith("data: ")]

    def _happen(self, call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            self._backend.done()


def test_events_come_as_it_changes_and_end_when_it_is_decided(
    accounts: Accounts[Any, Any], payments: Payments[Any, Any], backend: Backend, pending: Any
) -> None:
    told = backend.run(
        Follower(accounts, backend, pending).follow(
            lambda: payments.receive(callback(pending, "INS-5"))
        )
    )
    assert [(each["state"], each["may_retry"]) for each in told] == [
        ("pending", False), ("cancelled", True)
    ]  # fmt: skip


def test_events_tell_of_a_queued_payment_too(
    accounts: Accounts[Any, Any], payments: Payments[Any, Any], backend: Backend
) -> None:
    queued = payments.c2b(**PAYMENT, send="worker")

    told = backend.run(
        Follower(accounts, backend, queued).follow(lambda: payments.withdraw(queued))
    )
    assert [(each["state"], each["is_open"]) for each in told] == [
        ("queued", True), ("cancelled", False)
    ]  # fmt: skip
    assert told[0]["message"] == queued.customer_message()


def test_events_of_what_is_decided_are_one(
    accounts: Accounts[Any, Any], payments: Payments[Any, Any], backend: Backend
) -> None:
    paid = payments.c2b(**PAYMENT)
    assert [each["state"] for each in backend.run(Follower(accounts, backend, paid).follow())] == [
        "completed"
    ]


def test_events_are_a_comment_now_and_then_and_end_after_a_while(
    accounts: Accounts[Any, Any], backend: Backend, pending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_status, "_HEARTBEAT", 0.01)
    monkeypatch.setattr(public_status, "STREAM_LENGTH", 0.3)
    follower = Follower(accounts, backend, pending)
    assert len(backend.run(follower.follow())) == 1
    assert set(follower.events[1:]) == {":\n\n"}


@pytest.mark.slow
def test_events_outlive_a_database_that_is_away_for_a_moment(
    accounts: Accounts[Any, Any], payments: Payments[Any, Any], backend: Backend, pending: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    looks: list[int] = []
    find = payments.store.find

    def often_away(reference: str) -> Any:
        looks.append(len(looks))
        if len(looks) % 2:
            with backend.before_each_statement(_hang_up):
                return find(reference)
        if len(looks) == 4:
            payments.receive(callback(pending))
        return find(reference)

    monkeypatch.setattr(payments.store, "find", often_away)
    told = backend.run(Follower(accounts, backend, pending).follow())
    assert [each["state"] for each in told] == ["pending", "completed"]


def test_events_end_when_the_payment_is_gone(
    accounts: Accounts[Any, Any], backend: Backend, pending: Any
) -> None:
    assert (
        len(
            backend.run(
                Follower(accounts, backend, pending).follow(lambda: backend.forget(pending))
            )
        )
        == 1
    )
