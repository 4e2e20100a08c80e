"""Payments that a worker sends, over every store: each sent once, in time, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from flask_mpesa.memory_store import MemoryStore
from mpesa_integrations import (
    ConfigurationError,
    IdempotencyConflict,
    RecordsUnavailable,
    ValidationError,
)
from mpesa_integrations.core.payments import queue_claims
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.queue_sender import QueueSender, Sent
from mpesa_integrations.core.payments.reconcile import Reconciled
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter
from tests.support.awaited import cancel_during
from tests.support.callbacks import TRANSACTION_ID, callback_body

from .backends import Backend
from .conftest import Heard, MakePayments, StartProcess
from .queue_worker import send_queued

AnyPayments = Any
AnySender = QueueSender[Any, Any]
TO = {"msisdn": "84 123 4567", "amount": "150.00"}
PAYMENT: dict[str, Any] = {**TO, "reference": "ORDER 7", "send": "worker"}
ORDER: dict[str, Any] = {**TO, "order": "ORDER-7", "send": "worker"}


@pytest.fixture
def sender(payments: AnyPayments) -> Iterator[AnySender]:
    made: AnySender = payments.queue_sender(10)
    yield made
    made.finish(timeout=0)


def run(sender: AnySender) -> Sent:
    """Send all that is queued, and write all answers down."""
    done = sender.run_once()
    more = done.more
    while sender.in_flight or more:
        sender.wait(5)
        step = sender.run_once()
        done, more = done + step, step.more
    return done


def sent_to(simulator: Simulator) -> list[str]:
    """The references of the calls that came to the gateway, queries aside."""
    calls = simulator.calls.select(CallFilter(kind="call"), limit=10_000)
    return [call.third_party_reference for call in calls if "query" not in call.operation]


def _make_late(backend: Backend) -> None:
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    backend.set_all(send_before=past, next_check_at=past)


def _claim(payments: AnyPayments) -> list[Any]:
    """As a worker does that dies right after."""
    now = datetime.now(timezone.utc)
    claimed = payments.store.claim_queued(now, now + timedelta(minutes=1), 10, lambda _: ())
    records: list[Any] = payments.store.read_claimed(list(claimed))
    return records


def _claim_before_it_changes(payments: AnyPayments, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is faster than whoever changes a payment next."""
    change = payments.store.change

    def claimed_first(*args: Any) -> Any:
        _claim(payments)
        return change(*args)

    monkeypatch.setattr(payments.store, "change", claimed_first)


