"""Waiting for an outcome that another thread brings, in this thread or in a coroutine."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations import ValidationError
from mpesa_integrations.core.errors import RecordsUnavailable
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.waiting import pauses
from tests.support.waiting import meanwhile, until

from .backends import Backend
from .conftest import MakePayments
from .test_payments import PAYMENT, callback, pending

__all__ = ["pending"]

Wait = Callable[..., Any]


@pytest.fixture(params=["wait", "await_outcome"])
def wait(request: pytest.FixtureRequest, payments: Payments[Any, Any], backend: Backend) -> Wait:
    """Both ways, called alike."""
    if request.param == "wait":
        return payments.wait
    return lambda payment, **options: backend.run(payments.await_outcome(payment, **options))


class Looks:
    """How often the record was looked at, and which of those times its database is away."""

    def __init__(self, payments: Payments[Any, Any], backend: Backend) -> None:
        self.times = 0
        self.away: Callable[[int], bool] = lambda number: False
        self._payments = payments
        self._backend = backend
        self._find = payments.store.find
        payments.store.find = self.find  # type: ignore[method-assign]

    def find(self, third_party_reference: str) -> Any:
        self.times += 1
        if self.away(self.times):
            with self._backend.before_each_statement(_hang_up):
                return self._find(third_party_reference)
        return self._find(third_party_reference)


def _hang_up() -> None:
    raise ConnectionResetError


@pytest.fixture
def looks(payments: Payments[Any, Any], backend: Backend) -> Looks:
    return Looks(payments, backend)


@pytest.mark.parametrize(("code", "state"), [("0", "completed"), ("INS-5", "cancelled")])
def test_what_another_thread_decides_is_given_soon(
    payments: Payments[Any, Any], backend: Backend, pending: Any, looks: Looks, wait: Wait,
    code: str, state: str,
) -> None:  # fmt: skip
    decided_at = [math.inf]

    def decide() -> None:
        until(lambda: looks.times >= 2)
        payments.receive(callback(pending, code))
        decided_at[0] = time.monotonic()

    with meanwhile(decide, at_end=backend.done):
        found = wait(pending, timeout=60)
    assert (found.state, found.is_open, found.is_paid) == (state, False, code == "0")
    assert time.monotonic() - decided_at[0] < 45, "not at the end of its time"
    assert found.pk == pending.pk


def test_what_no_worker_sent_in_time_is_waited_for_no_longer(
    payments: Payments[Any, Any], backend: Backend, wait: Wait
) -> None:
    queued = payments.c2b(**PAYMENT, send="worker")
    backend.set_all(send_before=datetime.now(timezone.utc) - timedelta(seconds=1))
    found = wait(queued, timeout=30)
    assert (found.state, found.may_retry) == ("failed", True)
    assert backend.records()[0].response_description == "Not sent in time"


@pytest.mark.slow
def test_what_a_worker_sends_is_waited_for_from_the_queue_to_its_end(
    payments: Payments[Any, Any], backend: Backend, looks: Looks, wait: Wait
) -> None:
    queued = payments.c2b(**PAYMENT, send="worker")
    assert (queued.state, queued.is_open) == ("queued", True)
    assert wait(queued, timeout=0).state == "queued"

    def send() -> None:
        until(lambda: looks.times >= 3)
        sender = payments.queue_sender(1)
        sender.run_once()
        sender.finish(timeout=20)

    with meanwhile(send, at_end=backend.done):
        assert wait(queued, timeout=30).is_paid


def test_what_is_decided_is_given_at_once_however_old_the_record(
    payments: Payments[Any, Any], pending: Any, looks: Looks, wait: Wait
) -> None:
    payments.receive(callback(pending))
    looks.times = 0
    assert pending.is_open
    assert wait(pending).state == "completed"
    assert looks.times == 1


def test_when_time_is_over_the_record_says_that_it_is_open(
    pending: Any, looks: Looks, wait: Wait
) -> None:
    began = time.monotonic()
    found = wait(pending, timeout=0.25)
    assert (found.state, found.is_open) == ("pending", True)
    assert 0.25 <= time.monotonic() - began < 45
    assert 2 <= looks.times <= 5
    looks.times = 0
    assert wait(pending, timeout=0).is_open
    assert looks.times == 1


@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf, "5", True, None, 86_401])
def test_what_is_no_timeout_is_refused_before_a_look(
    pending: Any, looks: Looks, wait: Wait, timeout: Any
) -> None:
    with pytest.raises(ValidationError) as caught:
        wait(pending, timeout=timeout)
    assert caught.value.errors == {"timeout": ["must be seconds, from 0 to 86400"]}
    assert caught.value.errors_in("pt") == {"timeout": ["tem de ser em segundos, de 0 a 86400"]}
    assert looks.times == 0


def test_a_database_that_is_away_for_a_moment_is_waited_for(
    payments: Payments[Any, Any], pending: Any, looks: Looks, wait: Wait
) -> None:
    payments.receive(callback(pending))
    looks.times, looks.away = 0, lambda number: number < 3
    assert wait(pending, timeout=30).state == "completed"
    assert looks.times == 3


def test_a_database_that_stays_away_is_said(pending: Any, looks: Looks, wait: Wait) -> None:
    looks.away = lambda number: True
    with pytest.raises(RecordsUnavailable):
        wait(pending, timeout=0.2)
    looks.away = lambda number: False
    assert wait(pending, timeout=0).is_open, "the connection that broke is given up"


def test_only_the_accounts_own_payments_are_waited_for(
    make_payments: MakePayments, backend: Backend, pending: Any, wait: Wait
) -> None:
    of_another = make_payments(alias="payouts").b2c(**PAYMENT)
    with pytest.raises(ValidationError, match=r'mpesa\["payouts"\]'):
        wait(of_another)
    backend.forget(pending)
    with pytest.raises(ValidationError, match="is not on record"):
        wait(pending)


@pytest.mark.slow
def test_many_coroutines_wait_at_once_and_hold_no_thread(
    payments: Payments[Any, Any], backend: Backend, pending: Any, looks: Looks
) -> None:
    many = 100

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(payments.await_outcome(pending) for _ in range(many)))

    def decide() -> None:
        until(lambda: looks.times >= many)
        payments.receive(callback(pending))

    before = threading.active_count()
    with meanwhile(decide, at_end=backend.done):
        found = backend.run(all_of_them())
    assert {payment.state for payment in found} == {"completed"}
    assert threading.active_count() < before + many / 2


@pytest.mark.slow
def test_a_coroutine_that_is_cancelled_looks_no_more(
    payments: Payments[Any, Any], backend: Backend, pending: Any, looks: Looks
) -> None:
    async def cancelled() -> int:
        waiting = asyncio.create_task(payments.await_outcome(pending))
        while looks.times < 2:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        seen = looks.times
        await asyncio.sleep(0.3)
        return looks.times - seen

    assert backend.run(cancelled()) <= 1, "one may have been under way"


def test_the_pauses_grow_and_end_in_time() -> None:
    found = [pause for pause, _ in zip(pauses(1000), range(40), strict=False)]
    assert 0.07 < found[0] < 0.13
    assert all(1.1 < pause <= 2 for pause in found[-20:])
    assert len(set(found[-20:])) > 1, "so that not all look at once"
    assert next(pauses(0.05)) <= 0.05
    assert list(pauses(0)) == []
