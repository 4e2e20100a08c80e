"""Which connection a payment is recorded on, and what becomes of it: servers that really hang up.

Most of it needs a server: MPESA_TEST_DATABASE=postgresql or mariadb.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from typing import Any

import django
import pytest
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from django_mpesa import isolation, mpesa
from django_mpesa.isolation import run_isolated
from django_mpesa.models import CallbackLog, Transaction
from django_mpesa.store import DjangoStore, database
from mpesa_integrations import ValidationError
from mpesa_integrations.core.errors import CalledInTransaction, RecordLocked, RecordsUnavailable
from mpesa_integrations.simulator import Simulator
from tests.support import rows

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
Heard = list[tuple[str, Any]]
STANDSTILL = 30
"""Seconds for which a connection of a pool is waited for that nobody gives back."""


@pytest.fixture
def server() -> str:
    """The database's vendor, where it is a server."""
    if connection.vendor == "sqlite":
        pytest.skip("needs a server")
    return str(connection.vendor)


@pytest.fixture
def postgresql(server: str) -> None:
    if server != "postgresql":
        pytest.skip("needs PostgreSQL")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the caller's connection is still needed while the gateway is waited for."""
    monkeypatch.setattr(database, "disconnect", lambda alias: None)


@contextmanager
def _while_waiting(call: Callable[[], object]) -> Iterator[None]:
    """Have something happen while the gateway has the request and has not answered yet."""
    client = mpesa["default"].client
    send = client.send

    def sent(request: Any) -> Any:
        answer = send(request)
        call()
        return answer

    client.send = sent  # type: ignore[method-assign]
    try:
        yield
    finally:
        client.send = send  # type: ignore[method-assign]


def _elsewhere(call: Callable[[], Any]) -> Any:
    """Run a call on another connection than this thread's."""

    def run() -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _hang_up() -> None:
    """End all other sessions of the test's database, as an administrator or a restart does."""

    def end() -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                return
            cursor.execute(
                "SELECT id FROM information_schema.processlist "
                "WHERE db = database() AND id <> connection_id()"
            )
            for (number,) in cursor.fetchall():
                cursor.execute(f"KILL {number}")

    _elsewhere(end)


def test_no_connection_is_held_while_the_gateway_is_waited_for(
    simulator: Simulator, server: str
) -> None:
    held: list[bool] = []
    with _while_waiting(lambda: held.append(connection.connection is not None)):
        assert mpesa.c2b(**PAYMENT).state == "completed"
        simulator.scenarios.queue("cut_after", operation="c2b")
        record = mpesa.c2b(**PAYMENT)
        assert mpesa.check(record).state == "completed"
    assert held == [False, False]


@pytest.mark.usefixtures("held")
def test_a_server_that_hangs_up_while_the_pin_is_typed_loses_nothing(
    simulator: Simulator, server: str, heard: Heard
) -> None:
    with _while_waiting(_hang_up):
        record = mpesa.c2b(**PAYMENT)
    kept = Transaction.objects.get()  # the caller's connection works, too
    assert (record.state, kept.state) == ("completed", "completed")
    assert record.transaction_id == kept.transaction_id != ""
    assert [name for name, _ in heard] == ["payment_initiated", "payment_completed"]


@pytest.mark.usefixtures("held")
def test_a_session_that_was_idle_for_too_long_loses_nothing(
    simulator: Simulator, server: str
) -> None:
    with connection.cursor() as cursor:
        if server == "postgresql":
            cursor.execute("SET idle_session_timeout = '300ms'")
        else:
            cursor.execute("SET SESSION wait_timeout = 1")
    simulator.scenarios.queue("slow", operation="c2b", delay=0.6 if server == "postgresql" else 1.6)
    assert mpesa.c2b(**PAYMENT).state == "completed"
    assert Transaction.objects.get().state == "completed"


def test_inside_atomic_the_record_outlives_the_callers_connection(
    simulator: Simulator, server: str
) -> None:
    records = []

    def pay() -> None:
        with transaction.atomic(), _while_waiting(_hang_up):
            assert Transaction.objects.count() == 0
            records.append(mpesa.c2b(**PAYMENT))

    with pytest.raises(OperationalError):  # the caller's own COMMIT
        pay()
    connection.close()
    assert [record.state for record in records] == ["completed"]
    assert Transaction.objects.get().state == "completed"


