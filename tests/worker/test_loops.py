"""The loop that does a job: when it looks, what it does where a look fails, and how it ends."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mpesa_integrations.worker import loops
from mpesa_integrations.worker.loops import Loop, Surroundings
from tests.support.waiting import until


class Looking:
    """A job that notes what is done with it."""

    account = "default"
    kind = "test"

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.bell = threading.Event()
        self.looked = 0
        self.more = 0
        self.raises: BaseException | None = None
        self.finished: list[float] = []

    def look(self) -> bool:
        self.looked += 1
        if self.raises is not None:
            raise self.raises
        self.more -= 1
        return self.more >= 0

    def rest(self) -> None:
        self.done["rested"] += 1

    def patience(self, poll: float) -> float:
        return poll

    def finish(self, seconds: float) -> None:
        self.finished.append(seconds)


@pytest.fixture
def job() -> Looking:
    return Looking()


@contextmanager
def _running(
    job: Looking,
    poll: float,
    around: Surroundings = Surroundings(),  # noqa: B008 - frozen
) -> Iterator[Loop]:
    loop = Loop(job, poll=poll, around=around)
    loop.start()
    try:
        yield loop
    finally:
        loop.stop(time.monotonic() + 10)
        assert loop.join()


def test_it_looks_when_it_is_rung_and_holds_nothing_meanwhile(job: Looking) -> None:
    with _running(job, 60):
        until(lambda: job.looked == 1 and job.done["rested"] == 1)
        job.bell.set()
        until(lambda: job.looked == 2)
    assert 9 < job.finished[0] <= 10


def test_it_looks_now_and_then_and_again_at_once_where_there_is_more(job: Looking) -> None:
    job.more = 50
    with _running(job, 60):
        until(lambda: job.looked == 51)
    again = Looking()
    with _running(again, 0.01):
        until(lambda: again.looked > 3)


def test_what_breaks_is_tried_again_later_each_time_whoever_rings(
    job: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []

    def pause(failures: int) -> float:
        pauses.append(failures)
        return 0.01 if failures < 5 else 60

    monkeypatch.setattr(loops, "_pause", pause)
    job.raises = ValueError("row 258841234567")
    with _running(job, 0.01) as loop:
        until(lambda: pauses == [1, 2, 3, 4, 5])
        assert loop.problem == "ValueError"
        for _ in range(20):
            job.bell.set()
        assert job.looked == 5
    assert len(job.finished) == 1  # what was under way before is ended all the same


def test_pauses_grow_and_have_an_end() -> None:
    pauses = [loops._pause(failures) for failures in range(1, 2000)]
    assert 0.375 <= pauses[0] <= 0.625
    assert max(pauses) <= 37.5
    assert min(pauses[8:]) >= 22.5


def test_one_that_is_well_again_is_forgiven(job: Looking) -> None:
    job.raises = ValueError()
    with _running(job, 0.01) as loop:
        until(lambda: loop.problem)
        job.raises = None
        until(lambda: not loop.problem)


def test_what_is_over_when_its_time_is_over_is_written_down_still(
    job: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()

    def finish(seconds: float) -> None:
        time.sleep(seconds + 0.2)  # it waits for as long as it may, and then writes
        written.set()

    monkeypatch.setattr(job, "finish", finish)
    loop = Loop(job, poll=60, around=Surroundings())
    loop.start()
    loop.stop(time.monotonic() + 0.2)
    assert loop.join()
    assert written.is_set()


def test_a_job_that_does_not_come_to_its_end_is_left(
    job: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_TO_WRITE", 0.1)
    goes_on = threading.Event()
    job.look = lambda: goes_on.wait(30)  # type: ignore[method-assign]
    loop = Loop(job, poll=60, around=Surroundings())
    loop.start()
    until(lambda: loop.looking_since)
    loop.stop(time.monotonic() + 0.1)
    assert not loop.join()
    assert loop.is_alive
    goes_on.set()
    until(lambda: not loop.is_alive)


def test_the_framework_has_its_way_around_it(job: Looking) -> None:
    said: list[str] = []

    @contextmanager
    def context() -> Iterator[None]:
        said.append("in")
        yield
        said.append("out")

    around = Surroundings(
        context=context,
        at_rest=lambda: said.append("rest"),
        at_end=lambda: said.append("end"),
    )
    with _running(job, 60, around):
        until(lambda: "rest" in said)
    assert said[:2] == ["in", "out"]
    assert said[-1] == "end"
    assert said.count("in") == said.count("out")
