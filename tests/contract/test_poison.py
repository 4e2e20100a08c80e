"""What one row, account or receiver does, keeps no other from its turn; over every store."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from django_mpesa.times import aware
from mpesa_integrations.commands import ExitCode, check_accounts, reconcile
from mpesa_integrations.core.errors import ConfigurationError, RecordsUnavailable
from mpesa_integrations.core.payments import persistence
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.reconcile import Reconciled
from mpesa_integrations.core.payments.records import DueOutboxEntry
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE, MOST_ATTEMPTS
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.callbacks import ASYNC_URL, post_callback

from .backends import Backend
from .conftest import Heard, MakePayments
from .test_payments import PAYMENT
from .test_payments import callback as callback_with

MSISDN = "258841234567"
Broken = Any


@pytest.fixture
def waiting(payments: Payments[Any, Any], mpesa_simulator: Simulator) -> list[Any]:
    """Payments whose callbacks never come by themselves."""
    mpesa_simulator.response_url = ASYNC_URL
    for _ in range(5):
        mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    records = [payments.c2b(**PAYMENT) for _ in range(5)]
    mpesa_simulator.callbacks.drain()
    return records


@contextmanager
def _broken(payments: Payments[Any, Any], records: list[Any]) -> Iterator[None]:
    """While this lasts, these payments cannot be written."""
    store: Any = payments.store
    change = store.change
    keys = {record.pk for record in records}

    def broken(record: Any, *args: Any) -> Any:
        if record.pk in keys:
            raise RuntimeError(f"Failing row contains ({record.pk}, {MSISDN})")
        return change(record, *args)

    store.change = broken
    try:
        yield
    finally:
        store.change = change


def callback(record: Any, code: str = "0") -> bytes:
    return callback_with(record, code, input_TransactionID=f"4XDF{record.pk}")


def _callbacks_due(backend: Backend) -> None:
    backend.set_callbacks(received_at=_now() - timedelta(hours=1), next_attempt_at=None)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def test_a_callback_that_cannot_be_decided_is_counted_and_the_others_go_on(
    waiting: list[Any], payments: Payments[Any, Any], backend: Backend, heard: Heard,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    for record in waiting:
        payments.receive(callback(record), apply=False)
    poison = waiting[:3]
    with _broken(payments, poison):
        for attempt in range(1, MOST_ATTEMPTS + 1):
            _callbacks_due(backend)
            # A batch is full of them, and the run ends.
            done = payments.reconciler(batch=2, workers=1).run()
            assert (done.callbacks, done.failed >= 3) == (5 if attempt == 1 else 3, True)
            assert [entry.attempts for entry in backend.callbacks()[:3]] == [attempt] * 3
            if attempt == 1:
                states = [r.state for r in backend.records()]
                assert states == ["pending"] * 3 + ["completed"] * 2
                assert aware(backend.callbacks()[0].next_attempt_at) > _now() + timedelta(
                    seconds=30
                )
                assert payments.reconciler(batch=2).run().callbacks == 0  # its time has not come
    assert backend.verdicts() == ["failed"] * 3 + ["applied"] * 2
    assert heard.rejected == ["failed"] * 3
    assert poison[0].third_party_reference in caplog.text
    assert "in broken" in caplog.text  # where it comes from
    assert MSISDN not in caplog.text
    _callbacks_due(backend)
    assert payments.reconcile().callbacks == 0  # it is for a person now


def test_a_callback_that_could_not_be_decided_at_once_is_acknowledged_and_decided_later(
    waiting: list[Any], payments: Payments[Any, Any], backend: Backend
) -> None:
    with _broken(payments, waiting[:1]):
        assert payments.receive(callback(waiting[0]))[0] == 200
        _callbacks_due(backend)
        assert payments.reconcile() == Reconciled(callbacks=1, failed=1)
    _callbacks_due(backend)
    assert payments.reconcile().callbacks == 1
    assert backend.verdicts() == ["applied"]


def test_a_stored_body_that_cannot_be_read_any_more_stops_no_other(
    waiting: list[Any], payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    payments.receive(callback(waiting[0]), apply=False)
    backend.set_callbacks(body=b"\xff not JSON")
    payments.receive(callback(waiting[1]), apply=False)
    assert payments.apply_callbacks() == 2
    assert backend.verdicts() == ["unreadable", "applied"]
    assert heard.rejected == ["unreadable"]


def test_an_early_callback_that_cannot_be_decided_makes_no_call_raise(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    send = payments.client.send

    def overtaken(request: Any) -> Any:
        result = send(request)
        body = json.loads(callback(backend.records()[0]))
        body["input_OriginalConversationID"] = result.conversation_id
        payments.receive(json.dumps(body).encode())
        return result

    monkeypatch.setattr(payments.client, "send", overtaken)
    with monkeypatch.context() as patched:
        patched.setattr(payments._callbacks, "_verdict", lambda *args: 1 / 0)
        assert payments.c2b(**PAYMENT).state == "pending"
    assert backend.verdicts() == ["received"]
    assert payments.apply_callbacks() == 1
    assert backend.records()[0].state == "completed"


def test_workers_are_handed_different_callbacks(
    waiting: list[Any], payments: Payments[Any, Any], backend: Backend
) -> None:
    for record in waiting:
        for code in ("0", "INS-6", "INS-5"):
            payments.receive(callback(record, code), apply=False)
    now, until = _now() + timedelta(seconds=1), _now() + timedelta(minutes=10)

    def claim(number: int) -> list[Any]:
        try:
            found: list[Any] = []
            while due := payments.store.claim_callbacks(now, until, 2, older_than=timedelta(0)):
                found += [each.entry.id for each in due]
            return found
        finally:
            backend.done()

    with ThreadPoolExecutor(4) as pool:
        claimed = [pk for found in pool.map(claim, range(4)) for pk in found]
    rest = payments.store.claim_callbacks(now, until, 100, older_than=timedelta(0))
    claimed += [each.entry.id for each in rest]
    assert sorted(claimed) == [entry.id for entry in backend.callbacks()]


def test_a_payment_whose_answer_cannot_be_applied_is_deferred_and_the_others_go_on(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for _ in range(4):
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        payments.c2b(**PAYMENT)
    poison = backend.records()[:2]
    backend.make_due()
    with _broken(payments, poison):
        assert payments.reconciler(batch=2).run() == Reconciled(asked=4, failed=2)
    assert [r.state for r in backend.records()] == ["unknown"] * 2 + ["completed"] * 2
    assert aware(backend.records()[0].next_check_at) > _now() + timedelta(minutes=5)
    assert poison[0].third_party_reference in caplog.text
    assert MSISDN not in caplog.text
    # What breaks is what comes after the answer: the payment is counted as asked in vain.
    backend.make_due()
    monkeypatch.setattr(payments._checks, "apply_status", lambda *args: 1 / 0)
    assert payments.reconcile().failed == 2
    assert [r.checks for r in backend.records()[:2]] == [1, 1]


def test_an_event_of_another_version_or_a_notifier_that_raises_stops_no_other(
    payments: Payments[Any, Any], backend: Backend, heard: Heard,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    heard.silent = True
    for _ in range(2):
        payments.c2b(**PAYMENT)
    heard.silent = False
    unknown, raising, *others = backend.outbox_rows()
    backend.set_outbox_entry(unknown.id, event="payment_of_tomorrow")
    notify = heard.notify

    def broken(entry: Any, *args: Any) -> None:
        if entry.id == raising.id:
            raise RuntimeError("a framework that is broken")
        notify(entry, *args)

    monkeypatch.setattr(heard, "notify", broken)
    backend.make_due()
    done = payments.reconciler(batch=1).run()
    assert done == Reconciled(dispatched=4, failed=2)
    assert sorted(heard.ids) == sorted(other.id for other in others)
    for attempt in range(2, MOST_ATTEMPTS + 1):
        backend.make_due()
        assert payments.reconcile() == Reconciled(dispatched=2, failed=2)
        kept = {row.id: row for row in backend.outbox_rows()}
        assert {row.attempts for row in kept.values()} == {attempt}
    assert all(aware(row.due_at) > _now() + timedelta(minutes=30) for row in kept.values())
    assert caplog.text.count("signal.never_sent") == 2
    assert unknown.id in caplog.text
    # The version that knows it comes, and it is dispatched.
    backend.set_outbox_entry(unknown.id, event="payment_completed")
    monkeypatch.setattr(heard, "notify", notify)
    backend.make_due()
    assert payments.reconcile() == Reconciled(dispatched=2)
    assert backend.outbox() == 0
    assert caplog.text.count("signal.never_sent") == 2, "nothing needs a person any more"


def test_events_of_a_payment_that_is_gone_are_dispatched_to_nobody_and_not_kept(
    payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    """Where the tables are the shop's own, nothing need hold them together."""
    heard.silent = True
    payments.c2b(**PAYMENT)
    heard.silent = False
    for row in backend.outbox_rows():
        due: DueOutboxEntry[Any] = DueOutboxEntry(
            id=row.id, event=row.event, attempts=1, record=None
        )
        assert payments._outbox.dispatch_late(due)
    assert (backend.outbox(), heard.names) == (0, [])


