"""The loops of a worker's accounts, and what all of an account's share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mpesa_integrations.core.payments.rate_limits import RateLimit
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.worker.crew import Crew
from mpesa_integrations.worker.jobs import AccountJob
from mpesa_integrations.worker.loops import Surroundings
from mpesa_integrations.worker.options import WorkerOptions


@pytest.fixture
def crew() -> Iterator[Crew]:
    """One whose accounts are broken, so that nothing is done for them."""
    accounts: Accounts[Any, Any] = Accounts(lambda: {}, lambda *_: None)  # type: ignore[arg-type]
    made = Crew(accounts, WorkerOptions(rate=0.001, stop_within=1), Surroundings())
    yield made
    for loop in made.stop(time.monotonic() + 5):
        assert loop.join()


def _limit(crew: Crew, name: str) -> RateLimit:
    """What all jobs of an account have."""
    (limit,) = {loop.job._rate for loop in crew.loops(name) if isinstance(loop.job, AccountJob)}
    return limit


def _leave(crew: Crew, name: str) -> None:
    loops = crew.loops(name)
    crew.leave([name])
    assert all(loop.join() for loop in loops)


def test_all_jobs_of_an_account_have_one_limit(crew: Crew) -> None:
    crew.begin(["cafe", "shop"])
    assert _limit(crew, "cafe") is not _limit(crew, "shop")


def test_an_account_that_comes_back_has_no_more_calls_than_if_it_had_stayed(crew: Crew) -> None:
    crew.begin(["cafe"])
    limit = _limit(crew, "cafe")
    assert limit.ask() == 0.0
    _leave(crew, "cafe")
    crew.begin([])
    crew.begin(["cafe"])
    assert _limit(crew, "cafe") is limit
    assert limit.ask() > 0


def test_of_accounts_that_are_gone_nothing_is_kept(crew: Crew) -> None:
    for number in range(5):
        crew.begin([f"shop-{number}"])
        _leave(crew, f"shop-{number}")
    crew.begin(["cafe"])
    assert list(crew._rates._limits) == ["cafe"]


def test_what_had_no_thread_is_ended_with_the_rest(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread.name == "mpesa-reconcile-cafe":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with pytest.raises(RuntimeError):
        crew.begin(["cafe"])
    assert not crew.is_whole
    ended = [loop.join() for loop in crew.stop(time.monotonic() + 5)]
    assert ended == [True] * 3
