"""A worker whose accounts come, change and go while it runs, over every store."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mpesa_integrations.commands import ExitCode, reconcile
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.left_to_do import left_to_do
from mpesa_integrations.core.payments.public_status import answer_status
from mpesa_integrations.core.payments.rate_limits import RateLimit
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.payments.status_tokens import StatusTokens
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter
from mpesa_integrations.worker import crew, loops
from mpesa_integrations.worker.jobs import AccountJob, DecideCallbacks, Reconcile, Send
from mpesa_integrations.worker.loops import Surroundings
from mpesa_integrations.worker.options import WorkerOptions
from mpesa_integrations.worker.run import Ended, Worker
from tests.support.account import account_settings
from tests.support.account_loader import Rows
from tests.support.waiting import until

from .backends import Backend
from .conftest import Heard

pytestmark = pytest.mark.slow
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "ORDER 7"}
Working = Callable[..., AbstractContextManager[Path]]


@pytest.fixture
def rows(mpesa_simulator: Simulator) -> Rows:
    return Rows(cafe=account_settings(mpesa_simulator), idle=account_settings(mpesa_simulator))


@pytest.fixture
def accounts(rows: Rows, backend: Backend, heard: Heard) -> Iterator[Accounts[Any, Any]]:
    def build(alias: str, settings: AccountSettings) -> Payments[Any, Any]:
        return Payments(alias, settings, backend.store(alias), heard)

    found: Accounts[Any, Any] = Accounts(
        lambda: rows, build, records=backend.store, status_tokens=StatusTokens(lambda: ["k" * 50])
    )
    yield found
    found.forget()


@pytest.fixture
def working(accounts: Accounts[Any, Any], backend: Backend, tmp_path: Path) -> Working:
    """Runs a worker in a thread, and gives its health file; options as `WorkerOptions`."""

    @contextmanager
    def work(**chosen: Any) -> Iterator[Path]:
        file = tmp_path / "health.json"
        options = WorkerOptions(poll=0.05, stop_within=5.0, health_file=file, **chosen)
        around = Surroundings(at_end=backend.done)
        said: list[str] = []
        worker = Worker(accounts, options=options, around=around, echo=said.append)
        ended: list[Ended] = []
        thread = threading.Thread(target=lambda: ended.append(worker.run()))
        thread.start()
        try:
            yield file
        finally:
            worker.stop()
            thread.join(30)
        assert ended == [Ended.CLEANLY]
        assert said[0].startswith("working for the accounts that the account loader has")

    return work


def _health(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def _accounts_in(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = _health(file).get("accounts", {})
    return found


def _states(backend: Backend) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in backend.records():
        found.setdefault(record.account, []).append(record.state)
    return found


def test_an_account_is_worked_for_while_it_has_something_to_do(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, working: Working,
    mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(crew, "LINGER", 0.5)
    accounts["cafe"].c2b(**PAYMENT, send="worker")
    with working() as file:
        until(lambda: _states(backend) == {"cafe": ["completed"]})
        rows.rows["added"] = account_settings(mpesa_simulator)
        accounts["added"].c2b(**PAYMENT, send="worker")
        until(lambda: _states(backend)["added"] == ["completed"])
        until(lambda: file.exists() and _accounts_in(file) == {})
        accounts["cafe"].c2b(**PAYMENT, send="worker")
        until(lambda: _states(backend)["cafe"] == ["completed"] * 2)
    assert rows.asked.count("idle") == 0


def test_all_calls_of_an_account_keep_the_rate(
    accounts: Accounts[Any, Any], backend: Backend, working: Working, mpesa_simulator: Simulator
) -> None:
    for _ in range(6):
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        accounts["cafe"].c2b(**PAYMENT)
    backend.make_due()
    for _ in range(14):
        accounts["cafe"].c2b(**PAYMENT, send="worker")
    mpesa_simulator.calls.clear()
    began = datetime.now(timezone.utc)
    with working(rate=8):
        until(lambda: _states(backend)["cafe"] == ["completed"] * 20)
    calls = mpesa_simulator.calls.select(CallFilter(kind="call"), limit=100)
    at = sorted((call.at - began).total_seconds() for call in calls)
    assert len(at) == 20
    # What arrives late makes it no less true, since the time is counted from the beginning.
    assert [seconds for count, seconds in enumerate(at, start=1) if count > 8 * seconds + 8] == []


def test_of_an_account_that_is_removed_nothing_more_is_asked(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, working: Working,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    for _ in range(2):
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        accounts["cafe"].c2b(**PAYMENT)
    backend.make_due()
    with working(rate=0.001):
        until(lambda: sorted(_states(backend)["cafe"]) == ["completed", "unknown"])
        del rows.rows["cafe"]
        names = {f"mpesa-{kind}-cafe" for kind in ("send", "callbacks", "reconcile")}
        until(lambda: not names & {thread.name for thread in threading.enumerate()}, seconds=10)
    rows.rows["cafe"] = account_settings(mpesa_simulator)
    assert accounts["cafe"].reconcile().asked == 1, "at once, and not when a lease ends"


def test_a_changed_key_is_used_by_the_worker_and_what_is_under_way_ends(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, working: Working,
    mpesa_simulator: Simulator,
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue("slow", operation="c2b", delay=3.0)
    with working():
        accounts["cafe"].c2b(**PAYMENT, send="worker")
        until(lambda: not mpesa_simulator.scenarios.queued)
        rows.rows["cafe"]["API_KEY"] = "k" * 32
        accounts["cafe"].c2b(**PAYMENT, send="worker")
        until(lambda: sorted(_states(backend)["cafe"]) == ["failed", "initiated"])
        until(lambda: sorted(_states(backend)["cafe"]) == ["completed", "failed"])


def test_a_broken_account_stops_no_other_and_a_removed_one_is_told_of(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, working: Working,
    mpesa_simulator: Simulator, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    for alias in ("bad", "gone"):
        rows.rows[alias] = account_settings(mpesa_simulator)
        accounts[alias].c2b(**PAYMENT, send="worker")
    rows.rows["bad"]["API_KEY"] = ""
    with working() as file:
        until(lambda: {"bad", "gone"} <= _accounts_in(file).keys() or _states(backend)["gone"])
        until(lambda: _states(backend)["gone"] == ["completed"])
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        accounts["gone"].c2b(**PAYMENT)
        del rows.rows["gone"]
        until(lambda: "worker.account_missing account=gone" in caplog.text)
        accounts["cafe"].c2b(**PAYMENT, send="worker")
        until(lambda: _states(backend)["cafe"] == ["completed"])
        until(lambda: "gone" not in _accounts_in(file) and "bad" in _accounts_in(file))
        assert "the M-Pesa account 'bad': api_key" in caplog.text
    assert _states(backend)["bad"] == ["queued"]


def test_a_loader_that_is_away_is_waited_for(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, working: Working
) -> None:
    accounts["cafe"].c2b(**PAYMENT, send="worker")
    rows.broken = OSError("away")
    with working() as file:
        until(lambda: "cafe" in _accounts_in(file))
        until(lambda: _accounts_in(file)["cafe"]["problems"].get("send") == "RecordsUnavailable")
        assert _health(file)["ok"] is False
        rows.broken = None
        until(lambda: _states(backend) == {"cafe": ["completed"]})
        until(lambda: _health(file)["ok"])


def test_an_account_that_cannot_be_loaded_stops_no_other(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, working: Working,
    mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(crew, "LINGER", 0.5)
    monkeypatch.setattr(loops, "_LONGEST_PAUSE", 0.5)
    rows.rows["bad"] = account_settings(mpesa_simulator)
    for alias in ("bad", "cafe"):
        accounts[alias].c2b(**PAYMENT, send="worker")
    load = rows.load

    def decrypted(alias: str) -> Any:
        if alias == "bad":
            raise ValueError("its key is another one")
        return load(alias)

    with monkeypatch.context() as broken, working() as file:
        broken.setattr(rows, "load", decrypted)
        until(lambda: _states(backend) == {"bad": ["queued"], "cafe": ["completed"]})
        until(lambda: _accounts_in(file).keys() == {"bad"})
        assert _health(file)["problem"] == ""
        assert _accounts_in(file)["bad"]["problems"]["send"] == "RecordsUnavailable"
        broken.undo()
        until(lambda: _states(backend)["bad"] == ["completed"])


def test_of_what_is_left_to_do_every_kind_counts(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, heard: Heard
) -> None:
    def left(**options: Any) -> dict[str, int]:
        return dict(backend.store().left_to_do(**{"callbacks": True, **options}))

    assert left() == {}
    heard.silent = True
    accounts["cafe"].c2b(**PAYMENT)
    assert left() == {"cafe": 0}  # events that nobody dispatched
    accounts["idle"].c2b(**PAYMENT, send="worker")
    assert left() == {"cafe": 0, "idle": 1}
    backend.store("third").store_callback(
        {"body": b"{}", "conversation_id": "", "third_party_reference": "", "remote_address": None,
         "verdict": "received"}
    )  # fmt: skip
    assert left() == {"cafe": 0, "idle": 1, "third": 0}
    assert left(callbacks=False) == {"cafe": 0, "idle": 1}
    found = left_to_do(accounts)
    assert (sorted(found.accounts), found.missing) == (["cafe", "idle"], {})
    del rows.rows["idle"]
    assert left_to_do(accounts).missing == {"idle": 1}


def test_reconcile_goes_over_the_accounts_of_now_and_tells_of_those_that_are_gone(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator
) -> None:
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b", times=2)
    payment = accounts["idle"].c2b(**PAYMENT)
    accounts["cafe"].c2b(**PAYMENT)
    token = accounts.status_token(payment)
    del rows.rows["idle"]
    backend.make_due()
    said: list[str] = []
    how: dict[str, Any] = {"every": None, "batch": 10, "workers": 1, "rate": None}
    assert reconcile(accounts, **how, echo=said.append) is ExitCode.PROBLEM
    assert said[0].startswith("idle: 1 payment is open and cannot be asked for")
    assert said[0].endswith("there is no M-Pesa account 'idle' any more")
    assert said[1].startswith("cafe: 1 asked")
    assert _states(backend) == {"idle": ["unknown"], "cafe": ["completed"]}
    told = answer_status(accounts, token, "en")  # its record stays readable
    assert (told.status, json.loads(told.content)["state"]) == (200, "unknown")
    rows.broken = OSError("away")
    assert reconcile(accounts, **how, echo=said.append) is ExitCode.UNAVAILABLE
    assert "could not be loaded: OSError" in said[-1]


def test_the_task_of_beat_starts_those_of_the_accounts_of_now(
    accounts: Accounts[Any, Any], rows: Rows, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    celery = pytest.importorskip("celery")
    celery.Celery("loaded").set_current()  # another test may have left one that it has closed
    make_tasks = pytest.importorskip("mpesa_integrations.tasks").make_tasks
    tasks = make_tasks(f"loaded_{uuid4().hex}", lambda: accounts)  # Celery keeps them for good
    started: list[tuple[str, int]] = []
    monkeypatch.setattr(
        tasks.reconcile_account, "delay", lambda alias, batch: started.append((alias, batch))
    )
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b", times=2)
    for alias in ("cafe", "idle"):
        accounts[alias].c2b(**PAYMENT)
    del rows.rows["idle"]
    tasks.reconcile(batch=7)
    assert started == [("cafe", 7)]
    assert "reconcile.account_missing account=idle: 1 payment is open" in caplog.text


@pytest.mark.parametrize("kind", [Send, DecideCallbacks, Reconcile])
def test_a_look_reads_the_accounts_settings_once(
    accounts: Accounts[Any, Any], rows: Rows, kind: type[AccountJob]
) -> None:
    rows.rows["cafe"]["APPLY_CALLBACKS"] = "worker"
    job = kind(accounts, "cafe", WorkerOptions(), RateLimit(None), threading.Event())
    try:
        job.look()
    finally:
        job.finish(5.0)
        job.rest()
    assert rows.asked == ["cafe"]
