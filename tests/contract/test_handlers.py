"""Durable handlers over every store: done once, tried again, in order, and never in others' way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from mpesa_integrations.core.errors import RecordsUnavailable
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.handler_runs import Ran
from mpesa_integrations.core.payments.handlers import Handlers
from mpesa_integrations.core.payments.reconcile import Reconciled
from mpesa_integrations.core.payments.records import UnfinishedHandler
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE, MOST_ATTEMPTS

from .backends import Backend
from .conftest import Heard, StartProcess
from .dying_worker import DIED, die
from .test_hang_ups import Line, _after_sending, line, pauses

__all__ = ["line", "pauses"]

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "ORDER 7"}


class Shop:
    """What a shop's handlers do: each writes its name and the event into the payment's row."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.called: list[str] = []
        self.fails: set[str] = set()

    def does(self, name: str) -> Any:
        def handler(payment: Any) -> None:
            self.called.append(name)
            self._backend.write(payment, name)
            if name in self.fails:
                raise ValueError(f"the customer is {payment.msisdn}")

        return handler

    def done(self) -> list[str]:
        """What is on record as done, of all payments."""
        return [note for record in self._backend.records() for note in notes(record)]


def notes(record: Any) -> list[str]:
    metadata = getattr(record, "metadata_", None) or record.metadata
    return list(metadata.get("done", [])) if isinstance(metadata, dict) else []


@pytest.fixture
def shop(backend: Backend) -> Shop:
    return Shop(backend)


def _register(handlers: Handlers, shop: Shop, event: str, *names: str) -> None:
    for name in names:
        handlers.register(event, name=name)(shop.does(name))


def _left(payments: Payments[Any, Any]) -> list[UnfinishedHandler]:
    return payments.unfinished_handlers()


def test_a_handler_is_run_at_once_and_once(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop
) -> None:
    _register(handlers, shop, "payment_completed", "ship")
    assert payments.c2b(**PAYMENT).state == "completed"
    assert shop.done() == ["ship"]
    assert (backend.outbox(), _left(payments)) == (0, [])
    backend.make_due()
    payments.reconcile()
    assert shop.called == ["ship"]


