"""Reconciliation over every store: leases, the outbox, escalation, many workers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations import GatewayUnavailable
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.reconcile import Reconciled
from mpesa_integrations.core.payments.records import Change
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import accepted_payment

from .backends import Backend
from .conftest import Heard, MakePayments, StartProcess
from .test_payments import callback
from .worker import reconcile

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "ORDER 7"}


def _unknown(payments: Payments[Any, Any], simulator: Simulator, count: int) -> None:
    for _ in range(count):
        simulator.scenarios.queue("cut_after", operation="c2b")
        assert payments.c2b(**PAYMENT).state == "unknown"


def _in(minutes: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("scenario", "state"), [("cut_after", "completed"), ("cut_before", "unknown")]
)
def test_reconcile_finds_out_what_the_gateway_knows(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    scenario: str, state: str,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue(scenario)
    payments.c2b(**PAYMENT)
    assert payments.reconcile() == Reconciled()  # its time has not come
    backend.make_due()
    assert payments.reconcile() == Reconciled(asked=1)
    (record,) = backend.records()
    assert (record.state, record.checks) == (state, 1)
    assert (record.next_check_at is None) == (state == "completed")
    assert heard.names == ["initiated", "unknown", "completed"][: 3 if state != "unknown" else 2]


def test_what_is_not_due_yet_is_counted_and_can_be_asked_for_at_once(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    assert payments.to_be_checked() == (0, None)
    _unknown(payments, mpesa_simulator, 2)
    count, wait = payments.to_be_checked()
    assert count == 2
    assert wait is not None
    assert timedelta(seconds=20) < wait <= timedelta(seconds=31)
    assert payments.reconcile() == Reconciled()
    assert payments.reconcile(now=True) == Reconciled(asked=2)
    assert payments.to_be_checked() == (0, None)
    assert {record.state for record in backend.records()} == {"completed"}


def test_asked_early_concludes_nothing_early_and_leaves_alone_what_is_being_sent(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    payments = make_payments(not_found_after=timedelta(0))
    mpesa_simulator.scenarios.queue("cut_before", operation="c2b")
    assert payments.c2b(**PAYMENT).state == "unknown"
    for times in (1, 2):
        assert payments.reconcile(now=True) == Reconciled(asked=1)
        (record,) = backend.records()
        assert (record.state, record.checks) == ("unknown", times), "the gateway may get it yet"
    backend.set_all(state="initiated")
    assert payments.reconcile(now=True) == Reconciled()
    assert payments.to_be_checked()[0] == 1


@pytest.mark.parametrize(
    ("scenario", "state", "code"),
    [("pin_timeout", "failed", "INS-9"), ("timeout_but_paid", "completed", "")],
)
def test_why_a_payment_failed_is_not_forgotten_when_a_query_confirms_it(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    scenario: str, state: str, code: str,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue(scenario, delay=0)
    assert payments.c2b(**PAYMENT).response_code == "INS-9"
    backend.make_due()
    payments.reconcile()
    (record,) = backend.records()
    assert (record.state, record.response_code) == (state, code)


def test_the_oldest_open_payment_tells_whether_reconcile_runs(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    payments.c2b(**PAYMENT)
    assert payments.oldest_open() is None
    _unknown(payments, mpesa_simulator, 2)
    backend.set_all(created_at=_in(-60))
    age = payments.oldest_open()
    assert age is not None
    assert timedelta(minutes=59) < age < timedelta(minutes=61)
    backend.make_due()
    payments.reconcile()
    assert payments.oldest_open() is None


def test_payouts_and_reversals_reconcile_too(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    paid = payments.c2b(**PAYMENT)
    mpesa_simulator.scenarios.queue("cut_after", operation="reversal")
    assert payments.reverse(transaction_id=paid.transaction_id).state == "unknown"
    mpesa_simulator.scenarios.queue("cut_after", operation="b2c")
    assert payments.b2c(**PAYMENT).state == "unknown"
    backend.make_due()
    assert payments.reconcile().asked == 2
    assert [r.state for r in backend.records()] == ["reversed", "completed", "completed"]


def test_a_batch_is_asked_for_by_a_few_at_a_time(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    _unknown(payments, mpesa_simulator, 13)
    backend.make_due()
    seen: list[Reconciled] = []
    done = payments.reconciler(batch=5, workers=3).run(seen.append)
    assert done.asked == 13
    assert [s.asked for s in seen] == [5, 10, 13]
    assert {r.state for r in backend.records()} == {"completed"}
    assert heard.names.count("completed") == 13


def test_a_rate_is_kept(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    _unknown(payments, mpesa_simulator, 4)
    backend.make_due()
    asked: list[float] = []
    query = payments.client.query_transaction_status

    def note(**reference: Any) -> Any:
        asked.append(time.monotonic())
        return query(**reference)

    payments.client.query_transaction_status = note  # type: ignore[method-assign]
    began = time.monotonic()
    payments.reconciler(workers=4, rate=3).run()
    # Each is asked in a thread, which may begin late, but not before its turn.
    assert len(asked) == 4
    assert max(asked) - began >= 1.0


def test_when_stopped_it_holds_nothing(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    _unknown(payments, mpesa_simulator, 6)
    backend.make_due()
    stop = threading.Event()
    query = payments.client.query_transaction_status

    def once(**reference: Any) -> Any:
        stop.set()
        return query(**reference)

    payments.client.query_transaction_status = once  # type: ignore[method-assign]
    done = payments.reconciler(workers=1, stop=stop).run()
    assert done.asked == 1
    states = [r.state for r in backend.records()]
    assert states.count("completed") == 1
    payments.client.query_transaction_status = query  # type: ignore[method-assign]
    assert payments.reconcile().asked == 5  # at once, not when a lease ends


def test_where_no_thread_can_be_had_nothing_is_held(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _unknown(payments, mpesa_simulator, 3)
    backend.make_due()
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread.name.startswith("mpesa-reconcile"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RuntimeError):
            payments.reconcile()
    assert payments.reconcile().asked == 3  # at once, not when a lease ends


def test_a_lease_keeps_others_away_until_it_ends(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    _unknown(payments, mpesa_simulator, 3)
    backend.make_due()
    store = payments.store
    until = _in(10)
    mine = store.claim_due(_in(0), until, 2)
    assert len(mine) == 2
    others = store.claim_due(_in(0), until, 10)
    assert len(others) == 1
    assert store.claim_due(_in(0), until, 10) == []
    store.release(mine, until)
    assert len(store.claim_due(_in(0), until, 10)) == 2
    # A worker that died has released nothing: its payments are due again when the lease ends.
    assert len(store.claim_due(_in(11), _in(20), 10)) == 3


@pytest.mark.slow
def test_threads_are_handed_different_payments(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    _unknown(payments, mpesa_simulator, 30)
    backend.make_due()
    now, until = _in(0), _in(10)

    def claim(number: int) -> list[Any]:
        try:
            found = []
            while batch := payments.store.claim_due(now, until, 4):
                found += [record.pk for record in batch]
            return found
        finally:
            backend.done()

    with ThreadPoolExecutor(6) as pool:
        claimed = [pk for found in pool.map(claim, range(6)) for pk in found]
    assert len(claimed) == len(set(claimed))
    rest = payments.store.claim_due(now, until, 100)  # what two of them let go to each other
    assert sorted([*claimed, *(r.pk for r in rest)]) == sorted(r.pk for r in backend.records())


@pytest.mark.slow
def test_processes_share_the_work_and_signal_once(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    start_process: StartProcess,
) -> None:  # fmt: skip
    _unknown(payments, mpesa_simulator, 24)
    backend.make_due()
    workers = [
        start_process(reconcile, *backend.address(), mpesa_simulator.state_dir) for _ in range(2)
    ]
    printed = [line for worker in workers for line in worker.lines()]
    payments.reconcile()  # what two of them let go to each other
    completed = [line for line in printed if line.startswith("payment_completed:")]
    assert len(completed) == len(set(completed))
    assert {r.state for r in backend.records()} == {"completed"}
    assert completed, "the workers did some of it"


def test_what_a_dead_process_did_not_dispatch_is_dispatched(
    payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    heard.silent = True
    payments.c2b(**PAYMENT)
    assert backend.outbox() == 2
    heard.silent = False
    assert payments.reconcile().dispatched == 0  # it may be about to
    backend.make_due()
    assert payments.reconcile().dispatched == 2
    assert sorted(heard.names) == ["completed", "initiated"]
    backend.make_due()
    assert payments.reconcile() == Reconciled()
    assert backend.outbox() == 0


def test_two_workers_do_not_tell_the_same(
    payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    heard.silent = True
    for _ in range(10):
        payments.c2b(**PAYMENT)
    heard.silent = False
    backend.make_due()

    def work(number: int) -> int:
        try:
            return payments.reconcile().dispatched
        finally:
            backend.done()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    payments.reconcile()
    assert len(heard.ids) == len(set(heard.ids)) == 20


def test_a_payment_that_stays_open_is_given_to_a_person_once(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("cut_before")
    payments.c2b(**PAYMENT)
    for _ in range(2):
        backend.make_due()
        payments.reconcile()
    assert Event.PAYMENT_STUCK.value.removeprefix("payment_") not in heard.names
    backend.set_all(created_at=_in(-25 * 60))
    for _ in range(2):
        backend.make_due()
        payments.reconcile()
    assert heard.names == ["initiated", "unknown", "stuck"]
    (record,) = backend.records()
    assert (record.state, record.checks) == ("unknown", 4)
    assert record.stuck_at is not None


def test_that_a_payment_is_for_a_person_is_dispatched_even_if_its_process_dies_before(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("cut_before")
    payments.c2b(**PAYMENT)
    backend.set_all(created_at=_in(-25 * 60))
    heard.silent = True
    payments.reconcile(now=True)
    heard.silent = False
    for _ in range(2):
        backend.make_due()
        payments.reconcile()
    assert heard.names == ["initiated", "unknown", "stuck"]


def test_a_payment_that_ends_while_it_is_given_to_a_person_is_given_to_nobody(
    make_payments: MakePayments, backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    payments = make_payments(stuck_after=timedelta(0))
    record = accepted_payment(payments, mpesa_simulator, **PAYMENT)
    mpesa_simulator.scenarios.queue("cut_before", operation="query_transaction_status", times=9)
    change = payments.store.change

    def overtaken(known: Any, state: State, what: Change) -> Any:
        if "stuck_at" in what.values:
            payments.receive(callback(known))
        return change(known, state, what)

    monkeypatch.setattr(payments.store, "change", overtaken)
    with pytest.raises(GatewayUnavailable):
        payments.check(record)
    (kept,) = backend.records()
    assert (kept.state, kept.stuck_at) == ("completed", None)
    assert heard.names == ["initiated", "pending", "completed"]


@pytest.mark.parametrize(
    ("settings", "age", "state"),
    [
        ({}, 60 * 24 * 365, "unknown"),
        ({"not_found_after": timedelta(minutes=30)}, 20, "unknown"),
        ({"not_found_after": timedelta(minutes=30)}, 40, "failed"),
    ],
)
def test_what_the_gateway_never_had_counts_as_failed_only_where_that_was_decided(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator,
    settings: dict[str, Any], age: int, state: str,
) -> None:  # fmt: skip
    payments = make_payments(**settings)
    mpesa_simulator.scenarios.queue("cut_before")
    payments.c2b(**PAYMENT)
    backend.set_all(created_at=_in(-age))
    backend.make_due()
    payments.reconcile()
    assert backend.records()[0].state == state


def test_what_the_gateway_had_is_never_taken_for_not_found(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    payments = make_payments(not_found_after=timedelta(minutes=1))
    mpesa_simulator.response_url = "https://127.0.0.1:18997/nobody"
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    record = payments.c2b(**PAYMENT)
    mpesa_simulator.callbacks.drain()
    mpesa_simulator.ledger.clear()  # the gateway forgot it
    backend.set_all(created_at=_in(-60))
    backend.make_due()
    payments.reconcile()
    assert record.conversation_id
    assert backend.records()[0].state == "pending"


def test_a_crash_between_recording_and_sending_leaves_what_can_be_asked_for(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    send = payments.client.send

    def die(request: Any) -> Any:
        send(request)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(payments.client, "send", die)
        with pytest.raises(KeyboardInterrupt):
            payments.c2b(**PAYMENT)
    assert backend.records()[0].state == "initiated"
    assert payments.reconcile().asked == 0  # the answer could still come
    backend.make_due()
    assert payments.reconcile().asked == 1
    assert backend.records()[0].state == "completed"


@pytest.mark.parametrize("send", ["now", "worker"])
def test_what_is_being_sent_is_not_due_before_its_answer_must_have_come(
    make_payments: MakePayments, backend: Backend, monkeypatch: pytest.MonkeyPatch, send: str
) -> None:
    payments: Any = make_payments(timeout=(5, 900))

    def die(request: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(payments.client, "send", die)
    before = datetime.now(timezone.utc)
    if send == "now":
        with pytest.raises(KeyboardInterrupt):
            payments.c2b(**PAYMENT)
    else:
        payments.c2b(**PAYMENT, send=send)
        assert len(payments._queue.claim(1).take()) == 1
    (record,) = backend.records()
    assert record.state == "initiated"
    assert payments.store.aware(record.next_check_at) > before + payments.client.longest_attempt


def test_however_long_a_query_may_take_it_is_sent(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    payments = make_payments(timeout=(5, 900))
    _unknown(payments, mpesa_simulator, 1)
    backend.make_due()
    assert payments.reconcile().asked == 1


def test_a_payment_that_may_still_be_sent_is_never_taken_for_not_found(
    make_payments: MakePayments, backend: Backend, heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    payments = make_payments(not_found_after=timedelta(seconds=1))
    send = payments.client.send

    def after_some_tries(request: Any) -> Any:
        if request.operation.moves_money:
            backend.set_all(created_at=_in(-0.5))
            backend.make_due()
            payments.check(backend.records()[0])
        return send(request)

    monkeypatch.setattr(payments.client, "send", after_some_tries)
    assert payments.c2b(**PAYMENT).state == "completed"
    assert heard.names == ["initiated", "unknown", "completed"]