def test_a_connection_that_died_before_the_call_is_not_noticed(
    simulator: Simulator, server: str
) -> None:
    assert Transaction.objects.count() == 0
    _hang_up()
    assert mpesa.c2b(**PAYMENT).state == "completed"


@pytest.mark.usefixtures("held")
def test_reconcile_outlives_a_server_that_hangs_up(simulator: Simulator, server: str) -> None:
    for _ in range(3):
        simulator.scenarios.queue("cut_after", operation="c2b")
        mpesa.c2b(**PAYMENT)
    rows.change(Transaction.objects.all(), next_check_at=timezone.now())
    with _while_waiting(_hang_up):
        assert mpesa.reconcile(workers=1).asked == 3
    assert {record.state for record in Transaction.objects.all()} == {"completed"}


def test_what_the_callers_session_holds_is_left_alone(
    simulator: Simulator, postgresql: None
) -> None:
    for prepare, look in (
        ("SELECT pg_advisory_lock(4711)", "SELECT count(*) FROM pg_locks WHERE objid = 4711"),
        ("CREATE TEMPORARY TABLE mine (n int)", "SELECT 1 + count(*) FROM mine"),
        ("LISTEN news", "SELECT count(*) FROM pg_listening_channels()"),
    ):
        with connection.cursor() as cursor:
            cursor.execute(prepare)
        assert mpesa.c2b(**PAYMENT).state == "completed"
        with connection.cursor() as cursor:
            cursor.execute(look)
            assert cursor.fetchone() == (1,)
        connection.close()


