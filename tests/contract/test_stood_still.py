"""A process that stood still between a payment's record and its first byte sends nothing late.

A machine that sleeps, a container that is frozen, a thread that gets no time: others decide of the
payment meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations.core.client.attempts import LoggedExchange
from mpesa_integrations.core.payments import schedule
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.queue_sender import Sent
from mpesa_integrations.simulator import Simulator

from .backends import Backend
from .conftest import Heard, MakePayments
from .freezing_worker import CLAIM_HOLDS
from .test_queue import ORDER, PAYMENT, run, sent_to

AnyPayments = Any


@contextmanager
def _frozen_worker(
    backend: Backend, simulator: Simulator, at: str, by: str
) -> Iterator[subprocess.Popen[str]]:
    """A worker that has stopped there; in the end it goes on, and is waited for."""
    command = [
        sys.executable, "-m", "tests.contract.freezing_worker", *backend.address(),
        str(simulator.state_dir), at, by,
    ]  # fmt: skip
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, status = os.waitpid(worker.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), worker.communicate()
    try:
        yield worker
    finally:
        worker.send_signal(signal.SIGCONT)
        _, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "by"), [("claimed", "loop"), ("connected", "loop"), ("connected", "threads")]
)
def test_what_a_person_decided_while_the_worker_was_frozen_is_not_sent(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator, at: str, by: str
) -> None:
    record = payments.c2b(**PAYMENT)
    with _frozen_worker(backend, mpesa_simulator, at, by):
        assert backend.records()[0].state == "initiated"
        backend.make_due()  # it was frozen for longer than its call may take
        payments.resolve(record, State.FAILED, by="Ana", note="not on the statement")
        time.sleep(CLAIM_HOLDS + 0.1)
    assert sent_to(mpesa_simulator) == []
    (kept,) = backend.records()
    assert (kept.state, kept.conflict) == ("failed", "")


@pytest.mark.slow
def test_what_nobody_decided_meanwhile_is_queued_again_and_sent_once(
    payments: AnyPayments, backend: Backend, mpesa_simulator: Simulator
) -> None:
    record = payments.c2b(**PAYMENT)
    with _frozen_worker(backend, mpesa_simulator, "connected", "loop"):
        time.sleep(CLAIM_HOLDS + 0.1)
    assert sent_to(mpesa_simulator) == [record.third_party_reference]
    assert backend.records()[0].state == "completed"


def test_what_was_decided_between_a_claim_and_its_reading_is_not_sent(
    payments: AnyPayments, backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    record = payments.c2b(**PAYMENT)
    claim_queued = payments.store.claim_queued

    def decided_meanwhile(*args: Any, **options: Any) -> Any:
        claimed = claim_queued(*args, **options)
        if claimed:
            backend.make_due()
            payments.resolve(record, State.FAILED, by="Ana", note="ordered twice")
        return claimed

    monkeypatch.setattr(payments.store, "claim_queued", decided_meanwhile)
    sender = payments.queue_sender(10)
    assert sender.run_once() == Sent(claimed=1)
    assert run(sender) == Sent()
    sender.finish(0)
    assert sent_to(mpesa_simulator) == []
    assert backend.records()[0].state == "failed"
    assert caplog.text.count("payment.failed") == 1
    assert sorted(heard.names) == ["failed", "initiated", "queued"]
    assert backend.outbox() == 0


@pytest.fixture(params=["ran", "slept"])
def let_pass(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets time go by for who counts down; while the machine sleeps, one clock stands still."""

    def pass_by(time: timedelta) -> None:
        if request.param == "slept":
            monkeypatch.setattr(schedule, "utc_now", lambda: datetime.now(timezone.utc) + time)
        else:
            now = schedule.monotonic
            monkeypatch.setattr(schedule, "monotonic", lambda: now() + time.total_seconds())

    return pass_by


def _once_before(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: Callable[[], object]
) -> None:
    """Have something happen before a method does its work, the next time that it is called."""
    method = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(owner, name, method)
        call()
        return method(*args, **kwargs)

    monkeypatch.setattr(owner, name, called)


