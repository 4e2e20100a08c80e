"""How a worker sends what is queued: many at a time, at a rate, and until it is stopped."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations import RecordsUnavailable, ValidationError
from mpesa_integrations.core.client.in_flight import InThreads, _InLoop
from mpesa_integrations.core.payments import persistence
from mpesa_integrations.core.payments.queue_sender import QueueSender, Sent
from mpesa_integrations.core.payments.rate_limits import RateLimit
from mpesa_integrations.core.protocol import exchange
from mpesa_integrations.simulator import Simulator
from tests.support.waiting import until

from .backends import Backend
from .conftest import MakePayments
from .test_queue import PAYMENT, run, sent_to

AnyPayments = Any
AnySender = QueueSender[Any, Any]
Begin = Callable[..., AnySender]


@pytest.fixture(params=["loop", "threads"])
def begin(request: pytest.FixtureRequest, payments: AnyPayments) -> Iterator[Begin]:
    """Makes what sends, with the extra `async` and without."""
    made: list[AnySender] = []

    def make(concurrency: int = 10, **options: Any) -> AnySender:
        sender: AnySender = payments.queue_sender(concurrency, **options)
        if request.param == "threads":
            sender._calls = InThreads(payments.client)
        else:
            assert isinstance(sender._calls, _InLoop)
        made.append(sender)
        return sender

    yield make
    for sender in made:
        sender.finish(0)
    until(lambda: not _threads())


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mpesa-send"]


def _queue(payments: AnyPayments, count: int) -> list[str]:
    return [payments.c2b(**PAYMENT).third_party_reference for _ in range(count)]


def _slow(simulator: Simulator, seconds: float, times: int) -> None:
    simulator.scenarios.queue("slow", operation="c2b", delay=seconds, times=times)


def _states(backend: Backend) -> list[str]:
    return [record.state for record in backend.records()]


def test_many_customers_type_their_pin_at_once(
    payments: AnyPayments, begin: Begin, backend: Backend, mpesa_simulator: Simulator
) -> None:
    _slow(mpesa_simulator, 3, 12)
    references = _queue(payments, 12)
    sender = begin(20)
    began = time.monotonic()
    assert sender.run_once() == Sent(claimed=12)
    assert sender.in_flight == 12
    assert len(_threads()) <= (12 if isinstance(sender._calls, InThreads) else 1)
    run(sender)
    assert time.monotonic() - began < 12 * 3, "what they take one after the other"
    assert set(_states(backend)) == {"completed"}
    assert sorted(sent_to(mpesa_simulator)) == sorted(references)


def test_no_more_are_taken_than_may_be_under_way(
    payments: AnyPayments, begin: Begin, backend: Backend, mpesa_simulator: Simulator
) -> None:
    _slow(mpesa_simulator, 0.3, 5)
    _queue(payments, 5)
    sender = begin(2)
    assert sender.run_once() == Sent(claimed=2, more=True)
    assert sender.run_once() == Sent(more=True)
    assert sorted(_states(backend)) == ["initiated", "initiated", "queued", "queued", "queued"]
    run(sender)
    assert set(_states(backend)) == {"completed"}


def test_a_rate_is_kept(
    payments: AnyPayments, begin: Begin, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    _queue(payments, 7)
    sender = begin(rate=5)
    times: list[float] = []
    send = sender._calls.send

    def note(*args: Any, **options: Any) -> Any:
        times.append(time.monotonic())
        return send(*args, **options)

    monkeypatch.setattr(sender._calls, "send", note)
    assert sender.run_once().claimed == 5
    assert sender.pause(60) <= 1.0
    run(sender)
    assert set(_states(backend)) == {"completed"}
    assert len(times) == 7
    assert all(later - earlier > 0.99 for earlier, later in zip(times, times[5:], strict=False))


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"rate": 0}, {"rate": "fast"}])
def test_numbers_that_make_no_sense_are_refused(
    payments: AnyPayments, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as caught:
        payments.queue_sender(**wrong)
    assert list(caught.value.errors) == list(wrong)


def test_who_is_stopped_ends_what_is_under_way_and_leaves_the_rest(
    payments: AnyPayments, begin: Begin, backend: Backend, mpesa_simulator: Simulator
) -> None:
    _slow(mpesa_simulator, 0.3, 2)
    references = _queue(payments, 4)
    stop = threading.Event()
    sender = begin(2, stop=stop)
    sender.run_once()
    stop.set()
    assert sender.run_once() == Sent()
    assert sender.finish(30) == Sent(written=2)
    assert sorted(_states(backend)) == ["completed", "completed", "queued", "queued"]
    assert sorted(sent_to(mpesa_simulator)) == sorted(references[:2])


def test_what_is_not_answered_in_time_is_left_to_reconcile(
    payments: AnyPayments, begin: Begin, backend: Backend, mpesa_simulator: Simulator
) -> None:
    _slow(mpesa_simulator, 3.0, 1)
    (reference,) = _queue(payments, 1)
    sender = begin()
    sender.run_once()
    until(lambda: mpesa_simulator.ledger.find(reference))
    assert sender.finish(0) == Sent(given_up=1)
    (record,) = backend.records()
    assert (record.state, record.is_open) == ("unknown", True)
    assert "worker ended" in record.response_description
    until(lambda: mpesa_simulator.ledger.find(reference).status == "Completed")  # type: ignore[union-attr]
    backend.make_due()
    payments.reconcile()
    assert _states(backend) == ["completed"]
    assert len(mpesa_simulator.ledger.transactions()) == 1


def test_what_had_no_connection_yet_is_queued_again(
    payments: AnyPayments, backend: Backend, monkeypatch: pytest.MonkeyPatch,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    sender = payments.queue_sender(10)
    waits = threading.Event()

    async def connecting(request: Any, *, sending: Any) -> Any:
        sending.begun = False  # as the client says until the transport has a connection
        waits.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(sender._calls._client, "send", connecting)
    _queue(payments, 1)
    sender.run_once()
    assert waits.wait(30)
    assert sender.finish(0) == Sent(handed_back=1)
    assert _states(backend) == ["queued"]
    other = payments.queue_sender(10)
    run(other)
    other.finish(0)
    assert _states(backend) == ["completed"]
    assert len(sent_to(mpesa_simulator)) == 1


def test_what_the_gateway_was_too_busy_for_is_not_sent_again_when_its_time_is_over(
    payments: AnyPayments, begin: Begin, backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(exchange, "_pause_before", lambda repeat: 0.0 if repeat == 1 else 40.0)
    mpesa_simulator.scenarios.queue("code:INS-16", operation="c2b", times=2)
    _queue(payments, 1)
    backend.set_all(send_before=datetime.now(timezone.utc) + timedelta(seconds=30))
    sender = begin()
    run(sender)
    assert len(sent_to(mpesa_simulator)) == 2, "at once, and not after the pause"
    (record,) = backend.records()
    assert (record.state, record.response_code) == ("failed", "INS-16")


def test_no_connection_is_held_while_answers_are_waited_for(
    payments: AnyPayments, begin: Begin, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _slow(mpesa_simulator, 1.5, 1)
    _queue(payments, 1)
    sender = begin()
    sender.run_once()
    given_back = threading.Event()
    monkeypatch.setattr(payments.store, "disconnect", given_back.set)
    sender.wait(30)
    assert given_back.is_set()
    assert sender.run_once().written == 1


def test_who_waits_for_something_else_is_told_of_an_answer(
    payments: AnyPayments, begin: Begin, backend: Backend
) -> None:
    answered = threading.Event()
    _queue(payments, 1)
    sender = begin(on_answer=answered.set)
    sender.run_once()
    assert answered.wait(30)
    assert sender.run_once().written == 1
    assert _states(backend) == ["completed"]


def test_what_nobody_had_begun_to_send_when_the_worker_ends_is_queued_again(
    payments: AnyPayments, backend: Backend, monkeypatch: pytest.MonkeyPatch,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    sender = payments.queue_sender(10)
    monkeypatch.setattr(sender._calls, "send", lambda request: Future())
    (reference,) = _queue(payments, 1)
    assert sender.run_once() == Sent(claimed=1)
    assert sender.finish(0) == Sent(handed_back=1)
    assert _states(backend) == ["queued"]
    other = payments.queue_sender(10)
    run(other)
    other.finish(0)
    assert sent_to(mpesa_simulator) == [reference]


def test_what_cannot_be_prepared_while_the_database_is_away_is_queued_again(
    payments: AnyPayments, begin: Begin, backend: Backend, monkeypatch: pytest.MonkeyPatch,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    monkeypatch.setattr(persistence, "clock", itertools.count(0, 60).__next__)
    references = _queue(payments, 2)
    sender = begin()
    request_of = sender._sender.request_of

    def away(record: Any) -> Any:
        if record.third_party_reference == references[0]:
            raise RecordsUnavailable("The database is away")
        return request_of(record)

    with monkeypatch.context() as patch:
        patch.setattr(sender._sender, "request_of", away)
        assert sender.run_once() == Sent(claimed=2, handed_back=1)
    run(sender)
    assert _states(backend) == ["completed", "completed"]
    assert sorted(sent_to(mpesa_simulator)) == sorted(references)


def _break_for(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, reference: str) -> None:
    """Have a method raise for the payment with this reference."""
    method = getattr(owner, name)

    def broken(record: Any) -> Any:
        if record.third_party_reference == reference:
            raise RuntimeError("a secret")
        return method(record)

    monkeypatch.setattr(owner, name, broken)


def test_one_that_cannot_be_failed_when_its_time_is_over_keeps_no_other(
    payments: AnyPayments, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = _queue(payments, 2)
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    backend.set_all(send_before=past, next_check_at=past)
    _break_for(monkeypatch, payments._queue, "look_at", first)
    sender = payments.queue_sender(10)
    assert sender.run_once() == Sent(expired=1, failed=1)
    sender.finish(0)
    assert _states(backend) == ["queued", "failed"]


def test_turns_that_nothing_was_there_for_are_given_back_while_others_are_under_way(
    payments: AnyPayments, begin: Begin, mpesa_simulator: Simulator
) -> None:
    _slow(mpesa_simulator, 0.3, 2)
    _queue(payments, 2)
    limit = RateLimit(9)
    sender = begin(5, rate=limit)
    assert sender.run_once().claimed == 2
    assert sender.run_once().claimed == 0
    left = limit.reserve(9)
    assert left >= 7
    limit.release(left)
    run(sender)


def test_one_that_cannot_be_sent_keeps_no_other(
    payments: AnyPayments, begin: Begin, backend: Backend, monkeypatch: pytest.MonkeyPatch,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    first, *others = _queue(payments, 3)
    sender = begin()
    _break_for(monkeypatch, sender._sender, "request_of", first)
    run(sender)
    assert _states(backend) == ["failed", "completed", "completed"]
    said = backend.records()[0].response_description
    assert said.startswith("Not sent: RuntimeError in broken")
    assert "secret" not in said
    assert sorted(sent_to(mpesa_simulator)) == sorted(others)


def test_where_no_thread_can_be_had_payments_are_queued_again_and_sent_later(
    payments: AnyPayments, begin: Begin, backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    references = _queue(payments, 2)
    sender = begin()
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread.name == "mpesa-send":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        assert sender.run_once() == Sent(claimed=2, handed_back=2)
    assert (_states(backend), sender.in_flight) == (["queued", "queued"], 0)
    run(sender)
    assert set(_states(backend)) == {"completed"}
    assert sorted(sent_to(mpesa_simulator)) == sorted(references)


def test_a_database_that_hangs_up_at_any_moment_has_nothing_sent_twice(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    payments: AnyPayments = make_payments()
    sender = payments.queue_sender(10)
    for fails_at in itertools.count():
        (reference,) = _queue(payments, 1)
        statements = itertools.count()

        def hang_up(at: int = fails_at, statements: Iterator[int] = statements) -> None:
            if next(statements) == at:
                raise ConnectionError

        with backend.before_each_statement(hang_up):
            run(sender)
        (record,) = [r for r in backend.records() if r.third_party_reference == reference]
        assert record.state in ("queued", "initiated", "completed")
        if record.state == "queued":
            run(sender)
        if record.state == "initiated":
            assert sent_to(mpesa_simulator).count(reference) <= 1
            backend.make_due()
            payments.reconcile()
        assert sent_to(mpesa_simulator).count(reference) <= 1
        if next(statements) <= fails_at:
            break
    sender.finish(0)
    assert fails_at > 4
