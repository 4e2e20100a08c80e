"""The database hangs up, is locked or breaks, at any statement; over every store."""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from mpesa_integrations.commands import reconcile
from mpesa_integrations.core import telemetry
from mpesa_integrations.core.errors import (
    DuplicateTransaction,
    GatewayUnavailable,
    RecordLocked,
    RecordsUnavailable,
)
from mpesa_integrations.core.payments import persistence, queue_claims
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.reconcile import Reconciled
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.simulator import Simulator

from .backends import Backend
from .conftest import BOTH_WAYS, Heard, MakePayments
from .test_payments import PAYMENT, callback, pending
from .test_queue import run, sent_to

way = BOTH_WAYS

__all__ = ["pending"]
_STATEMENTS_AFTER_SENDING = 8
"""More than there are; the test below says so."""


@pytest.fixture
def _tables_looked_at_once() -> None:
    """They are looked at by each test's first payment: that statement may be hung up on, too."""


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; they take no time."""
    made: list[float] = []
    monkeypatch.setattr(persistence, "sleep", made.append)
    monkeypatch.setattr(persistence, "clock", lambda: sum(made))
    return made


class Line:
    """Stands between the library and its database.

    Attributes:
        statements: how many were run since it was last armed.
        broken: which of them fail, by their number from 1.
    """

    def __init__(self) -> None:
        self.statements = 0
        self.broken: Callable[[int], bool] = lambda number: False

    def arm(self, broken: Callable[[int], bool]) -> None:
        self.statements, self.broken = 0, broken

    def pass_one(self) -> None:
        self.statements += 1
        if self.broken(self.statements):
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


@pytest.fixture
def line(backend: Backend) -> Iterator[Line]:
    found = Line()
    with backend.before_each_statement(found.pass_one):
        yield found


@contextmanager
def _after_sending(payments: Payments[Any, Any], call: Callable[[], object]) -> Iterator[None]:
    """Have something happen once the gateway has answered."""
    send = payments.client.send

    def sent(request: Any) -> Any:
        answer = send(request)
        call()
        return answer

    payments.client.send = sent  # type: ignore[method-assign]
    yield
    payments.client.send = send  # type: ignore[method-assign]


@pytest.mark.parametrize("number", range(1, _STATEMENTS_AFTER_SENDING + 1))
def test_one_hang_up_at_any_statement_after_sending_loses_nothing(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, line: Line, number: int
) -> None:
    with _after_sending(payments, lambda: line.arm(lambda now: now == number)):
        record = payments.c2b(**PAYMENT)
    assert line.statements < 2 * _STATEMENTS_AFTER_SENDING
    line.arm(lambda number: False)
    (kept,) = backend.records()
    assert (record.state, record.transaction_id) == ("completed", kept.transaction_id)
    assert kept.state == "completed"
    backend.make_due()
    payments.reconcile()  # dispatches what could not be dispatched, or not be settled
    assert set(heard.names) == {"initiated", "completed"}
    assert backend.outbox() == 0


@pytest.mark.parametrize("number", range(1, _STATEMENTS_AFTER_SENDING + 1))
def test_a_database_that_stays_away_after_sending_makes_no_call_raise(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, line: Line,
    number: int, pauses: list[float],
) -> None:  # fmt: skip
    with _after_sending(payments, lambda: line.arm(lambda now: now >= number)):
        record = payments.c2b(**PAYMENT)
    booked = mpesa_simulator.ledger.find(record.third_party_reference)
    assert booked is not None
    assert (record.state, record.transaction_id) == ("completed", booked.transaction_id)
    assert sum(pauses) < 20
    line.arm(lambda number: False)
    backend.make_due()
    payments.reconcile()
    (kept,) = backend.records()
    assert (kept.state, kept.transaction_id) == ("completed", booked.transaction_id)


def test_an_answer_that_cannot_be_written_is_in_the_log_and_names_no_customer(
    payments: Payments[Any, Any], line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    with _after_sending(payments, lambda: line.arm(lambda now: True)):
        record = payments.c2b(**PAYMENT)
    logged = next(r for r in caplog.records if r.getMessage().startswith("payment.not_written"))
    assert logged.levelno == logging.ERROR
    for known in (record.third_party_reference, record.transaction_id, record.conversation_id):
        assert known
        assert known in logged.getMessage()
    assert "258841234567" not in caplog.text


def test_a_process_that_is_to_end_logs_the_answer_first(
    payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def end(*args: Any) -> None:
        raise SystemExit

    with (
        monkeypatch.context() as patch,
        _after_sending(payments, lambda: patch.setattr(payments.store, "change", end)),
        pytest.raises(SystemExit),
    ):
        payments.c2b(**PAYMENT)
    assert "payment.not_written" in caplog.text
    assert "transaction_id=" in caplog.text


def test_a_result_to_come_is_pending_where_it_cannot_be_written(
    payments: Payments[Any, Any], mpesa_simulator: Simulator, line: Line
) -> None:
    mpesa_simulator.response_url = "https://127.0.0.1:18997/nobody"
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    with _after_sending(payments, lambda: line.arm(lambda now: True)):
        record = payments.c2b(**PAYMENT)
    assert record.state == "pending"
    assert record.conversation_id


@pytest.mark.parametrize("method", ["change", "settle_outbox", "waiting_callbacks", "get"])
def test_whatever_breaks_after_sending_the_call_gives_the_record(
    payments: Payments[Any, Any], backend: Backend, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def broken(*args: Any) -> Any:
        raise KeyError("a bug, or a value that the database refuses")

    with (
        monkeypatch.context() as patch,
        _after_sending(payments, lambda: patch.setattr(payments.store, method, broken)),
    ):
        assert payments.c2b(**PAYMENT).state == "completed"
    backend.make_due()
    payments.reconcile()
    assert [record.state for record in backend.records()] == ["completed"]


def test_neither_telemetry_nor_a_notifier_makes_a_call_raise(
    payments: Payments[Any, Any], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def add(self, *args: Any) -> None:
            raise RuntimeError("no exporter")

        record = add

    def broken(*args: Any) -> None:
        raise RuntimeError("a notifier that breaks its promise")

    monkeypatch.setattr(telemetry, "_counter", lambda *args: Broken())
    monkeypatch.setattr(telemetry, "_histogram", lambda *args: Broken())
    monkeypatch.setattr(heard, "notify", broken)
    assert payments.c2b(**PAYMENT).state == "completed"


def test_what_nobody_foresaw_in_sending_is_unknown_and_not_raised(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    def fail() -> None:
        raise LookupError("a patched transport")

    with _after_sending(payments, fail):
        assert payments.c2b(**PAYMENT).state == "unknown"
    backend.make_due()
    payments.reconcile()
    assert [record.state for record in backend.records()] == ["completed"]


def test_a_database_that_is_away_before_sending_says_so_and_nothing_is_sent(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, line: Line
) -> None:
    paid = payments.c2b(**PAYMENT)
    line.arm(lambda now: True)
    calls: list[Callable[[], object]] = [
        lambda: payments.c2b(**PAYMENT),
        lambda: payments.reverse(transaction_id=paid.transaction_id),
    ]
    for call in calls:
        with pytest.raises(RecordsUnavailable, match=r"^Nothing was sent\. The database") as caught:
            call()
        assert caught.value.__cause__ is not None
        assert "258841234567" not in str(caught.value)
    line.arm(lambda now: False)
    assert len(mpesa_simulator.ledger.transactions()) == len(backend.records()) == 1


def test_one_hang_up_before_sending_is_survived(
    payments: Payments[Any, Any], mpesa_simulator: Simulator, line: Line
) -> None:
    for number in (1, 2, 3):
        line.arm(lambda now, number=number: now == number)  # type: ignore[misc]
        assert payments.c2b(**PAYMENT).state == "completed"
    assert len(mpesa_simulator.ledger.transactions()) == 3


def _not_confirmed_once(create: Callable[..., Any]) -> Callable[..., Any]:
    """A store's `create` whose first commit is done, and not known to be."""
    tries: list[None] = []

    def committed_but_not_known(*args: Any) -> Any:
        found = create(*args)
        tries.append(None)
        if len(tries) == 1:
            raise RecordsUnavailable("hung up in COMMIT")
        return found

    return committed_but_not_known


