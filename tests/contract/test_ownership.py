"""The library's columns are written by the library alone, and the shop's by the shop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from mpesa_integrations import ProtectedRecord, ValidationError
from mpesa_integrations.core.errors import IdempotencyConflict
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.ownership import OWNED, differing_argument
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import ASYNC_URL

from .backends import Backend
from .conftest import Heard, MakePayments
from .test_payments import PAYMENT, callback

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def _metadata(record: Any) -> Any:
    return getattr(record, "metadata_", None) if hasattr(record, "metadata_") else record.metadata


@pytest.fixture
def stale(payments: Payments[Any, Any], mpesa_simulator: Simulator) -> Any:
    """What `c2b` gave the shop: pending, and soon old."""
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    record = payments.c2b(**PAYMENT, metadata={"table": 4})
    mpesa_simulator.callbacks.drain()
    return record


def test_an_old_object_undoes_no_callback(
    stale: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    assert stale.state == "pending"
    payments.receive(callback(stale))
    before = backend.records()[0].updated_at
    backend.write_back(stale, "by the window")
    (kept,) = backend.records()
    assert (kept.state, kept.next_check_at) == ("completed", None)
    assert kept.updated_at == before
    assert _metadata(kept) == {"table": 4, "note": "by the window"}
    backend.make_due()
    payments.reconcile()
    payments.check(kept)
    assert heard.names == ["initiated", "pending", "completed"]


def test_an_old_object_gives_nothing_back_twice(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    paid = payments.c2b(**PAYMENT)
    payments.reverse(transaction_id=paid.transaction_id, amount=100)
    backend.write_back(paid, "a crate was broken")
    kept = backend.records()[0]
    assert (kept.state, kept.reversed_amount) == ("partly_reversed", Decimal(100))
    with pytest.raises(ValidationError, match=r"50\.00"):
        payments.reverse(transaction_id=paid.transaction_id, amount=100)


@pytest.mark.parametrize(
    "extra",
    [
        {"transaction_id": "X"},
        {"currency": "USD", "state": "completed"},
        {"original_id": 1},
        {"nonsense": 1},
        {"id": 5},
        {"pk": 5},
    ],
)
def test_a_call_takes_the_shops_columns_and_no_others(
    payments: Payments[Any, Any],
    backend: Backend,
    mpesa_simulator: Simulator,
    extra: dict[str, Any],
) -> None:
    paid = payments.c2b(**PAYMENT)
    calls: list[Any] = [
        lambda: payments.c2b(**PAYMENT, **extra),
        lambda: payments.b2c(**PAYMENT, **extra),
        lambda: payments.b2b(receiver_shortcode="979797", amount=5, reference="S", **extra),
        lambda: payments.link(paid, **extra),
    ]
    if "transaction_id" not in extra:
        calls.append(lambda: payments.reverse(transaction_id=paid.transaction_id, **extra))
    for call in calls:
        with pytest.raises(ValidationError) as caught:
            call()
        assert caught.value.errors.keys() == extra.keys()
        assert (
            caught.value.errors_in("pt")[next(iter(extra))]
            != caught.value.errors[next(iter(extra))]
        )
    assert len(backend.records()) == len(mpesa_simulator.ledger.transactions()) == 1


def test_what_was_linked_meanwhile_is_in_the_record_that_a_call_gives(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    notify = heard.notify

    def link(entry: Any, record: Any, dispatched: Callable[[], None]) -> None:
        payments.link(record, metadata={entry.event.value: True}, **backend.what_for(1))
        notify(entry, record, dispatched)

    monkeypatch.setattr(heard, "notify", link)
    paid = payments.c2b(**PAYMENT)
    linked = {"payment_initiated": True, "payment_completed": True}
    assert _metadata(paid) == linked
    backend.write_back(paid, "by the caller")
    (kept,) = backend.records()
    assert _metadata(kept) == {**linked, "note": "by the caller"}
    for name, value in backend.what_for(1).items():
        assert getattr(kept, name) == value
    backend.set_all(state="unknown")
    resolved = payments.resolve(kept, State.FAILED, by="Ana", note="seen")
    assert _metadata(resolved)["payment_failed"]
    mpesa_simulator.scenarios.queue("cut_after")
    unknown = payments.c2b(**PAYMENT)
    assert unknown.state == "unknown"
    assert _metadata(payments.check(unknown))["payment_completed"]


def test_a_key_belongs_to_what_is_paid_for(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    one, other = backend.what_for(1), backend.what_for(2)
    argument = next(iter(one))
    paid = payments.c2b(**PAYMENT, **one, metadata={"at": 1}, idempotency_key="k")
    # What a retry says of itself differs each time; which thing it pays for may be left out.
    for again in ({**one, "metadata": {"at": 2}}, one, {}):
        assert payments.c2b(**PAYMENT, **again, idempotency_key="k").pk == paid.pk
    with pytest.raises(IdempotencyConflict, match=f"another {argument};"):
        payments.c2b(**PAYMENT, **other, idempotency_key="k")
    part = payments.reverse(
        transaction_id=paid.transaction_id, amount=1, **one, idempotency_key="r"
    )
    with pytest.raises(IdempotencyConflict, match=f"another {argument};"):
        payments.reverse(transaction_id=paid.transaction_id, **other, idempotency_key="r")
    again = payments.reverse(transaction_id=paid.transaction_id, **one, idempotency_key="r")
    assert again.pk == part.pk
    payments.c2b(**PAYMENT, idempotency_key="bare")
    with pytest.raises(IdempotencyConflict, match=f"another {argument};"):
        payments.c2b(**PAYMENT, **one, idempotency_key="bare")
    assert len(mpesa_simulator.ledger.transactions()) == 3


def test_of_threads_with_one_key_only_those_for_one_thing_are_given_its_record(
    payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    things = [backend.what_for(number) for number in (1, 2)]
    start = threading.Barrier(8)

    def pay(number: int) -> tuple[int, Any]:
        try:
            start.wait(10)
            record = payments.c2b(**PAYMENT, **things[number % 2], idempotency_key="k")
            return number % 2, record.pk
        except IdempotencyConflict:
            return number % 2, None
        finally:
            backend.done()

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(pay, range(8)))
    (kept,) = backend.records()
    paid_for = {thing for thing, pk in found if pk == kept.pk}
    assert len(paid_for) == 1
    assert found == {(number, kept.pk if number in paid_for else None) for number in (0, 1)}
    assert len(mpesa_simulator.ledger.transactions()) == 1


def test_a_payment_is_linked_to_what_comes_later(
    stale: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    payments.receive(callback(stale))
    before = backend.records()[0].updated_at
    for number in (1, 2):
        thing = backend.what_for(number)
        linked = payments.link(stale, **thing, metadata={"number": number, "table": None})
        assert linked.state == "completed"
        for found in (linked, *backend.records()):
            assert {name: getattr(found, name) for name in thing} == thing
            assert _metadata(found) == {"table": None, "number": number}
            assert found.updated_at == before
    assert payments.link(stale).pk == stale.pk
    assert heard.names == ["initiated", "pending", "completed"]


def test_links_at_once_lose_no_metadata(payments: Payments[Any, Any], backend: Backend) -> None:
    paid = payments.c2b(**PAYMENT)

    def link(number: int) -> None:
        try:
            payments.link(paid, metadata={str(number): number})
        finally:
            backend.done()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(link, range(12)))
    (kept,) = backend.records()
    assert _metadata(kept) == {str(number): number for number in range(12)}


def test_what_cannot_be_linked_is_refused(
    payments: Payments[Any, Any], make_payments: MakePayments, backend: Backend
) -> None:
    paid = payments.c2b(**PAYMENT)
    with pytest.raises(ValidationError, match="account"):
        make_payments(alias="payouts").link(paid, metadata={})
    with pytest.raises(ValidationError, match="must be a dict"):
        payments.link(paid, metadata=["x"])
    other = payments.c2b(**PAYMENT)
    assert _metadata(backend.records()[0]) == {}
    backend.forget(other)
    for columns in ({"metadata": {"a": 1}}, backend.what_for(1)):
        with pytest.raises(ValidationError, match="not on record"):
            payments.link(other, **columns)


@pytest.mark.parametrize(
    ("kept", "given", "is_same"),
    [
        (Decimal("3.33"), Decimal(10) / 3, True),
        (Decimal("1.01"), "1.005", True),
        (Decimal("1.00"), "1.006", False),
        (Decimal("1.00"), Decimal("NaN"), False),
        (Decimal(3), 4, False),
        (3, 3.4, False),
        (0.5, 0.54, False),
        (NOON, NOON.replace(microsecond=400), True),
        (NOON, NOON.replace(second=1), False),
        (NOON.replace(microsecond=5), NOON.replace(microsecond=6), False),
    ],
)
def test_a_value_that_the_column_rounded_is_the_same(kept: Any, given: Any, is_same: bool) -> None:
    record = SimpleNamespace(price=kept)
    assert differing_argument(record, {"price": {"price": given}}) == (None if is_same else "price")


def test_the_error_says_what_moves_a_payment() -> None:
    from mpesa_integrations.core.payments.ownership import refuse_writing

    error = refuse_writing(["state", "amount"])
    assert isinstance(error, ProtectedRecord)
    assert error.columns == ("amount", "state")
    for call in ("c2b()", "reverse()", "check()", "resolve()", "link()"):
        assert call in str(error)


def test_each_column_is_the_librarys_or_meant_for_the_shop(backend: Backend) -> None:
    shops = {"metadata", "metadata_", "content_type", "content_type_id", "object_id", "order_id"}
    assert backend.columns() - OWNED - {"id"} <= shops