def test_a_loop_over_a_cursor_goes_on(simulator: Simulator) -> None:
    for number in range(5):
        mpesa.c2b(**{**PAYMENT, "reference": f"ORDER {number}"})
    paid_out = [
        mpesa.b2c(**{**PAYMENT, "reference": paid.reference}).reference
        for paid in Transaction.objects.filter(operation="c2b").order_by("pk").iterator(2)
    ]
    assert paid_out == [f"ORDER {number}" for number in range(5)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT reference FROM django_mpesa_transaction WHERE operation = 'b2c'")
        for (reference,) in iter(cursor.fetchone, None):
            assert mpesa.c2b(**{**PAYMENT, "reference": reference}).state == "completed"


def test_a_database_locked_for_a_while_is_waited_for(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's lock")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 20")
    locked, waiting = threading.Event(), threading.Event()

    def lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN EXCLUSIVE")
            locked.set()
            waiting.wait(10)
            cursor.execute("ROLLBACK")
        connections.close_all()

    thread = threading.Thread(target=lock)

    def begin() -> None:
        thread.start()
        locked.wait(10)

    def tried(seconds: float) -> None:
        waiting.set()
        thread.join()

    monkeypatch.setattr("mpesa_integrations.core.payments.persistence.sleep", tried)
    with _while_waiting(begin):
        assert mpesa.c2b(**PAYMENT).state == "completed"
    assert waiting.is_set()
    assert Transaction.objects.get().state == "completed"


def test_a_payment_that_the_caller_has_locked_cannot_be_reversed_or_checked(
    simulator: Simulator, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "LOCK_TIMEOUT", 1)
    monkeypatch.setattr(
        "mpesa_integrations.core.payments.persistence.clock", count(step=10).__next__
    )
    paid = mpesa.c2b(**PAYMENT)
    with transaction.atomic():
        mine = Transaction.objects.select_for_update().get(pk=paid.pk)
        with pytest.raises(RecordLocked, match=r"^Nothing was sent\. A row stayed") as caught:
            mpesa.reverse(transaction_id=mine.transaction_id)
        assert isinstance(caught.value, CalledInTransaction)
        assert mpesa.check(mine).state == "completed"  # there is nothing to write
    assert len(simulator.ledger.transactions()) == 1
    simulator.scenarios.queue("cut_after", operation="c2b")
    unknown = mpesa.c2b(**PAYMENT)
    with transaction.atomic():
        Transaction.objects.select_for_update().get(pk=unknown.pk)
        with pytest.raises(RecordLocked, match=r"^A row stayed locked"):
            mpesa.check(unknown)
    assert mpesa.check(unknown).state == "completed"


def test_a_table_that_the_caller_has_locked_is_waited_for_with_a_bound(
    simulator: Simulator, postgresql: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "LOCK_TIMEOUT", 1)
    monkeypatch.setattr(
        "mpesa_integrations.core.payments.persistence.clock", count(step=60).__next__
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {CallbackLog._meta.db_table}")
        assert mpesa.c2b(**PAYMENT).state == "completed"
    assert Transaction.objects.get().state == "completed"


@pytest.mark.parametrize("within", [True, False])
def test_a_row_locked_after_sending_is_waited_for_with_a_bound(
    simulator: Simulator, server: str, monkeypatch: pytest.MonkeyPatch, within: bool
) -> None:
    if server == "mysql" and not within:
        pytest.skip("the server's own bound, 50 seconds unless it is set otherwise")
    monkeypatch.setattr(isolation, "LOCK_TIMEOUT", 1)
    locked, tried = threading.Event(), threading.Event()

    def lock() -> None:
        with transaction.atomic():
            Transaction.objects.select_for_update().get()
            locked.set()
            tried.wait(10)
        connections.close_all()

    thread = threading.Thread(target=lock)

    def begin() -> None:
        thread.start()
        locked.wait(10)

    monkeypatch.setattr(
        "mpesa_integrations.core.payments.persistence.sleep", lambda seconds: tried.set()
    )
    with transaction.atomic() if within else nullcontext(), _while_waiting(begin):
        assert mpesa.c2b(**PAYMENT).state == "completed"
    thread.join()
    assert tried.is_set()
    assert Transaction.objects.get().state == "completed"


def test_a_snapshot_of_the_callers_hides_no_payment(simulator: Simulator, server: str) -> None:
    with connection.cursor() as cursor:
        if server == "mysql":
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with transaction.atomic():
        with connection.cursor() as cursor:
            if server == "postgresql":
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert Transaction.objects.count() == 0  # the snapshot is taken
        paid = mpesa.c2b(**PAYMENT, idempotency_key="order-7")
        assert mpesa.c2b(**PAYMENT, idempotency_key="order-7").pk == paid.pk
        given_back = mpesa.reverse(
            transaction_id=paid.transaction_id, amount="50.00", idempotency_key="refund-7"
        )
        again = mpesa.reverse(
            transaction_id=paid.transaction_id, amount="50.00", idempotency_key="refund-7"
        )
        assert again.pk == given_back.pk
        assert mpesa.check(paid).state == "partly_reversed"
        with pytest.raises(ValidationError, match="at most"):
            mpesa.reverse(transaction_id=paid.transaction_id, amount="101.00")
    connection.close()
    assert len(simulator.ledger.transactions()) == 2


@pytest.fixture
def pooled(postgresql: None) -> Iterator[Callable[[int], AbstractContextManager[Any]]]:
    """Gives a thread its connection from a pool of so many, as Django does from 5.1 on."""
    pytest.importorskip("psycopg_pool")
    if django.VERSION < (5, 1):
        pytest.skip("Django has no pool yet")
    here = connections["default"]
    settings = {**here.settings_dict, "CONN_MAX_AGE": 0}

    @contextmanager
    def connected(size: int) -> Iterator[Any]:
        settings["OPTIONS"] = {"pool": {"min_size": 1, "max_size": size, "timeout": STANDSTILL}}
        connections["default"] = found = type(here)(settings, "default")
        try:
            yield found
        finally:
            found.close()

    yield connected
    its_pool: Any = type(here)(settings, "default")
    its_pool.close_pool()


def test_as_many_payments_as_the_pool_is_large_do_not_stand_still(
    simulator: Simulator, pooled: Callable[[int], AbstractContextManager[Any]]
) -> None:
    def pay(number: int) -> str:
        with pooled(2), transaction.atomic():
            Transaction.objects.count()
            return str(mpesa.c2b(**PAYMENT).state)

    with ThreadPoolExecutor(6) as pool:
        began = time.monotonic()
        assert list(pool.map(pay, range(6))) == ["completed"] * 6
        assert time.monotonic() - began < STANDSTILL


def test_a_connection_of_the_pool_is_given_back_while_the_gateway_is_waited_for(
    simulator: Simulator, pooled: Callable[[int], AbstractContextManager[Any]]
) -> None:
    all_wait = threading.Barrier(4, timeout=9)

    def pay(number: int) -> str:
        with pooled(1):
            Transaction.objects.count()
            return str(mpesa.c2b(**PAYMENT).state)

    with _while_waiting(all_wait.wait), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(pay, range(4))) == ["completed"] * 4


def test_a_server_that_is_away_is_an_error_of_ours(
    simulator: Simulator, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", 1)
    monkeypatch.setattr(
        "mpesa_integrations.core.payments.persistence.clock", count(step=10).__next__
    )
    with pytest.raises(
        RecordsUnavailable, match=r"^Nothing was sent. The database of the payments"
    ):
        mpesa.c2b(**PAYMENT)
    assert simulator.ledger.transactions() == []


def test_what_is_final_can_be_checked_in_any_transaction(simulator: Simulator) -> None:
    paid = mpesa.c2b(**PAYMENT)
    with transaction.atomic():
        assert mpesa.check(paid).state == "completed"
    simulator.scenarios.queue("cut_after", operation="c2b")
    unknown = mpesa.c2b(**PAYMENT)
    with transaction.atomic():
        if connection.vendor == "sqlite":
            with pytest.raises(CalledInTransaction, match="SQLite"):
                mpesa.check(unknown)
        else:
            assert mpesa.check(unknown).state == "completed"


def test_steps_can_be_nested(server: str) -> None:
    with transaction.atomic():
        thread = run_isolated("default", threading.get_ident)
        assert thread != threading.get_ident()
        inner = run_isolated(
            "default", lambda: (threading.get_ident(), run_isolated("default", threading.get_ident))
        )
        assert inner[0] == inner[1]


@pytest.fixture
def foreign_key(server: str) -> Iterator[None]:
    """As of a shop's own model."""
    statements = (
        "CREATE TABLE kind_of_order (id INTEGER PRIMARY KEY)",
        "ALTER TABLE django_mpesa_transaction ADD CONSTRAINT of_a_kind "
        "FOREIGN KEY (content_type_id) REFERENCES kind_of_order (id)",
    )
    dropped = "CONSTRAINT" if server == "postgresql" else "FOREIGN KEY"
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        yield
        cursor.execute(f"ALTER TABLE django_mpesa_transaction DROP {dropped} of_a_kind")
        cursor.execute("DROP TABLE kind_of_order")


def test_what_is_not_committed_cannot_be_referred_to(
    foreign_key: None, simulator: Simulator
) -> None:
    with (
        transaction.atomic(),
        pytest.raises(CalledInTransaction, match=r"^Nothing was sent\. .*not committed yet"),
    ):
        mpesa.c2b(**PAYMENT, content_type_id=999999, object_id="1")
    assert not Transaction.objects.exists()
    assert not simulator.ledger.transactions()


def test_a_caller_that_locks_the_whole_table_does_not_wait_for_ever(
    postgresql: None, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = mpesa.c2b(**PAYMENT)
    monkeypatch.setattr(isolation, "LOCK_TIMEOUT", 1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE django_mpesa_transaction IN ACCESS EXCLUSIVE MODE")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '20s'")  # if it does wait
        with pytest.raises(RecordLocked, match=r"^Nothing was sent\."):
            mpesa.reverse(transaction_id=paid.transaction_id)
    assert len(simulator.ledger.transactions()) == 1


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_two_refunds_that_complete_at_once_are_both_counted(
    simulator: Simulator, server: str, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    connection.close()
    options = {**connection.settings_dict["OPTIONS"], "isolation_level": _level(level)}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    paid = mpesa.c2b(**PAYMENT)
    simulator.scenarios.queue("cut_after", delay=0)
    first = mpesa.reverse(paid, 50)
    simulator.scenarios.queue("cut_after", delay=0)
    second = mpesa.reverse(paid, 50)
    settle = DjangoStore._settle
    checks: list[Future[Any]] = []

    def check() -> None:
        try:
            mpesa.check(second)
        finally:
            connections.close_all()

    def settle_late(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not checks:
            # As where an event of the first is put into the outbox, in the order of its others.
            assert Transaction.objects.filter(original=paid).count() == 2
            checks.append(pool.submit(check))
            wait(checks, timeout=1)  # it is done by then, or waits for this transaction
        return settle(self, *args, **kwargs)

    monkeypatch.setattr(DjangoStore, "_settle", settle_late)
    with ThreadPoolExecutor(1) as pool:
        mpesa.check(first)
        checks[0].result(60)
    now = Transaction.objects.get(pk=paid.pk)
    connection.close()
    assert (now.reversed_amount, now.reversal_pending) == (100, 0)


def _level(name: str) -> Any:
    if connection.vendor == "mysql":
        return name
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    return IsolationLevel[name.upper().replace(" ", "_")]