def test_a_database_that_goes_away_ends_the_run_and_the_events_are_dispatched_by_the_next(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard.silent = True
    payments.c2b(**PAYMENT)
    heard.silent = False
    backend.make_due()

    def away(*args: Any) -> Any:
        raise RecordsUnavailable("The database of the payments cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(persistence, "clock", itertools.count(0, 60).__next__)
        for name in ("get", "oldest_open"):
            patch.setattr(payments.store, name, away)
        with pytest.raises(RecordsUnavailable):
            payments.reconcile()
    assert heard.names == []
    backend.make_due()
    assert payments.reconcile() == Reconciled(dispatched=2)


def test_a_receiver_that_ends_the_process_lets_the_others_go_first(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard.silent = True
    for _ in range(2):
        payments.c2b(**PAYMENT)
    heard.silent = False
    poison = backend.outbox_rows()[0]
    notify = heard.notify

    def killed(entry: Any, *args: Any) -> None:
        if entry.id == poison.id:
            raise SystemExit("out of memory")
        notify(entry, *args)

    monkeypatch.setattr(heard, "notify", killed)
    for _ in range(3):
        backend.make_due()
        backend.set_outbox_entry(poison.id, due_at=_now() - timedelta(days=1))  # the first in line
        with pytest.raises(SystemExit):
            payments.reconcile()
    soon = _now() + timedelta(minutes=2, seconds=5)
    due = payments.store.claim_outbox(soon, soon, 10)
    assert poison.id not in [each.id for each in due]
    assert len(due) == 3


def test_a_callback_that_ends_the_process_lets_the_others_go_first(
    waiting: list[Any], payments: Payments[Any, Any], backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for record in waiting[:3]:
        payments.receive(callback(record), apply=False)
    others = [entry.id for entry in backend.callbacks()][1:]

    def killed(*args: Any) -> None:
        raise SystemExit("out of memory")

    monkeypatch.setattr(payments._callbacks, "_decide", killed)
    for _ in range(3):
        _callbacks_due(backend)
        with pytest.raises(SystemExit):
            payments.reconcile()
    assert [entry.attempts for entry in backend.callbacks()] == [3, 3, 3]
    soon = _now() + DISPATCH_GRACE + payments.client.longest_attempt + timedelta(seconds=5)
    due = payments.store.claim_callbacks(soon, soon, 10, older_than=timedelta(0))
    assert [each.entry.id for each in due] == others


def test_a_row_that_cannot_be_read_stops_no_other(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """SQLite keeps whatever somebody's script writes into a column."""
    if "sqlite" not in str(backend.address()):
        pytest.skip("other databases keep no such row")
    for _ in range(2):
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        payments.c2b(**PAYMENT)
    first = min(record.pk for record in backend.records())
    backend.make_due()
    backend.execute(f"UPDATE {{payments}} SET amount = 'much' WHERE id = {first}")
    assert payments.reconcile().asked == 1
    assert "store.row_not_read" in caplog.text
    backend.execute(f"UPDATE {{payments}} SET amount = 1 WHERE id = {first}")
    assert [r.state for r in backend.records()] == ["unknown", "completed"]


def test_when_stopped_it_leaves_the_rest_to_others(
    waiting: list[Any], payments: Payments[Any, Any], backend: Backend, heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    heard.silent = True
    for _ in range(3):
        payments.c2b(**PAYMENT)
    heard.silent = False
    for record in waiting:
        payments.receive(callback(record), apply=False)
    backend.make_due()
    left = backend.outbox()
    stop = threading.Event()
    notify = heard.notify

    def once(*args: Any) -> None:
        stop.set()
        notify(*args)

    monkeypatch.setattr(heard, "notify", once)
    assert payments.reconciler(stop=stop).run() == Reconciled(dispatched=1)
    stop.clear()
    assert payments.reconciler(stop=stop).run() == Reconciled(dispatched=1)
    monkeypatch.setattr(heard, "notify", notify)
    done = payments.reconcile()  # at once, not when a lease ends
    assert (done.dispatched, done.callbacks) == (left - 2, 5)


def test_a_database_that_is_away_ends_the_run_and_a_row_that_it_refuses_does_not(
    waiting: list[Any], payments: Payments[Any, Any], backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(persistence, "clock", itertools.count(0, 60).__next__)
    for record in waiting[:3]:
        payments.receive(callback(record), apply=False)
    _callbacks_due(backend)
    refused = waiting[0].third_party_reference
    away = False

    def unavailable(method: Any) -> Any:
        def called(reference: Any = None, *args: Any) -> Any:
            if away or reference == refused:
                raise RecordsUnavailable("The database of the payments cannot be used")
            return method(reference, *args) if reference is not None else method(*args)

        return called

    for name in ("find", "oldest_open"):
        monkeypatch.setattr(payments.store, name, unavailable(getattr(payments.store, name)))
    assert payments.reconcile() == Reconciled(callbacks=3, failed=1)
    assert backend.verdicts() == ["received", "applied", "applied"]
    away = True
    _callbacks_due(backend)
    with pytest.raises(RecordsUnavailable):
        payments.reconcile()
    away = False
    monkeypatch.undo()
    _callbacks_due(backend)
    assert payments.reconcile() == Reconciled(callbacks=1)


@pytest.fixture
def accounts(make_payments: MakePayments) -> Accounts[Any, Any]:
    """Three accounts, of which the first and the last cannot be used."""
    working = make_payments(alias="working")

    def build(alias: str, settings: Any) -> Any:
        assert alias == "working"
        return working

    options: Any = {
        "no_key_file": {"API_KEY": "x", "PUBLIC_KEY": "/nowhere/key.pem",
                        "CALLBACK_TOKEN": "no-key-file-token-of-32-characters"},
        "working": {"API_KEY": "x", "CALLBACK_TOKEN": TOKEN},
        "nothing": None,
    }  # fmt: skip
    found: Any = Accounts(lambda: options, build)
    read = found._settings_of
    found._settings_of = lambda alias: None if alias == "working" else read(alias)
    accounts: Accounts[Any, Any] = found
    return accounts


def test_an_account_that_is_broken_keeps_no_others_callback_out(
    accounts: Accounts[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    pending = accounts["working"].c2b(**PAYMENT)
    mpesa_simulator.callbacks.drain()
    assert post_callback(accounts, callback(pending), TOKEN) == 200
    assert backend.records()[0].state == "completed"
    assert post_callback(accounts, callback(pending), "of-nobody") == 404
    assert post_callback(accounts, callback(pending), "no-key-file-token-of-32-characters") == 500
    assert "callback.account_broken account=no_key_file" in caplog.text
    assert "callback.account_broken account=nothing" in caplog.text
    assert TOKEN not in caplog.text
    assert "no-key-file-token" not in caplog.text


def test_an_account_that_is_broken_keeps_no_other_from_being_reconciled(
    accounts: Accounts[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    accounts["working"].c2b(**PAYMENT)
    backend.make_due()
    said: list[str] = []
    how: dict[str, Any] = {"every": None, "batch": 10, "workers": 1, "rate": None}
    code = reconcile(accounts, **how, echo=said.append)
    assert code is ExitCode.CONFIGURATION
    assert backend.records()[0].state == "completed"
    assert "working: 1 asked" in said
    assert any("no_key_file: ConfigurationError" in line for line in said)
    assert "reconcile.account_failed account=nothing" in caplog.text


def test_a_single_run_tells_by_its_exit_code_that_a_row_failed(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    accounts: Accounts[Any, Any] = Accounts(lambda: {"default": {}}, lambda *_: payments)
    accounts._built["default"] = payments
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    payments.c2b(**PAYMENT)
    said: list[str] = []
    how: dict[str, Any] = {"every": None, "batch": 10, "workers": 1, "rate": None}
    with _broken(payments, backend.records()):
        backend.make_due()
        assert reconcile(accounts, **how, echo=said.append) is ExitCode.PROBLEM
    assert "1 failed" in said[-1]
    backend.make_due()
    assert reconcile(accounts, **how, echo=said.append) is ExitCode.OK


def test_a_check_of_the_accounts_goes_on_after_one_that_is_broken(
    accounts: Accounts[Any, Any],
) -> None:
    said: list[str] = []
    code = check_accounts(accounts, in_production=False, offline=True, echo=said.append)
    assert code is ExitCode.PROBLEM
    assert [line.split()[:2] for line in said] == [
        ["problem", "no_key_file:"], ["ok", "working"], ["problem", "nothing:"]
    ]  # fmt: skip


def test_a_broken_account_says_what_is_wrong(accounts: Accounts[Any, Any]) -> None:
    with pytest.raises(ConfigurationError, match="public_key"):
        accounts["no_key_file"]
    assert logging.getLogger("mpesa_integrations").isEnabledFor(logging.ERROR)


def test_a_failed_reversal_leaves_the_payments_time_as_it_was(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    """The report takes a payment's time from it."""
    paid = payments.c2b(**PAYMENT)
    before = backend.records()[0].updated_at
    mpesa_simulator.scenarios.queue("code:INS-2006", operation="reversal")
    assert payments.reverse(transaction_id=paid.transaction_id).state == "failed"
    assert backend.records()[0].updated_at == before
    assert payments.reverse(transaction_id=paid.transaction_id).state == "completed"
    assert backend.records()[0].updated_at > before