def test_the_call_returns_at_once_and_a_worker_sends(
    payments: AnyPayments, sender: AnySender, backend: Backend, heard: Heard,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    record = payments.c2b(**PAYMENT)
    assert (record.state, record.is_open, heard.names) == ("queued", True, ["queued"])
    (kept,) = backend.records()
    left = payments.store.aware(kept.send_before) - datetime.now(timezone.utc)
    assert timedelta(seconds=110) < left < timedelta(seconds=121)
    assert sent_to(mpesa_simulator) == []
    done = run(sender)
    assert (done.claimed, done.written) == (1, 1)
    (kept,) = backend.records()
    booked = mpesa_simulator.ledger.find(kept.third_party_reference)
    assert booked is not None
    assert (kept.state, kept.transaction_id) == ("completed", booked.transaction_id)
    assert heard.names == ["queued", "initiated", "completed"]
    assert backend.outbox() == 0
    assert not sender.run_once()


@pytest.mark.parametrize("operation", ["c2b", "b2c", "b2b"])
def test_the_request_is_just_the_one_that_the_call_would_have_sent(
    payments: AnyPayments, sender: AnySender, backend: Backend, monkeypatch: pytest.MonkeyPatch,
    operation: str,
) -> None:  # fmt: skip
    to = {"receiver_shortcode": "979797"} if operation == "b2b" else {"msisdn": "84 123 4567"}
    given = {**to, "amount": "7.50", "reference": " R 1 ", "third_party_reference": "TPR1"}
    prepared = payments.client.prepare(operation, **given)
    getattr(payments, operation)(**given, send="worker")
    sent: list[Any] = []
    send = sender._calls.send

    def note(request: Any, **options: Any) -> Any:
        sent.append(request)
        return send(request, **options)

    monkeypatch.setattr(sender._calls, "send", note)
    run(sender)
    assert sent == [prepared]
    assert [record.state for record in backend.records()] == ["completed"]


@pytest.mark.parametrize("amount", [None, "50.00"])
def test_a_reversal_is_queued_and_claims_its_amount(
    payments: AnyPayments, sender: AnySender, backend: Backend, heard: Heard, amount: str | None,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    paid = payments.c2b(**{**PAYMENT, "send": "now"})
    heard.events.clear()
    reversal = payments.reverse(paid, amount, send="worker")
    assert (reversal.state, heard.names) == ("queued", ["reversal_queued"])
    assert backend.records()[0].reversal_pending == reversal.amount
    with pytest.raises(ValidationError):
        payments.reverse(paid, "100.01", send="worker")
    run(sender)
    original, reversal = backend.records()
    state = "reversed" if amount is None else "partly_reversed"
    assert (original.state, reversal.state) == (state, "completed")
    assert original.reversal_pending == 0
    booked = mpesa_simulator.ledger.find(reversal.third_party_reference)
    assert booked is not None
    assert booked.amount == reversal.amount
    assert heard.names == [
        "reversal_queued", "reversal_initiated", "reversal_completed", "reversed"
    ]  # fmt: skip


def test_the_accounts_setting_holds_where_a_call_says_nothing(
    make_payments: MakePayments, backend: Backend
) -> None:
    payments: AnyPayments = make_payments(send="worker", send_within=timedelta(hours=1))
    assert payments.c2b(**TO, reference="1").state == "queued"
    assert payments.c2b(**TO, reference="2", send="now").state == "completed"
    left = payments.store.aware(backend.records()[0].send_before) - datetime.now(timezone.utc)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert backend.records()[1].send_before is None


def test_how_many_are_queued_and_since_when(
    payments: AnyPayments, backend: Backend, sender: AnySender
) -> None:
    assert payments.queued() == (0, None)
    for _ in range(2):
        payments.c2b(**PAYMENT)
    backend.set_all(created_at=datetime.now(timezone.utc) - timedelta(minutes=1))
    payments.c2b(**PAYMENT)
    count, oldest = payments.queued()
    assert count == 3
    assert timedelta(seconds=59) < oldest < timedelta(seconds=90)
    run(sender)
    assert payments.queued() == (0, None)


def test_a_task_sends_the_payment_that_it_is_about_once(
    make_payments: MakePayments, backend: Backend, heard: Heard, mpesa_simulator: Simulator
) -> None:
    payments: AnyPayments = make_payments(send="task", enqueue=lambda *about: None)
    first, second = (payments.c2b(**TO, reference=each) for each in ("1", "2"))
    assert payments.send_queued(second.third_party_reference)
    assert [record.state for record in backend.records()] == ["queued", "completed"]
    assert heard.names == ["queued", "queued", "initiated", "completed"]
    for told_again in (second.third_party_reference, "NOSUCH"):
        assert not payments.send_queued(told_again)
    assert sent_to(mpesa_simulator) == [second.third_party_reference]
    payments.withdraw(first)
    assert not payments.send_queued(first.third_party_reference)


def test_a_task_is_put_on_the_queue_for_what_is_queued_and_new(
    make_payments: MakePayments, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str]] = []
    payments: AnyPayments = make_payments(send="task", enqueue=lambda *about: told.append(about))
    queued = payments.c2b(**TO, order="ORDER-7")
    assert payments.c2b(**TO, order="ORDER-7").pk == queued.pk
    payments.c2b(**TO, reference="2", send="now")
    assert told == [("default", queued.third_party_reference)]

    def broken(*about: str) -> None:
        raise ConnectionError("the broker is away")

    other: AnyPayments = make_payments(send="task", enqueue=broken)
    assert other.c2b(**TO, reference="3").state == "queued"
    assert "queue.not_announced" in caplog.text
    # One that a worker is to send tells nobody.
    third: AnyPayments = make_payments(send="worker", enqueue=broken)
    third.c2b(**TO, reference="4")
    assert caplog.text.count("queue.not_announced") == 1


def test_who_sends_is_now_or_a_worker_and_a_worker_needs_a_database(
    payments: AnyPayments, make_payments: MakePayments, backend: Backend
) -> None:
    with pytest.raises(ValidationError, match='send: must be "now" or "worker"'):
        payments.c2b(**{**PAYMENT, "send": "later"})
    with pytest.raises(ValidationError, match='send: must be "now" or "worker"'):
        payments.reverse(transaction_id="4XDF12345", send="later")
    alone: AnyPayments = make_payments(store=MemoryStore("default"))
    with pytest.raises(ValidationError, match="send: needs records in a database"):
        alone.c2b(**PAYMENT)
    assert alone.c2b(**{**PAYMENT, "send": "now"}).state == "completed"
    with pytest.raises(ConfigurationError, match="needs records in a database") as caught:
        make_payments(store=MemoryStore("default"), send="worker")
    assert caught.value.setting == "send"
    with pytest.raises(
        ConfigurationError, match='is "task", which Django and Flask have'
    ) as caught:
        make_payments(send="task")
    assert caught.value.setting == "send"
    assert backend.records() == []


def test_a_queued_payment_is_asked_for_nowhere(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator, heard: Heard
) -> None:
    record = payments.c2b(**PAYMENT)
    assert payments.check(record).state == "queued"
    assert payments.reconcile() == Reconciled()
    backend.make_due()  # as where another machine's clock is fast
    assert payments.reconcile() == Reconciled()
    (kept,) = backend.records()
    assert (kept.state, kept.checks, kept.next_check_at) == ("queued", 0, kept.send_before)
    assert mpesa_simulator.calls.count(CallFilter(kind="call")) == 0
    assert heard.names == ["queued"]
    assert payments.oldest_open() is not None


def test_a_queued_payment_is_not_stuck_however_old(
    make_payments: MakePayments, backend: Backend, heard: Heard
) -> None:
    payments: AnyPayments = make_payments(send_within=timedelta(days=3))
    payments.c2b(**PAYMENT)
    backend.set_all(created_at=datetime.now(timezone.utc) - timedelta(days=2))
    backend.make_due()
    payments.reconcile()
    assert heard.names == ["queued"]
    assert backend.records()[0].stuck_at is None


@pytest.mark.parametrize("who", ["worker", "reconcile", "check", "the same key", "the same order"])
def test_what_was_not_sent_in_time_fails_and_is_never_sent(
    payments: AnyPayments, sender: AnySender, backend: Backend, heard: Heard, who: str,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    key = {} if who == "the same order" else {"idempotency_key": "7"}
    call = ORDER if who == "the same order" else PAYMENT
    record = payments.c2b(**call, **key)
    _make_late(backend)
    assert _claim(payments) == []
    if who == "worker":
        assert run(sender) == Sent(expired=1)
    elif who == "reconcile":
        assert payments.reconcile() == Reconciled(expired=1)
    elif who == "check":
        assert payments.check(record).state == "failed"
    else:
        again = payments.c2b(**call, **key)
        assert (again.pk == record.pk) == (who == "the same key")
        assert again.state == ("failed" if who == "the same key" else "queued")
    kept = backend.records()[0]
    assert (kept.state, kept.response_description) == ("failed", "Not sent in time")
    assert (kept.next_check_at, kept.claimed_order_key) == (None, None)
    assert heard.names[:2] == ["queued", "failed"]
    assert payments.reconcile() == Reconciled()
    run(sender)
    assert record.third_party_reference not in sent_to(mpesa_simulator)


@pytest.mark.parametrize("done", [Reconciled(3, expired=1), Reconciled(3, failed=1)])
def test_what_was_not_sent_in_time_keeps_no_other_from_being_asked_for(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, done: Reconciled,
) -> None:  # fmt: skip
    if done.failed:
        monkeypatch.delattr(payments._queue.__class__, "look_at")
    payments.c2b(**PAYMENT)
    _make_late(backend)
    for _ in range(3):
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        payments.c2b(**{**PAYMENT, "send": "now"})
    assert payments.reconcile(batch=2, now=True) == done


@pytest.mark.parametrize("read", ["standing", "attempts"])
def test_whoever_reads_what_was_not_sent_in_time_is_told_so_with_no_worker(
    payments: AnyPayments, backend: Backend, heard: Heard, read: str
) -> None:
    payments.c2b(**ORDER)
    assert payments.standing("ORDER-7").state == "queued"
    _make_late(backend)
    for _ in range(2):
        seen = getattr(payments, read)("ORDER-7")
        assert (seen[0] if read == "attempts" else seen).may_retry
    assert backend.records()[0].response_description == "Not sent in time"
    assert heard.names == ["queued", "failed"]
    assert payments.paid("ORDER-7") is None


def test_what_was_not_sent_in_time_is_read_as_it_is_where_that_cannot_be_written(
    payments: AnyPayments, backend: Backend, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    payments.c2b(**ORDER)
    _make_late(backend)

    def hang_up(record: Any) -> None:
        raise RecordsUnavailable("the database takes no writes")

    monkeypatch.setattr(payments._queue, "expire", hang_up)
    assert payments.standing("ORDER-7").state == "queued"
    assert "queue.not_expired" in caplog.text
    monkeypatch.undo()
    assert payments.standing("ORDER-7").state == "failed"


def test_a_late_reversal_gives_its_amount_free(
    payments: AnyPayments, backend: Backend, sender: AnySender
) -> None:
    paid = payments.c2b(**{**PAYMENT, "send": "now"})
    payments.reverse(paid, send="worker")
    _make_late(backend)
    run(sender)
    original, reversal = backend.records()
    assert (original.state, original.reversal_pending, reversal.state) == ("completed", 0, "failed")
    assert payments.reverse(paid).state == "completed"


def test_an_order_has_one_queued_payment_and_another_once_it_is_withdrawn(
    payments: AnyPayments, backend: Backend, sender: AnySender, heard: Heard,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    first = payments.c2b(**ORDER)
    assert payments.c2b(**ORDER).pk == payments.c2b(**{**ORDER, "send": "now"}).pk == first.pk
    with pytest.raises(ValidationError, match="which is queued"):
        payments.c2b(**{**ORDER, "amount": 151})
    assert payments.standing("ORDER-7").pk == first.pk
    withdrawn = payments.withdraw(first)
    assert (withdrawn.state, withdrawn.may_retry) == ("cancelled", True)
    assert withdrawn.response_description == "Withdrawn before it was sent"
    assert payments.withdraw(first).state == "cancelled"
    assert heard.names == ["queued", "cancelled"]
    second = payments.c2b(**ORDER)
    assert (second.pk == first.pk, second.state) == (False, "queued")
    run(sender)
    assert payments.paid("ORDER-7").pk == second.pk
    assert sent_to(mpesa_simulator) == [second.third_party_reference]


def test_a_key_gives_the_queued_payment(payments: AnyPayments, backend: Backend) -> None:
    first = payments.c2b(**PAYMENT, idempotency_key="7")
    assert payments.c2b(**PAYMENT, idempotency_key="7").pk == first.pk
    with pytest.raises(IdempotencyConflict):
        payments.c2b(**{**PAYMENT, "amount": 1}, idempotency_key="7")
    assert len(backend.records()) == 1


def test_what_is_being_sent_cannot_be_withdrawn(
    payments: AnyPayments, backend: Backend, heard: Heard
) -> None:
    record = payments.c2b(**PAYMENT)
    assert len(_claim(payments)) == 1
    assert payments.withdraw(record).state == "initiated"
    assert backend.records()[0].state == "initiated"
    with pytest.raises(ValidationError, match="another"):
        payments.withdraw(payments.store.with_values(record, {"account": "another"}))
    assert heard.names == ["queued"]


def test_who_is_too_late_to_withdraw_is_given_what_is_being_sent(
    payments: AnyPayments, backend: Backend, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = payments.c2b(**PAYMENT)
    _claim_before_it_changes(payments, monkeypatch)
    assert payments.withdraw(record).state == "initiated"
    assert backend.records()[0].state == "initiated"
    assert heard.names == ["queued"]


def test_a_worker_that_dies_after_the_claim_leaves_it_to_reconcile(
    payments: AnyPayments, backend: Backend, sender: AnySender, mpesa_simulator: Simulator
) -> None:
    payments.c2b(**PAYMENT)
    _claim(payments)
    assert not run(sender), "nobody may send it again"
    assert payments.reconcile() == Reconciled()
    backend.make_due()
    assert payments.reconcile() == Reconciled(asked=1)
    (record,) = backend.records()
    assert (record.state, record.checks) == ("unknown", 1)
    assert sent_to(mpesa_simulator) == []


def test_the_gateways_ignorance_is_counted_from_when_a_payment_may_have_been_sent(
    make_payments: MakePayments, backend: Backend
) -> None:
    payments: AnyPayments = make_payments(
        not_found_after=timedelta(minutes=10), send_within=timedelta(hours=1)
    )
    payments.c2b(**PAYMENT)
    backend.set_all(created_at=datetime.now(timezone.utc) - timedelta(minutes=30))
    _claim(payments)
    backend.make_due()
    payments.reconcile()
    assert backend.records()[0].state == "unknown"
    backend.set_all(send_before=datetime.now(timezone.utc) - timedelta(minutes=11))
    backend.make_due()
    payments.reconcile()
    assert backend.records()[0].state == "failed"


@pytest.mark.parametrize("code", ["0", "INS-6", "INS-5"])
def test_a_callback_for_what_was_not_sent_moves_nothing(
    payments: AnyPayments, backend: Backend, heard: Heard, sender: AnySender, code: str
) -> None:
    record = payments.c2b(**PAYMENT)
    body = json.dumps(callback_body(record, code, input_OriginalConversationID="forged")).encode()
    assert payments.receive(body)[0] == 200
    (kept,) = backend.records()
    assert (kept.state, kept.transaction_id, kept.conflict) == ("queued", "", "")
    assert kept.next_check_at == kept.send_before
    assert (backend.verdicts(), heard.names) == (["early"], ["queued"])
    run(sender)
    assert backend.records()[0].state == "completed"
    assert backend.records()[0].transaction_id != TRANSACTION_ID
    assert backend.verdicts() == ["mismatched"]


def test_a_callback_for_what_was_never_sent_is_kept_for_a_person(
    payments: AnyPayments, backend: Backend, heard: Heard
) -> None:
    record = payments.c2b(**ORDER)
    payments.receive(json.dumps(callback_body(record, input_OriginalConversationID="c")).encode())
    assert payments.withdraw(record).state == "cancelled"
    (kept,) = backend.records()
    assert (kept.state, kept.may_retry) == ("cancelled", False)
    assert TRANSACTION_ID in kept.conflict
    assert backend.verdicts() == ["conflict"]
    assert heard.names == ["queued", "cancelled", "conflict"]


def test_an_order_whose_late_payment_is_said_to_be_paid_is_not_paid_again(
    payments: AnyPayments, backend: Backend, sender: AnySender, mpesa_simulator: Simulator
) -> None:
    record = payments.c2b(**ORDER)
    payments.receive(json.dumps(callback_body(record, input_OriginalConversationID="c")).encode())
    _make_late(backend)
    again = payments.c2b(**ORDER)
    assert (again.pk, again.state, again.may_retry) == (record.pk, "failed", False)
    assert TRANSACTION_ID in again.conflict
    run(sender)
    assert sent_to(mpesa_simulator) == []


@pytest.mark.parametrize(
    ("operation", "lacking", "named"),
    [
        ("c2b", {"msisdn_prefixes": ("85",)}, "msisdn"),
        ("reversal", {"initiator_identifier": None}, "initiator_identifier"),
    ],
)
def test_what_cannot_be_prepared_any_more_fails_unsent_and_says_why(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator, heard: Heard,
    caplog: pytest.LogCaptureFixture, operation: str, lacking: dict[str, Any], named: str,
) -> None:  # fmt: skip
    before: AnyPayments = make_payments()
    if operation == "c2b":
        record = before.c2b(**PAYMENT)
    else:
        record = before.reverse(before.c2b(**{**PAYMENT, "send": "now"}), send="worker")
    known = sent_to(mpesa_simulator)
    after: AnyPayments = make_payments(**lacking)
    sender = after.queue_sender(10)
    run(sender)
    sender.finish(0)
    kept = backend.records()[-1]
    assert (kept.pk, kept.state) == (record.pk, "failed")
    assert kept.response_description.startswith("Not sent: ")
    assert named in kept.response_description
    assert f"queue.not_prepared third_party_reference={record.third_party_reference}" in caplog.text
    assert "841234567" not in caplog.text
    assert sent_to(mpesa_simulator) == known
    assert heard.names[-2:] == (
        ["initiated", "failed"] if operation == "c2b" else ["reversal_initiated", "reversal_failed"]
    )


def test_a_person_takes_back_what_is_queued_and_cannot_say_that_it_was_paid(
    payments: AnyPayments, backend: Backend
) -> None:
    record = payments.c2b(**PAYMENT)
    with pytest.raises(ValidationError, match="nothing was sent"):
        payments.resolve(record, State.COMPLETED, by="ana", note="statement of 3 May")
    ended = payments.resolve(record, State.CANCELLED, by="ana", note="ordered twice")
    assert (ended.state, ended.response_description) == (
        "cancelled", "Decided by ana: ordered twice"
    )  # fmt: skip
    assert _claim(payments) == []
    assert backend.records()[0].state == "cancelled"


def test_a_person_who_is_too_late_is_told(
    payments: AnyPayments, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = payments.c2b(**PAYMENT)
    _claim_before_it_changes(payments, monkeypatch)
    with pytest.raises(ValidationError, match="being sent by now"):
        payments.resolve(record, State.FAILED, by="ana", note="ordered twice")
    assert backend.records()[0].state == "initiated"


def test_handed_back_is_queued_again_until_the_same_time(
    payments: AnyPayments, backend: Backend, sender: AnySender, heard: Heard
) -> None:
    stop = threading.Event()
    payments.c2b(**PAYMENT)
    before = backend.records()[0].send_before
    hasty: AnySender = payments.queue_sender(10, stop=stop)

    def stopped(limit: int, reference: str | None = None) -> Any:
        found = claim(limit, reference)
        stop.set()
        return found

    claim = hasty._queue.claim
    hasty._queue.claim = stopped  # type: ignore[method-assign]
    try:
        assert hasty.run_once() == Sent(claimed=1, handed_back=1)
    finally:
        del hasty._queue.claim
    (kept,) = backend.records()
    assert (kept.state, kept.send_before, kept.next_check_at) == ("queued", before, before)
    assert not hasty.run_once()
    assert run(sender).written == 1
    assert backend.records()[0].state == "completed"
    assert heard.names == ["queued", "initiated", "queued", "initiated", "completed"]


def test_who_hands_back_twice_takes_nothing_from_who_sends_it_by_then(
    payments: AnyPayments, backend: Backend, sender: AnySender, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    payments.c2b(**PAYMENT)
    mpesa_simulator.scenarios.queue("slow", operation="c2b", delay=0.5)
    ((record, _),) = payments._queue.claim(1).take()
    expire = payments._queue.expire
    third: AnySender = payments.queue_sender(10)

    def hang_up(queued: Any) -> Any:
        # It is queued again, committed, and another worker is faster than the step's next try.
        monkeypatch.setattr(payments._queue, "expire", expire)
        assert sender.run_once() == Sent(claimed=1)
        raise RecordsUnavailable("hung up")

    monkeypatch.setattr(payments._queue, "expire", hang_up)
    third._hand_back(record)
    assert backend.records()[0].state == "initiated", "the other worker is sending it"
    assert not third.run_once()
    run(sender)
    assert len(sent_to(mpesa_simulator)) == 1
    assert backend.records()[0].state == "completed"


def test_what_became_late_between_claim_and_sending_is_not_sent(
    payments: AnyPayments, backend: Backend, sender: AnySender, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    payments.c2b(**PAYMENT)
    monkeypatch.setattr(queue_claims, "FIRST_CHECK", timedelta(0))
    done = sender.run_once()
    sender.wait(5)
    assert done + sender.run_once() == Sent(claimed=2, handed_back=1), "it is claimed once more"
    backend.set_all(send_before=datetime.now(timezone.utc) - timedelta(seconds=1))  # by then
    monkeypatch.undo()
    sender.finish(0)
    assert sent_to(mpesa_simulator) == []
    assert backend.records()[0].state in ("failed", "queued")


def test_each_of_the_events_can_be_handled(payments: AnyPayments, handlers: Any) -> None:
    seen: list[str] = []
    for name in ("payment_queued", "payout_queued"):
        handlers.register(name, name=name)(lambda payment: seen.append(payment.operation))
    payments.c2b(**PAYMENT)
    payments.b2c(**PAYMENT)
    assert seen == ["c2b", "b2c"]


def test_the_customer_is_told(payments: AnyPayments, backend: Backend, sender: AnySender) -> None:
    record = payments.c2b(**PAYMENT)
    assert "about to ask" in record.customer_message()
    assert record.customer_message("pt") != record.customer_message()
    assert "taken back" in payments.withdraw(record).customer_message()
    late = payments.c2b(**PAYMENT)
    _make_late(backend)
    run(sender)
    message = payments.check(late).customer_message()
    assert "in time" in message
    assert "No money was taken" in message


def test_of_many_threads_each_sends_what_no_other_does(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator, heard: Heard
) -> None:
    payments: AnyPayments = make_payments()
    references = [payments.c2b(**PAYMENT).third_party_reference for _ in range(40)]
    senders = [make_payments().queue_sender(concurrency) for concurrency in (1, 3, 5, 20)]
    together = threading.Barrier(len(senders))

    def work(sender: AnySender) -> Sent:
        together.wait(timeout=60)
        try:
            return run(sender) + sender.finish(60)
        finally:
            backend.done()

    with ThreadPoolExecutor(len(senders)) as pool:
        done = list(pool.map(work, senders))
    assert sum(each.claimed for each in done) == sum(each.written for each in done) == 40
    assert sorted(sent_to(mpesa_simulator)) == sorted(references)
    assert {record.state for record in backend.records()} == {"completed"}
    assert heard.names.count("initiated") == heard.names.count("completed") == 40


@pytest.mark.slow
def test_of_many_processes_each_sends_what_no_other_does(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator,
    start_process: StartProcess,
) -> None:  # fmt: skip
    references = [payments.c2b(**PAYMENT).third_party_reference for _ in range(40)]
    workers = [
        start_process(send_queued, *backend.address(), mpesa_simulator.state_dir) for _ in range(3)
    ]
    events = [line.split(":") for worker in workers for line in worker.lines()]
    initiated = [reference for event, reference in events if event == "payment_initiated"]
    assert sorted(sent_to(mpesa_simulator)) == sorted(references) == sorted(initiated)
    assert {record.state for record in backend.records()} == {"completed"}
    assert backend.outbox() == 0


def test_withdrawn_or_sent_and_never_both(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    payments: AnyPayments = make_payments()
    records = [payments.c2b(**PAYMENT) for _ in range(20)]
    sender = make_payments().queue_sender(2)
    together = threading.Barrier(2)

    def withdraw() -> list[str]:
        together.wait(timeout=60)
        try:
            return [payments.withdraw(record).state for record in reversed(records)]
        finally:
            backend.done()

    with ThreadPoolExecutor(1) as pool:
        states = pool.submit(withdraw)
        together.wait(timeout=60)
        run(sender)
        withdrawn = states.result(timeout=60).count("cancelled")
    run(sender)
    sender.finish(60)
    ends = [record.state for record in backend.records()]
    assert (ends.count("cancelled"), ends.count("completed")) == (withdrawn, 20 - withdrawn)
    sent = {r.third_party_reference for r in backend.records() if r.state == "completed"}
    assert sorted(sent_to(mpesa_simulator)) == sorted(sent)


def test_a_coroutine_queues_and_withdraws_as_any_call(
    payments: AnyPayments, backend: Backend, sender: AnySender, mpesa_simulator: Simulator
) -> None:
    async def queue() -> list[str]:
        first = await payments.ac2b(**ORDER)
        again = await payments.ac2b(**ORDER)
        withdrawn = await payments.awithdraw(first)
        await payments.ac2b(**ORDER)
        checked = await payments.acheck(again)
        return [first.state, again.state, withdrawn.state, checked.state]

    assert backend.run(queue()) == ["queued", "queued", "cancelled", "cancelled"]
    run(sender)
    paid = payments.paid("ORDER-7")
    assert sent_to(mpesa_simulator) == [paid.third_party_reference]

    async def give_back() -> Any:
        return await payments.areverse(paid, send="worker")

    assert backend.run(give_back()).state == "queued"
    run(sender)
    assert [record.state for record in backend.records()] == ["cancelled", "reversed", "completed"]


def test_a_coroutine_that_is_cancelled_while_it_queues_leaves_a_queued_payment(
    payments: AnyPayments, backend: Backend, sender: AnySender, monkeypatch: pytest.MonkeyPatch
) -> None:
    paying = partial(payments.ac2b, **PAYMENT)
    backend.run(cancel_during(monkeypatch, payments.store, "create", paying))
    assert [record.state for record in backend.records()] == ["queued"]
    run(sender)
    assert [record.state for record in backend.records()] == ["completed"]
