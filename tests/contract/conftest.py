from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from django_mpesa.store import DjangoStore
from flask_mpesa.sqlalchemy.store import SqlAlchemyStore
from mpesa_integrations import MpesaConfig
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.records import Event, OutboxEntry, Verdict
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN

from .backends import Backend, DjangoBackend, SqlAlchemyBackend, url_of_test_database


@dataclass
class Heard:
    """A notifier that keeps what it is given; while `silent`, it dispatches nothing."""

    events: list[tuple[Event, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    rejected: list[Verdict] = field(default_factory=list)
    silent: bool = False

    def wants(self, event: Event) -> bool:
        return True

    def notify(self, entry: OutboxEntry, record: Any, dispatched: Callable[[], None]) -> None:
        if not self.silent:  # as a process that died before it came to it
            self.events.append((entry.event, copy.copy(record)))
            self.ids.append(entry.id)
            dispatched()

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


def _looked_at_once(kind: Any) -> Callable[[Any], Any]:
    look = kind.tables
    seen: list[Any] = []

    def tables(store: Any) -> Any:
        if not seen:
            seen.append(look(store))
        return seen[0]

    return tables


_LOOKED_AT = {kind: _looked_at_once(kind) for kind in (DjangoStore, SqlAlchemyStore)}


@pytest.fixture(autouse=True)
def _tables_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process, whose first payment looks at the tables; each test has new accounts."""
    for kind, tables in _LOOKED_AT.items():
        monkeypatch.setattr(kind, "tables", tables)


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


MakePayments = Callable[..., Payments[Any, Any]]


@pytest.fixture
def make_payments(
    backend: Backend, mpesa_simulator: Simulator, heard: Heard
) -> Iterator[MakePayments]:
    made = []

    def make(*, alias: str = "default", store: Any = None, **settings: Any) -> Payments[Any, Any]:
        client = {f.name for f in fields(MpesaConfig)} & settings.keys()
        config = replace(
            mpesa_simulator.config,
            callback_token=TOKEN,
            **{"timeout": (5, 5), **{name: settings.pop(name) for name in client}},
        )
        account = AccountSettings(config=config, **settings)
        store = store or backend.store(alias)
        payments: Payments[Any, Any] = Payments(alias, account, store, heard)
        made.append(payments)
        return payments

    yield make
    for payments in made:
        payments.client.close()


@pytest.fixture
def payments(make_payments: MakePayments) -> Payments[Any, Any]:
    return make_payments()


@pytest.fixture
def state_dir(mpesa_simulator: Simulator) -> Path:
    return mpesa_simulator.state_dir