@pytest.mark.parametrize("key", [None, "order-7"])
@pytest.mark.parametrize("given", [None, "MINE7"])
def test_a_record_whose_commit_was_not_confirmed_is_sent_once_at_most(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, key: str | None, given: str | None,
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(payments.store, "create", _not_confirmed_once(payments.store.create))
        call = partial(payments.c2b, **PAYMENT, idempotency_key=key, third_party_reference=given)
        if given is None:  # nobody else has such a reference: the row is this call's own
            assert call().state == "completed"
        elif key is None:
            with pytest.raises(DuplicateTransaction, match="Nothing was sent"):
                call()
        else:  # as if somebody else had it under way
            assert call().state == "initiated"
    assert len(mpesa_simulator.ledger.transactions()) == (given is None)
    assert len(backend.records()) == 1


@pytest.mark.parametrize("key", [None, "order-7"])
@pytest.mark.parametrize("given", [None, "MINE7"])
def test_a_queued_record_whose_commit_was_not_confirmed_is_the_calls_own(
    payments: Any, backend: Backend, monkeypatch: pytest.MonkeyPatch,
    key: str | None, given: str | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(payments.store, "create", _not_confirmed_once(payments.store.create))
    announced: list[Any] = []
    monkeypatch.setattr(payments._queue, "announce", announced.append)
    names = {"idempotency_key": key, "third_party_reference": given, "send": "worker"}
    record = payments.c2b(**PAYMENT, **names)
    assert record.state == "queued", "a worker sends it, so the call must not raise"
    assert announced == [record]
    assert len(backend.records()) == 1
    if given is not None and key is None:  # another call's stays another call's
        with pytest.raises(DuplicateTransaction, match="Nothing was sent"):
            payments.c2b(**PAYMENT, **names)


def test_where_nobody_knows_whether_it_was_queued_the_error_does_not_say_that_it_was_not(
    payments: Any, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = payments.store.create

    def committed_but_not_known(*args: Any) -> Any:
        monkeypatch.setattr(payments.store, "find", away)
        create(*args)
        raise RecordsUnavailable("hung up in COMMIT")

    def away(*args: Any) -> Any:
        raise RecordsUnavailable("The database is away")

    monkeypatch.setattr(payments.store, "create", committed_but_not_known)
    with pytest.raises(RecordsUnavailable) as caught:
        payments.c2b(**PAYMENT, send="worker")
    (record,) = backend.records()
    assert record.state == "queued"
    assert str(caught.value).startswith("Nothing was sent yet. The database is away. ")
    assert record.third_party_reference in str(caught.value)


def test_where_surely_nothing_was_queued_the_error_says_so(
    payments: Any, backend: Backend, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    def locked(*args: Any) -> Any:
        raise RecordLocked("The order's payments are locked")

    def away(*args: Any, **options: Any) -> Any:
        raise RecordsUnavailable("The database is away")

    for name, refuse, said in (
        ("create", locked, "Nothing was sent. The order's payments are locked"),
        ("isolated", away, "Nothing was sent. The database is away"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(payments.store, name, refuse)
            with pytest.raises(RecordsUnavailable) as caught:
                payments.c2b(**PAYMENT, send="worker")
        assert str(caught.value) == said
    assert backend.records() == []


@pytest.mark.parametrize("given", [None, "MINE7"])
def test_what_a_hang_up_kept_from_being_queued_is_queued_by_the_next_try(
    payments: Any, backend: Backend, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    create, tries = payments.store.create, [RecordsUnavailable("hung up")]

    def hung_up_once(*args: Any) -> Any:
        if tries:
            raise tries.pop()
        return create(*args)

    monkeypatch.setattr(payments.store, "create", hung_up_once)
    record = payments.c2b(**PAYMENT, third_party_reference=given, send="worker")
    assert record.state == "queued"
    assert [kept.pk for kept in backend.records()] == [record.pk]


def test_what_is_queued_is_withdrawn_over_a_hang_up(
    payments: Any, backend: Backend, line: Line, heard: Heard
) -> None:
    record = payments.c2b(**PAYMENT, send="worker")
    for number in (1, 2):
        line.arm(lambda now, number=number: now == number)  # type: ignore[misc]
        assert payments.withdraw(record).state == "cancelled"
    line.arm(lambda now: False)
    assert backend.records()[0].state == "cancelled"
    assert heard.names == ["queued", "cancelled"]


@pytest.mark.parametrize("who", ["check", "reconcile"])
def test_what_was_not_sent_in_time_fails_over_a_hang_up_at_any_statement(
    payments: Any, backend: Backend, line: Line, who: str
) -> None:
    record = payments.c2b(**PAYMENT, send="worker")
    past = datetime.now(timezone.utc) - timedelta(minutes=1)
    for number in range(1, 9):
        backend.set_all(state="queued", send_before=past, next_check_at=past)
        line.arm(lambda now, number=number: now == number)  # type: ignore[misc]
        if who == "check":
            assert payments.check(record).state == "failed"
        else:
            assert payments.reconcile().failed == 0
        line.arm(lambda now: False)
        backend.make_due()
        payments.reconcile()  # what had been handed out when it hung up
        assert backend.records()[0].state == "failed"


def test_a_callback_outlives_a_hang_up(
    pending: Any, payments: Payments[Any, Any], backend: Backend, line: Line, heard: Heard
) -> None:
    line.arm(lambda now: now == 2)
    assert payments.receive(callback(pending))[0] == 200
    assert backend.records()[0].state == "completed"
    assert backend.verdicts()[0] == "applied"
    assert heard.names.count("completed") == 1


def test_a_check_that_cannot_be_written_says_so(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, line: Line
) -> None:
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    record = payments.c2b(**PAYMENT)
    with (
        _after_sending(payments, lambda: line.arm(lambda now: True)),
        pytest.raises(RecordsUnavailable),
    ):
        payments.check(record)
    line.arm(lambda now: False)
    assert payments.check(record).state == "completed"


@pytest.mark.parametrize("answered", [True, False])
def test_a_check_outlives_a_hang_up_at_any_statement(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, line: Line,
    answered: bool,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    record = payments.c2b(**PAYMENT)
    for number in range(1, 6):
        backend.set_all(state="unknown", checks=0, claimed_transaction_id=None)
        line.arm(lambda now, number=number: now == number)  # type: ignore[misc]
        if answered:
            assert payments.check(record).state == "completed"
        else:
            mpesa_simulator.scenarios.queue("cut_before", operation="query_transaction_status")
            with pytest.raises(GatewayUnavailable):
                payments.check(record)
        line.arm(lambda now: False)
        (kept,) = backend.records()
        assert kept.state == ("completed" if answered else "unknown")
        assert kept.checks >= 1


def test_reconcile_outlives_a_hang_up_at_any_statement(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, line: Line
) -> None:
    for number in range(1, 12):
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        payments.c2b(**PAYMENT)
        backend.make_due()
        line.arm(lambda now, number=number: now == number)  # type: ignore[misc]
        payments.reconcile()
    line.arm(lambda now: False)
    backend.make_due()
    payments.reconcile()  # what had been handed out when it hung up
    assert {record.state for record in backend.records()} == {"completed"}


def test_a_worker_outlives_a_database_that_goes_and_comes_back(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, line: Line
) -> None:
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    payments.c2b(**PAYMENT)
    backend.make_due()
    accounts: Accounts[Any, Any] = Accounts(lambda: {"default": {}}, lambda *_: payments)
    accounts._built["default"] = payments
    said: list[str] = []

    def echo(text: str) -> None:
        said.append(text)
        if "database" not in text:
            os.kill(os.getpid(), signal.SIGTERM)
        elif len(said) == 2:
            line.arm(lambda now: False)

    line.arm(lambda now: True)
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        reconcile(accounts, every=0.01, batch=10, workers=1, rate=None, echo=echo)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert said[0].startswith("default: RecordsUnavailable: The database of the payments")
    assert said[2:] == ["default: 1 asked"]
    assert backend.records()[0].state == "completed"


def test_reconcile_says_that_the_database_is_away_and_holds_nothing_after_it(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator, line: Line
) -> None:
    payments = make_payments()
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    payments.c2b(**PAYMENT)
    backend.make_due()
    with (
        _after_sending(payments, lambda: line.arm(lambda now: True)),
        pytest.raises(RecordsUnavailable),
    ):
        payments.reconcile()
    line.arm(lambda now: False)
    backend.make_due()
    assert payments.reconcile() == Reconciled(asked=1)


def _queue_three(payments: Payments[Any, Any]) -> Any:
    for number in range(3):
        payments.c2b(msisdn="84 123 4567", amount=1, order=f"ORDER-{number}", send="worker")
    return payments.queue_sender(10)


def _is_each_sent_once(sender: Any, backend: Backend, simulator: Simulator) -> None:
    run(sender)
    sender.finish(0)
    records = backend.records()
    assert [record.state for record in records] == ["completed"] * 3
    references = [record.third_party_reference for record in records]
    assert sorted(sent_to(simulator)) == sorted(references)


@pytest.mark.parametrize("way", ["blocking"])
@pytest.mark.parametrize("number", range(1, 16))
def test_a_claim_outlives_a_hang_up_at_any_statement(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, line: Line,
    number: int, way: str,
) -> None:  # fmt: skip
    sender = _queue_three(payments)
    line.arm(lambda now: now == number)
    sender.run_once()
    line.arm(lambda number: False)
    _is_each_sent_once(sender, backend, mpesa_simulator)


def _hang_up(*args: Any) -> Any:
    raise RecordsUnavailable("hung up")


@pytest.mark.parametrize("way", ["blocking"])
@pytest.mark.parametrize("at", ["its commit", "its reading"])
def test_what_was_claimed_as_the_database_went_away_is_sent_once_it_is_back(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, at: str, way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    sender = _queue_three(payments)
    claim = payments.store.claim_queued

    def claim_unheard(*args: Any, **options: Any) -> Any:
        claim(*args, **options)
        _hang_up()

    with monkeypatch.context() as patch:
        if at == "its commit":
            patch.setattr(payments.store, "claim_queued", claim_unheard)
            patch.setattr(payments.store, "claimed_queued", _hang_up)
        else:
            patch.setattr(payments.store, "read_claimed", _hang_up)
        with pytest.raises(RecordsUnavailable):
            sender.run_once()
    _is_each_sent_once(sender, backend, mpesa_simulator)


@pytest.mark.parametrize("way", ["blocking"])
def test_what_was_claimed_longer_ago_than_it_may_be_sent_is_queued_again_first(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator, way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    sender = _queue_three(payments)
    with monkeypatch.context() as patch:
        patch.setattr(queue_claims, "time_left", lambda _: lambda: 0.0)
        patch.setattr(payments.store, "read_claimed", _hang_up)
        with pytest.raises(RecordsUnavailable):
            sender.run_once()
    assert sender.run_once().claimed == 3
    assert sent_to(mpesa_simulator) == []
    _is_each_sent_once(sender, backend, mpesa_simulator)
