from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import pytest

from django_mpesa.store import DjangoStore
from mpesa_integrations import MpesaConfig
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.handlers import Handlers
from mpesa_integrations.core.payments.records import OutboxEntry, Verdict
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.sqlalchemy.store import SqlAlchemyStore
from tests.support.account import TOKEN
from tests.support.awaited import AwaitedPayments
from tests.support.tables import look_once

from .backends import Backend, DjangoBackend, SqlAlchemyBackend, url_of_test_database
from .processes import Process


@dataclass
class Heard:
    """A notifier that keeps what it is given; while `silent`, it dispatches nothing."""

    events: list[tuple[Event, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    rejected: list[Verdict] = field(default_factory=list)
    given_up: list[tuple[str, str]] = field(default_factory=list)
    silent: bool = False

    def wants(self, event: Event) -> bool:
        return True

    def notify(self, entry: OutboxEntry, record: Any, dispatched: Callable[[], None]) -> None:
        if not self.silent:  # as a process that died before it came to it
            self.events.append((entry.event, copy.copy(record)))
            self.ids.append(entry.id)
            dispatched()

    def run(self, handler: str, work: Callable[[], None]) -> None:
        if not self.silent:
            work()

    def handler_failed(self, handler: str, record: Any, event_id: str) -> None:
        self.given_up.append((handler, record.third_party_reference))

    def callback_rejected(self, entry: Any, verdict: Verdict) -> None:
        self.rejected.append(verdict)

    @property
    def names(self) -> list[str]:
        return [event.value.removeprefix("payment_") for event, _ in self.events]


@pytest.fixture(scope="session")
def _sqlalchemy_backend(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SqlAlchemyBackend]:
    file = tmp_path_factory.mktemp("contract") / "records.sqlite3"
    with django_db_blocker.unblock():
        backend = SqlAlchemyBackend(url_of_test_database(str(file)))
    yield backend
    backend.engine.dispose()


@pytest.fixture(autouse=True)
def _tables_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    look_once(monkeypatch, DjangoStore, SqlAlchemyStore)


# The edit loop makes do with one of the stores, as the rules are the same.
@pytest.fixture(params=["django", pytest.param("sqlalchemy", marks=pytest.mark.slow)])
def backend(request: pytest.FixtureRequest, transactional_db: None) -> Backend:
    if request.param == "django":
        return DjangoBackend()
    found: SqlAlchemyBackend = request.getfixturevalue("_sqlalchemy_backend")
    found.empty()
    return found


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


MakePayments = Callable[..., Payments[Any, Any]]


@pytest.fixture
def way() -> str:
    """How the calls are made; a module whose tests hold for both has `BOTH_WAYS` in its place."""
    return "blocking"


BOTH_WAYS = pytest.fixture(params=["blocking", pytest.param("awaited", marks=pytest.mark.slow)])(
    lambda request: request.param
)


def as_called(payments: Payments[Any, Any], backend: Backend, way: str) -> Payments[Any, Any]:
    """An account whose calls block, or one whose calls' twins are awaited in their place."""
    if way == "blocking":
        return payments
    return cast("Payments[Any, Any]", AwaitedPayments(payments, backend.run))


@pytest.fixture
def make_payments(
    backend: Backend, mpesa_simulator: Simulator, heard: Heard, handlers: Handlers, way: str
) -> Iterator[MakePayments]:
    made = []

    def make(
        *, alias: str = "default", store: Any = None, enqueue: Any = None, **settings: Any
    ) -> Payments[Any, Any]:
        client = {f.name for f in fields(MpesaConfig)} & settings.keys()
        config = replace(
            mpesa_simulator.config,
            callback_token=TOKEN,
            **{"timeout": (5, 5), **{name: settings.pop(name) for name in client}},
        )
        account = AccountSettings(config=config, **settings)
        store = store or backend.store(alias)
        payments: Payments[Any, Any] = Payments(
            alias, account, store, heard, handlers, enqueue=enqueue
        )
        made.append(payments)
        return as_called(payments, backend, way)

    yield make
    for payments in made:
        payments.close()


@pytest.fixture
def payments(make_payments: MakePayments) -> Payments[Any, Any]:
    return make_payments()


StartProcess = Callable[..., Process]


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[StartProcess]:
    """Runs a function with these arguments in a process of its own, killed in the end."""
    started: list[Process] = []

    def start(function: Callable[..., object], *arguments: Any) -> Process:
        output = tmp_path / f"process-{len(started)}.out"
        started.append(Process(function, arguments, output))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def state_dir(mpesa_simulator: Simulator) -> Path:
    return mpesa_simulator.state_dir
