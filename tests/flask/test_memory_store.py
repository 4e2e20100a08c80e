"""An app without records: the latest payments are kept in memory, and a warning says so."""

from __future__ import annotations

import asyncio
import threading
import warnings
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from flask_mpesa import Mpesa
from flask_mpesa.memory_store import MemoryStore
from flask_mpesa.records import Records
from mpesa_integrations import ValidationError
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.records import OutboxEntry
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import ASYNC_URL, callback_body

from .conftest import (
    PAYMENT,
    Heard,
    event_names,
    flat_config,
    post_callback,
)


def test_without_records_it_works_and_says_what_that_costs(
    mpesa_simulator: Simulator, heard: Heard
) -> None:
    app = Flask("light")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with pytest.warns(UserWarning, match="nothing is written down"):
        mpesa = Mpesa(app)
    with app.app_context():
        paid = mpesa.c2b(**PAYMENT, idempotency_key="k")
        assert (paid.state, paid.masked_msisdn) == ("completed", "25884•••4567")
        assert mpesa.c2b(**PAYMENT, idempotency_key="k") == paid
        assert mpesa.reverse(transaction_id=paid.transaction_id, amount=50).state == "completed"
        kept: Any = mpesa["default"].store.find(paid.third_party_reference)
        assert kept.reversed_amount == 50
        mpesa_simulator.scenarios.queue("cut_after")
        lost = mpesa.c2b(**PAYMENT)
        assert mpesa.to_be_checked()[0] == 1
        assert mpesa.reconcile(now=True).asked == 1
        assert mpesa.to_be_checked() == (0, None)
        assert mpesa.check(lost).state == "completed"
        mpesa_simulator.response_url = ASYNC_URL
        mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
        waiting = mpesa.c2b(**PAYMENT)
        assert mpesa.wait(waiting, timeout=0.1).is_open
    heard.clear()
    assert post_callback(app, callback_body(waiting)).status_code == 200
    assert post_callback(app, callback_body(waiting)).status_code == 200
    assert event_names(heard) == ["completed"]
    assert heard[0][1].amount == 150
    with app.app_context():
        assert asyncio.run(mpesa.await_outcome(waiting)).is_paid
    # One that this process knows nothing of changes nothing, and is signalled as rejected.
    heard.clear()
    unknown = callback_body(waiting, input_ThirdPartyReference="OTHERPROCESS1")
    assert post_callback(app, unknown).status_code == 200
    app.extensions["mpesa"].forget()
    app = Flask("restarted")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with pytest.warns(UserWarning, match="nothing is written down"):
        mpesa = Mpesa(app)
    forgotten = callback_body(waiting, input_TransactionID="OTHER1")
    assert post_callback(app, forgotten).status_code == 200
    assert [event for event, _ in heard] == ["callback_rejected"] * 2
    with app.app_context():
        assert mpesa["default"].oldest_open() is None
    app.extensions["mpesa"].forget()


def test_without_records_metadata_is_the_shops_and_all_else_the_librarys(
    mpesa_simulator: Simulator,
) -> None:
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with pytest.warns(UserWarning, match="no records"):
        mpesa = Mpesa(app)
    with app.app_context():
        for wrong in ({"transaction_id": "X"}, {"order_id": 1}, {"state": "completed"}):
            with pytest.raises(ValidationError, match=next(iter(wrong))):
                mpesa.c2b(**PAYMENT, **wrong)
        assert mpesa_simulator.ledger.transactions() == []
        paid = mpesa.c2b(**PAYMENT, metadata={"a": 1, "b": 1}, idempotency_key="k")
        assert mpesa.link(paid, metadata={"b": 2}).metadata == {"a": 1, "b": 2}
        assert mpesa.c2b(**PAYMENT, metadata={"a": 3}, idempotency_key="k").metadata["b"] == 2
        with pytest.raises(ValidationError, match="state"):
            mpesa.link(paid, state="failed")
    app.extensions["mpesa"].forget()


def test_no_warning_comes_with_records(mpesa_simulator: Simulator, records: Records) -> None:
    app = Flask("recorded")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Mpesa(app, records=records)
    app.extensions["mpesa"].forget()


def test_without_records_payments_are_awaited_too(mpesa_simulator: Simulator) -> None:
    app, mpesa = Flask("unrecorded"), Mpesa()
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with pytest.warns(UserWarning, match="no records"):
        mpesa.init_app(app)

    async def pay() -> Any:
        paid = await mpesa.ac2b(**PAYMENT, order="A")
        assert await mpesa.aattempts("A") == [paid]
        with pytest.warns(RuntimeWarning, match="await mpesa.apaid"):
            mpesa.paid("A")
        return paid

    with app.app_context():
        assert asyncio.run(pay()).is_paid
    app.extensions["mpesa"].forget()


def test_a_handler_that_ends_disturbs_nobody_who_looks_at_what_is_left() -> None:
    store = MemoryStore("default")
    entries = [OutboxEntry(Event.PAYMENT_COMPLETED, handler="ship") for _ in range(2)]
    for entry in entries:
        store.create({"third_party_reference": entry.id, "amount": Decimal(1)}, [entry])
    began, may_end = threading.Event(), threading.Event()

    def run(record: Any, left: Any) -> bool:
        began.set()
        return may_end.wait(10)

    running = threading.Thread(target=store.run_handler, args=(entries[0].id, run))
    running.start()
    began.wait(10)

    class Key(int):
        """The handler ends as soon as the first row is compared with this."""

        def __eq__(self, other: object) -> bool:
            may_end.set()
            running.join(0.1)
            return True

        __hash__ = int.__hash__

    assert len(store.unfinished_handlers(limit=10, payment_key=Key())) == 2
    running.join(10)
    assert len(store.unfinished_handlers(limit=10)) == 1