@pytest.mark.parametrize("way", ["blocking", "awaited"])
def test_a_call_that_stood_still_for_longer_than_it_may_begin_within_sends_nothing(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator,
    let_pass: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch, way: str,
) -> None:  # fmt: skip
    payments: AnyPayments = make_payments()
    disconnect = payments.store.disconnect

    def stand_still() -> None:
        disconnect()
        let_pass(schedule.FIRST_CHECK)

    with monkeypatch.context() as patch:
        patch.setattr(payments.store, "disconnect", stand_still)
        record = payments.c2b(**{**ORDER, "send": "now"})
    assert sent_to(mpesa_simulator) == []
    assert (record.state, record.may_retry) == ("failed", True)
    assert "Nothing was sent: its time was over" in record.response_description


def test_an_order_that_was_paid_while_a_call_stood_still_is_paid_once(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator,
    let_pass: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    payments: AnyPayments = make_payments(not_found_after=timedelta(seconds=1))
    others: AnyPayments = make_payments(not_found_after=timedelta(seconds=1))
    age = payments.client.longest_call + schedule.FIRST_CHECK
    order = {**ORDER, "send": "now"}
    disconnect = payments.store.disconnect

    def stand_still() -> None:
        monkeypatch.setattr(payments.store, "disconnect", disconnect)
        disconnect()
        backend.set_all(created_at=datetime.now(timezone.utc) - age)
        backend.make_due()
        others.reconcile()
        assert others.c2b(**order).state == "completed"
        let_pass(age)

    monkeypatch.setattr(payments.store, "disconnect", stand_still)
    first = payments.c2b(**order)
    assert first.state == "failed"
    (paid,) = [record for record in backend.records() if record.state == "completed"]
    assert sent_to(mpesa_simulator) == [paid.third_party_reference]
    assert [record.conflict for record in backend.records()] == ["", ""]


@pytest.mark.parametrize("stands", ["before it is sent", "before it is sent again"])
def test_an_order_that_a_person_has_freed_is_paid_once_however_late_its_first_call_goes_on(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator,
    let_pass: Callable[[timedelta], None], monkeypatch: pytest.MonkeyPatch, stands: str,
) -> None:  # fmt: skip
    payments: AnyPayments = make_payments()
    others: AnyPayments = make_payments()
    order = {**ORDER, "send": "now"}

    def decided_meanwhile() -> None:
        backend.make_due()  # by longest_attempt + FIRST_CHECK
        others.reconcile()
        (asked,) = backend.records()
        assert (asked.state, asked.checks) == ("unknown", 1)
        others.resolve(asked, State.FAILED, by="Ana", note="the gateway does not know it")
        assert others.c2b(**order).state == "completed"
        let_pass(payments.client.longest_attempt + schedule.FIRST_CHECK)

    if stands == "before it is sent":
        _once_before(monkeypatch, payments.store, "disconnect", decided_meanwhile)
        attempts = []
    else:
        mpesa_simulator.scenarios.queue("code:INS-16")
        _once_before(monkeypatch, LoggedExchange, "receive", decided_meanwhile)
        attempts = ["refused"]
    first = payments.c2b(**order)
    assert first.state == "failed"
    (paid,) = [record for record in backend.records() if record.state == "completed"]
    assert sorted(sent_to(mpesa_simulator)) == sorted(
        [paid.third_party_reference] + [first.third_party_reference for _ in attempts]
    )
    assert [record.conflict for record in backend.records()] == ["", ""]


def test_the_gateways_ignorance_says_nothing_while_a_call_may_still_be_sent(
    make_payments: MakePayments, backend: Backend
) -> None:
    payments: AnyPayments = make_payments(not_found_after=timedelta(seconds=1))
    payments.c2b(**PAYMENT)
    payments._queue.claim(1).take()
    longest = payments.client.longest_call
    for age, state in (
        (longest + timedelta(seconds=1), "unknown"),
        (longest + schedule.FIRST_CHECK, "failed"),
    ):
        backend.set_all(send_before=None, created_at=datetime.now(timezone.utc) - age)
        backend.make_due()
        payments.reconcile()
        assert backend.records()[0].state == state