def test_one_that_raises_is_undone_and_tried_again_by_a_worker(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    _register(handlers, shop, "payment_completed", "ship", "mail")
    shop.fails.add("ship")
    before = datetime.now(timezone.utc)
    assert payments.c2b(**PAYMENT).state == "completed"
    assert (shop.called, shop.done()) == (["ship", "mail"], ["mail"])
    (left,) = _left(payments)
    assert (left.handler, left.event, left.attempts) == ("ship", "payment_completed", 1)
    assert left.reference == backend.records()[0].third_party_reference
    assert (left.given_up_at, left.is_registered) == (None, True)
    assert left.problem.startswith("ValueError in handler, line ")
    assert timedelta(seconds=40) < left.next_try_at - before < timedelta(seconds=90)
    assert "handler.failed handler=ship" in caplog.text
    assert "258841234567" not in caplog.text

    assert payments.reconcile() == Reconciled()  # its time has not come
    backend.make_due()
    assert payments.reconcile() == Reconciled(dispatched=1, failed=1)
    (left,) = _left(payments)
    assert left.attempts == 2
    shop.fails.clear()
    backend.make_due()
    assert payments.reconcile() == Reconciled(dispatched=1)
    assert sorted(shop.done()) == ["mail", "ship"]
    assert (backend.outbox(), _left(payments)) == (0, [])


def test_after_many_tries_it_waits_for_a_person_who_has_it_run_again(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    _register(handlers, shop, "payment_completed", "ship")
    shop.fails.add("ship")
    paid = payments.c2b(**PAYMENT)
    for _ in range(MOST_ATTEMPTS + 2):
        backend.make_due()
        payments.reconcile()
    assert len(shop.called) == MOST_ATTEMPTS
    assert heard.given_up == [("ship", paid.third_party_reference)]
    assert "handler.given_up handler=ship" in caplog.text
    (left,) = _left(payments)
    assert (left.given_up_at is not None, left.attempts) == (True, MOST_ATTEMPTS)

    assert payments.run_again(left.event_id) is Ran.FAILED
    (left,) = _left(payments)
    assert (left.given_up_at, left.attempts) == (None, 1)  # and a worker goes on with it
    shop.fails.clear()
    assert payments.run_again(left.event_id) is Ran.DONE
    assert (shop.done(), _left(payments)) == (["ship"], [])
    assert payments.run_again(left.event_id) is None


def test_events_of_a_payment_are_handled_in_their_order(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop
) -> None:
    _register(handlers, shop, "payment_completed", "ship", "book")
    _register(handlers, shop, "payment_reversed", "take back")
    shop.fails.add("ship")
    paid = payments.c2b(**PAYMENT)
    payments.reverse(transaction_id=paid.transaction_id)
    payments.c2b(**PAYMENT)  # is held back by nothing
    assert shop.called == ["ship", "book", "ship", "book"]
    backend.make_due()
    payments.reconcile()
    assert "take back" not in shop.called
    left = {(each.reference, each.handler): each for each in _left(payments)}
    assert left[paid.third_party_reference, "take back"].attempts == 0  # nothing was tried
    shop.fails.clear()
    backend.make_due()
    payments.reconcile()
    assert notes(backend.records()[0]) == ["book", "ship", "take back"]
    assert _left(payments) == []


def test_one_that_waits_for_a_person_holds_back_what_follows_until_it_is_run_again(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop
) -> None:
    _register(handlers, shop, "payment_completed", "ship")
    _register(handlers, shop, "payment_reversed", "take back")
    shop.fails.add("ship")
    paid = payments.c2b(**PAYMENT)
    for _ in range(MOST_ATTEMPTS):
        backend.make_due()
        payments.reconcile()
    payments.reverse(transaction_id=paid.transaction_id)
    for _ in range(3):
        backend.make_due()
        payments.reconcile()
    first, second = _left(payments)
    assert (first.handler, second.handler, second.attempts) == ("ship", "take back", 0)
    shop.fails.clear()
    assert payments.run_again(second.event_id) is Ran.WAITS
    assert payments.run_again(first.event_id) is Ran.DONE
    assert (shop.done(), _left(payments)) == (["ship", "take back"], [])


def test_a_handler_that_nobody_here_knows_blocks_nothing_and_is_kept(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    _register(handlers, shop, "payment_completed", "old name", "book")
    _register(handlers, shop, "payment_reversed", "take back")
    shop.fails.add("old name")
    paid = payments.c2b(**PAYMENT)
    handlers._handlers.pop(("payment_completed", "old name"))  # as after a deploy
    payments.reverse(transaction_id=paid.transaction_id)
    assert shop.called == ["old name", "book", "take back"]
    for _ in range(MOST_ATTEMPTS + 2):
        backend.make_due()
        payments.reconcile()
    (left,) = _left(payments)
    assert (left.handler, left.is_registered, left.given_up_at) == ("old name", False, None)
    assert left.attempts < MOST_ATTEMPTS
    assert "handler.missing handler=old name event=payment_completed" in caplog.text
    assert payments.run_again(left.event_id) is Ran.MISSING
    shop.fails.clear()
    _register(handlers, shop, "payment_completed", "old name")
    backend.make_due()
    payments.reconcile()
    assert (shop.called[-1], _left(payments)) == ("old name", [])


def test_what_its_process_did_not_run_a_worker_runs(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard
) -> None:
    _register(handlers, shop, "payment_completed", "ship")
    heard.silent = True  # as a process that died before it came to it
    payments.c2b(**PAYMENT)
    assert shop.called == []
    heard.silent = False
    payments.reconcile()
    assert shop.called == []  # it is its own process's yet
    backend.make_due()
    payments.reconcile()
    assert shop.done() == ["ship"]


def test_many_workers_run_each_once(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard
) -> None:
    _register(handlers, shop, "payment_completed", "ship")
    heard.silent = True
    for _ in range(6):
        payments.c2b(**PAYMENT)
    heard.silent = False
    (*entries,) = [each.event_id for each in _left(payments)]
    start = threading.Barrier(3)

    def work() -> list[Ran | None]:
        start.wait()
        try:
            return [payments.run_again(each) for each in entries]
        finally:
            backend.done()

    with ThreadPoolExecutor(3) as pool:
        for each in [pool.submit(work) for _ in range(3)]:
            each.result()
    assert shop.done() == ["ship"] * 6
    assert _left(payments) == []


def test_what_a_slow_one_keeps_a_worker_from_is_not_counted_as_tried(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard
) -> None:
    _register(handlers, shop, "payment_completed", "ship")
    heard.silent = True
    for _ in range(3):
        payments.c2b(**PAYMENT)
    heard.silent = False
    payments.store.settle_outbox([row.id for row in backend.outbox_rows() if not row.handler])
    backend.make_due()
    stop = threading.Event()
    reconciler = payments.reconciler(stop=stop)
    handlers._handlers.clear()
    handlers.register("payment_completed", name="ship")(lambda payment: stop.set())
    assert reconciler.run().dispatched == 1
    assert [each.attempts for each in _left(payments)] == [0, 0]
    stop.clear()
    payments.reconcile()
    assert _left(payments) == []


def test_one_that_ends_its_process_each_time_is_given_up_without_being_called(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard
) -> None:
    _register(handlers, shop, "payment_completed", "ship")
    heard.silent = True
    payments.c2b(**PAYMENT)
    (left,) = _left(payments)
    heard.silent = False
    backend.set_outbox_entry(left.event_id, attempts=MOST_ATTEMPTS)
    backend.make_due()
    payments.reconcile()
    assert (shop.called, [name for name, _ in heard.given_up]) == ([], ["ship"])
    (left,) = _left(payments)
    assert (left.problem, left.given_up_at is not None) == ("The process ended", True)


def test_one_that_ends_its_process_is_put_off_before_it_is_tried_again(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, heard: Heard
) -> None:
    heard.silent = True  # as a process that died before it came to it
    tried: list[str] = []

    @handlers.register("payment_completed", name="fatal")
    def fatal(payment: Any) -> None:
        tried.append("fatal")
        raise SystemExit("out of memory")

    payments.c2b(**PAYMENT)
    heard.silent = False
    for times in (1, 2, 3):
        backend.make_due()
        with suppress(SystemExit):
            payments.reconcile()
        assert len(tried) == times
    soon = datetime.now(timezone.utc) + DISPATCH_GRACE + timedelta(seconds=5)
    due = payments.store.claim_outbox(soon, soon, 10)
    assert "fatal" not in [each.handler for each in due]


def test_it_is_given_the_event_if_it_wants_it(
    payments: Payments[Any, Any], handlers: Handlers
) -> None:
    given: list[str] = []
    tries: list[int] = []

    def ship(payment: Any, *, event_id: str) -> None:
        given.append(event_id)
        if not tries:
            tries.append(1)
            raise LookupError

    handlers.register("payment_completed", name=None)(ship)
    payments.c2b(**PAYMENT)
    (left,) = _left(payments)
    assert left.handler.endswith("test_it_is_given_the_event_if_it_wants_it.<locals>.ship")
    payments.run_again(left.event_id)
    assert given == [left.event_id] * 2


def test_payments_of_other_accounts_are_not_meant(
    make_payments: Any, handlers: Handlers, shop: Shop
) -> None:
    _register(handlers, shop, "payment_completed", "ship")
    shop.fails.add("ship")
    ours, others = make_payments(), make_payments(alias="payouts")
    ours.c2b(**PAYMENT)
    (left,) = _left(ours)
    assert _left(others) == []
    assert others.run_again(left.event_id) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "done"),
    [("inside", []), ("before the commit", []), ("after the commit", ["ship"])],
)
def test_it_is_done_exactly_once_whenever_its_process_dies(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard,
    state_dir: Path, start_process: StartProcess, when: str, done: list[str],
) -> None:  # fmt: skip
    _register(handlers, shop, "payment_completed", "ship")
    heard.silent = True
    payments.c2b(**PAYMENT)
    heard.silent = False
    backend.make_due()
    assert start_process(die, *backend.address(), state_dir, when).exit_code() == DIED
    assert shop.done() == done
    backend.make_due()
    payments.reconcile()
    assert (shop.done(), _left(payments)) == (["ship"], [])


@pytest.mark.parametrize("number", range(1, 21))
def test_a_hang_up_at_any_statement_after_sending_neither_loses_nor_doubles_it(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, line: Line,
    number: int,
) -> None:  # fmt: skip
    _register(handlers, shop, "payment_completed", "ship")
    with _after_sending(payments, lambda: line.arm(lambda now: now == number)):
        record = payments.c2b(**PAYMENT)
    assert record.state == "completed"
    assert line.statements < 40
    line.arm(lambda now: False)
    for _ in range(2):
        backend.make_due()
        payments.reconcile()
    assert (shop.done(), _left(payments)) == (["ship"], [])


def test_no_other_worker_is_given_one_that_runs(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, heard: Heard
) -> None:
    called: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    @handlers.register("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        called.append(1)
        inside.set()
        assert go_on.wait(20)

    heard.silent = True
    payments.c2b(**PAYMENT)
    heard.silent = False
    backend.make_due()

    def work() -> None:
        try:
            payments.reconcile()
        finally:
            backend.done()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            assert inside.wait(20)
            assert payments.reconcile().dispatched == 0
        finally:
            go_on.set()
        running.result(30)
    assert (called, _left(payments)) == ([1], [])


def test_one_whose_payment_cannot_be_read_is_given_up_in_the_end(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard
) -> None:
    _register(handlers, shop, "payment_completed", "ship")
    heard.silent = True
    payments.c2b(**PAYMENT)
    heard.silent = False
    store: Any = payments.store
    run_handler = store.run_handler
    store.run_handler = lambda entry_id, run: run_handler(entry_id, lambda *args: 1 / 0)
    for _ in range(MOST_ATTEMPTS):
        backend.make_due()
        payments.reconcile()
    (left,) = _left(payments)
    assert left.given_up_at is not None
    assert left.problem.startswith("ZeroDivisionError in ")


def test_many_workers_keep_the_order_of_each_payment(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard
) -> None:
    shop.fails.add("book")
    _register(handlers, shop, "payment_initiated", "note")
    _register(handlers, shop, "payment_completed", "ship", "book")
    _register(handlers, shop, "payment_reversed", "take back")
    heard.silent = True
    for _ in range(4):
        paid = payments.c2b(**PAYMENT)
        payments.reverse(transaction_id=paid.transaction_id)
    payments.store.settle_outbox([row.id for row in backend.outbox_rows() if not row.handler])
    heard.silent = False

    def work() -> None:
        try:
            payments.reconcile(batch=3)
        finally:
            backend.done()

    for round_ in range(4):
        if round_ == 2:
            shop.fails.clear()
        backend.make_due()
        with ThreadPoolExecutor(3) as pool:
            for each in [pool.submit(work) for _ in range(3)]:
                with suppress(RecordsUnavailable):  # SQLite has one writer at a time
                    each.result(60)
    backend.make_due()
    payments.reconcile()
    assert _left(payments) == []
    done = [notes(record) for record in backend.records() if record.operation == "c2b"]
    for each_ in done:
        assert sorted(each_) == ["book", "note", "ship", "take back"]
        assert (each_[0], each_[-1]) == ("note", "take back")


@pytest.mark.parametrize("number", range(1, 9))
def test_one_is_given_what_those_before_it_have_written_however_late(
    payments: Payments[Any, Any], backend: Backend, handlers: Handlers, shop: Shop, heard: Heard,
    number: int,
) -> None:  # fmt: skip
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    seen: list[list[str]] = []
    _register(handlers, shop, "payment_completed", "ship")
    handlers.register("payment_reversed", name="take back")(lambda paid: seen.append(notes(paid)))
    heard.silent = True
    paid = payments.c2b(**PAYMENT)
    payments.reverse(transaction_id=paid.transaction_id)
    heard.silent = False
    entries = {each.handler: each.event_id for each in _left(payments)}
    statements: list[int] = []

    def run_first() -> Ran | None:
        try:
            return payments.run_again(entries["ship"])
        finally:
            backend.done()

    def interfere() -> None:
        statements.append(1)
        if len(statements) == number:
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(run_first).result(30) is Ran.DONE

    with backend.before_each_statement(interfere):
        payments.run_again(entries["take back"])
    assert seen in ([], [["ship"]])


def test_what_a_row_cannot_hold_keeps_no_try_from_being_counted(
    payments: Payments[Any, Any], handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = payments.store
    change = store.change_outbox_entry

    def in_latin1(entry_id: str, values: dict[str, Any]) -> None:
        str(values.get("problem", "")).encode("latin1")
        change(entry_id, values)

    @handlers.register("payment_completed", name="ship")
    def отправить(payment: Any) -> None:  # noqa: PLC2401
        raise LookupError

    monkeypatch.setattr(store, "change_outbox_entry", in_latin1)
    payments.c2b(**PAYMENT)
    (left,) = _left(payments)
    assert (left.attempts, left.problem[:24]) == (1, "LookupError in ?????????")
