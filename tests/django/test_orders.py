"""What a shop's own objects say of their payments: through life, in lists, and for any model."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.models import Prefetch, prefetch_related_objects
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_mpesa import State, mpesa
from django_mpesa.models import Transaction
from django_mpesa.orders import OrderAttempts, OrderPayments
from django_mpesa.protection import LibraryRecords
from mpesa_integrations import ValidationError
from mpesa_integrations.simulator import Simulator
from tests.contract.test_payments import callback
from tests.support.account import account_settings
from tests.support.callbacks import accepted_payment

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00"}
LABEL = "shop"
"""An app that is not installed: no migration is asked for, and the tables are made here."""


class Order(models.Model):
    mpesa = OrderPayments()
    objects: ClassVar[models.Manager[Order]] = models.Manager()

    class Meta:
        app_label = LABEL


class Ticket(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    mpesa = OrderPayments()
    objects: ClassVar[models.Manager[Ticket]] = models.Manager()

    class Meta:
        app_label = LABEL


class TableOrder(Order):
    """With a table of its own beside its parent's."""

    table = models.PositiveIntegerField(default=1)
    objects: ClassVar[models.Manager[TableOrder]] = models.Manager()

    class Meta:
        app_label = LABEL


class NewestOrder(Order):
    cafe = OrderPayments(account="cafe")
    objects: ClassVar[models.Manager[NewestOrder]] = models.Manager()

    class Meta:
        app_label = LABEL
        proxy = True


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    objects: ClassVar[models.Manager[Line]] = models.Manager()

    class Meta:
        app_label = LABEL


_TABLES = (Order, Ticket, TableOrder, Line)


@pytest.fixture(autouse=True)
def _tables(simulator: Simulator) -> Iterator[None]:
    with connection.schema_editor() as editor:
        for model in _TABLES:
            editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        for model in reversed(_TABLES):
            editor.delete_model(model)


def _queries() -> CaptureQueriesContext:
    return CaptureQueriesContext(connection)


def _asked(captured: CaptureQueriesContext) -> int:
    """How many queries there were, less those that a transaction takes."""
    return sum(" FROM " in query["sql"] for query in captured.captured_queries)


def test_an_order_for_which_nothing_was_sent_has_no_state() -> None:
    order: Order = Order.objects.create()
    none: OrderAttempts[Any] = order.mpesa
    state: State | None = none.state
    payment: Transaction | None = none.payment
    assert (state, payment, none.paid, none.is_paid) == (None, None, None, False)
    assert (none.attempts, none.customer_message("pt")) == ([], "")
    assert none.amount_paid == none.amount_reversed == none.reversal_pending == 0


def test_an_order_says_where_it_stands_through_its_life(simulator: Simulator) -> None:
    order = Order.objects.create()
    simulator.scenarios.queue("cancelled", delay=0)
    failed = mpesa.c2b(**PAYMENT, order=order)
    assert (order.mpesa.state, order.mpesa.payment) == (State.CANCELLED, failed)
    assert order.mpesa.customer_message().startswith("The payment was cancelled")

    pending = accepted_payment(mpesa, simulator, **PAYMENT, order=order)
    assert (order.mpesa.state, order.mpesa.payment) == (State.PENDING, pending)
    assert (order.mpesa.is_paid, order.mpesa.amount_paid) == (False, 0)

    simulator.response_url = None
    mpesa.check(pending)
    paid = order.mpesa
    assert (paid.state, paid.paid, paid.is_paid) == (State.COMPLETED, pending, True)
    assert (paid.amount_paid, paid.amount_reversed) == (Decimal("150.00"), 0)
    assert paid.attempts == [failed, pending]
    assert paid.attempts == mpesa.attempts(order)

    simulator.scenarios.queue("cut_after", delay=0)
    reversal = mpesa.reverse(pending, "50.00")
    being = order.mpesa
    assert (being.state, being.reversal_pending, being.amount_reversed) == ("completed", 50, 0)
    assert being.customer_message("pt") == ("Pagou 150,00 MZN. Estamos a devolver-lhe 50,00 MZN.")
    assert mpesa.check(reversal).state == "completed"
    part = order.mpesa
    assert (part.state, part.is_paid, part.reversal_pending) == ("partly_reversed", True, 0)
    assert (part.amount_paid, part.amount_reversed) == (150, 50)

    mpesa.reverse(pending)
    whole = order.mpesa
    assert (whole.state, whole.is_paid, whole.payment) == (State.REVERSED, False, pending)
    assert (whole.amount_paid, whole.amount_reversed) == (150, 150)
    again = mpesa.c2b(**PAYMENT, order=order, again=True)
    assert (order.mpesa.state, order.mpesa.paid) == (State.COMPLETED, again)
    assert (order.mpesa.amount_paid, order.mpesa.amount_reversed) == (300, 150)


def test_an_attempt_that_is_contradicted_stands_before_a_newer_one(simulator: Simulator) -> None:
    order = Order.objects.create()
    pending = accepted_payment(mpesa, simulator, **PAYMENT, order=order)
    mpesa.receive(callback(pending, "INS-2006"))
    simulator.response_url = None
    simulator.scenarios.queue("cancelled", delay=0)
    newer = mpesa.c2b(**PAYMENT, order=order)
    assert order.mpesa.payment == newer
    mpesa.receive(callback(pending, "0"))
    assert (order.mpesa.payment, order.mpesa.state) == (pending, State.FAILED)
    assert "contradicting" in order.mpesa.customer_message()


def test_what_no_worker_sent_in_time_has_failed() -> None:
    order = Order.objects.create()
    queued = mpesa.c2b(**PAYMENT, order=order, send="worker")
    assert order.mpesa.state == State.QUEUED
    late = timezone.now() - timedelta(seconds=1)
    LibraryRecords[Any](Transaction).filter(pk=queued.pk).update(send_before=late)
    (listed,) = Order.objects.prefetch_related("mpesa")
    assert (listed.mpesa.payment, listed.mpesa.state) == (queued, State.FAILED)
    assert order.mpesa.state == State.FAILED
    assert Transaction.objects.get().response_description == "Not sent in time"


def test_another_orders_payment_and_a_payout_are_no_attempts() -> None:
    order, other = Order.objects.create(), Order.objects.create()
    mpesa.c2b(**PAYMENT, order=other)
    mpesa.c2b(**PAYMENT, order=str(order.pk))
    mpesa.b2c(**PAYMENT, order=order)
    assert order.mpesa.attempts == []


def test_the_accounts_are_taken_together_unless_one_is_named(
    simulator: Simulator, settings: Any
) -> None:
    settings.MPESA = {name: account_settings(simulator) for name in ("default", "cafe")}
    order = NewestOrder.objects.create()
    simulator.scenarios.queue("cancelled", delay=0)
    first = mpesa.c2b(**PAYMENT, order=order)
    assert (order.mpesa.attempts, order.cafe.state) == ([first], None)
    second = mpesa["cafe"].c2b(**PAYMENT, order=order)
    assert order.mpesa.attempts == [first, second]
    assert order.cafe.attempts == [second]
    read = NewestOrder.objects.prefetch_related("mpesa", "cafe").get()
    assert (read.mpesa.attempts, read.cafe.attempts) == ([first, second], [second])


def test_an_unsaved_order_asks_the_database_nothing() -> None:
    order = Order()
    with _queries() as captured:
        assert (order.mpesa.state, order.mpesa.attempts) == (None, [])
        prefetch_related_objects([order, Order()], "mpesa")
    assert len(captured) == 0
    order.save()
    mpesa.c2b(**PAYMENT, order=order)
    assert order.mpesa.is_paid


def test_a_list_has_one_query_more_however_long_it_is(simulator: Simulator) -> None:
    Order.objects.bulk_create(Order() for _ in range(500))
    orders = list(Order.objects.order_by("pk"))
    simulator.scenarios.queue("cancelled", delay=0)
    mpesa.c2b(**PAYMENT, order=orders[0])
    for order in orders[:9]:
        mpesa.c2b(**PAYMENT, order=order)
    for count in (1, 500):
        with _queries() as captured:
            rows = [
                (len(order.mpesa.attempts), order.mpesa.state, order.mpesa.amount_paid)
                for order in Order.objects.prefetch_related("mpesa").order_by("pk")[:count]
            ]
        assert _asked(captured) == 2
        assert rows[0] == (2, State.COMPLETED, 150)
    assert rows[1:9] == [(1, State.COMPLETED, 150)] * 8
    assert rows[9:] == [(0, None, 0)] * 491


def test_what_belongs_to_an_order_has_its_payments_by_one_query() -> None:
    orders = [Order.objects.create() for _ in range(3)]
    Line.objects.bulk_create(Line(order=order) for order in orders for _ in range(2))
    mpesa.c2b(**PAYMENT, order=orders[1])
    for lines, asked in (
        (Line.objects.prefetch_related("order__mpesa"), 3),
        (Line.objects.select_related("order").prefetch_related("order__mpesa"), 2),
    ):
        with _queries() as captured:
            states = [line.order.mpesa.state for line in lines.order_by("pk")]
        assert states == [None, None, "completed", "completed", None, None]
        assert _asked(captured) == asked


def test_a_prefetch_may_have_a_name_and_no_queryset() -> None:
    order = Order.objects.create()
    mpesa.c2b(**PAYMENT, order=order)
    named: Any = Order.objects.prefetch_related(Prefetch("mpesa", to_attr="payments")).get()
    assert named.payments.is_paid
    for queryset in (Transaction.objects.all(), Order.objects.all()):
        with pytest.raises(ValueError, match=r'Prefetch\("mpesa"\) takes no queryset'):
            Order.objects.prefetch_related(Prefetch("mpesa", queryset=queryset)).get()


def test_what_was_prefetched_is_kept_until_it_is_refreshed_or_paid(simulator: Simulator) -> None:
    def prefetched() -> Order:
        found: Order = Order.objects.prefetch_related("mpesa").get()
        return found

    Order.objects.create()
    order = prefetched()
    simulator.scenarios.queue("cancelled", delay=0)
    mpesa.c2b(**PAYMENT, order=order)
    assert order.mpesa.state == "cancelled", "by the same object"

    kept, other = prefetched(), prefetched()
    with _queries() as captured:
        assert kept.mpesa.state == "cancelled"
        assert pickle.loads(pickle.dumps(kept.mpesa)) == kept.mpesa
        prefetch_related_objects([kept], "mpesa")
    assert len(captured) == 0
    mpesa.c2b(**PAYMENT, order=order)
    assert (kept.mpesa.state, order.mpesa.state) == ("cancelled", "completed")
    other.refresh_from_db()
    assert other.mpesa.state == "completed"


def test_inside_a_transaction_an_order_says_what_was_committed_meanwhile() -> None:
    order = Order.objects.create()
    with transaction.atomic():
        assert order.mpesa.state is None  # what a database with snapshots would go on to say
        if connection.vendor != "sqlite":  # which records nothing there
            mpesa.c2b(**PAYMENT, order=order)
            assert order.mpesa.is_paid


def test_a_coroutine_reads_lists_with_their_payments() -> None:
    mpesa.c2b(**PAYMENT, order=Order.objects.create())

    async def states() -> list[State | None]:
        return [order.mpesa.state async for order in Order.objects.prefetch_related("mpesa")]

    assert async_to_sync(states)() == [State.COMPLETED]


def test_a_key_of_any_type_finds_the_payments() -> None:
    tickets = [Ticket.objects.create() for _ in range(2)]
    mpesa.c2b(**PAYMENT, order=tickets[0], reference="TICKET 1")
    found = {ticket.pk: ticket.mpesa.state for ticket in Ticket.objects.prefetch_related("mpesa")}
    assert found == {tickets[0].pk: "completed", tickets[1].pk: None}
    assert tickets[0].mpesa.payment.order_key == f"shop.ticket:{tickets[0].pk}"


def test_a_proxys_orders_are_its_models_and_a_childs_are_its_own() -> None:
    child = TableOrder.objects.create()
    parent, proxy = Order.objects.get(), NewestOrder.objects.get()
    mpesa.c2b(**PAYMENT, order=proxy)
    assert parent.mpesa.is_paid
    assert proxy.mpesa.is_paid
    assert child.pk == parent.pk
    assert child.mpesa.state is None
    mpesa.c2b(**PAYMENT, order=child)
    assert TableOrder.objects.prefetch_related("mpesa").get().mpesa.is_paid


def test_only_the_payments_say_what_they_are() -> None:
    order = Order.objects.create()
    setter: Any = order
    with pytest.raises(TypeError, match="mpesa is read from the payments"):
        setter.mpesa = Transaction.objects.none()
    with pytest.raises(TypeError, match="mpesa"):
        Order(mpesa=None)
    assert isinstance(Order.mpesa, OrderPayments)
    assert "mpesa" not in {field.name for field in Order._meta.get_fields()}


def test_a_deleted_order_leaves_its_payments() -> None:
    order = Order.objects.create()
    mpesa.c2b(**PAYMENT, order=order)
    key = Transaction.objects.get().order_key
    with _queries() as captured:
        order.delete()
    assert not any("mpesa" in query["sql"] for query in captured.captured_queries)
    assert (Transaction.objects.get().order_key, order.mpesa.attempts) == (key, [])


def test_a_class_that_is_no_model_cannot_have_payments() -> None:
    # Before Python 3.12, what is raised there comes as the cause of a RuntimeError.
    with pytest.raises((TypeError, RuntimeError)) as caught:
        type("Basket", (), {"mpesa": OrderPayments()})
    told = caught.value if isinstance(caught.value, TypeError) else caught.value.__cause__
    assert str(told) == "Basket.mpesa: only a model's objects have payments"


def test_a_model_that_only_has_payments_asks_for_no_migration() -> None:
    User.add_to_class("mpesa", OrderPayments())
    try:
        call_command("makemigrations", "auth", "--check", "--dry-run", verbosity=0)
    finally:
        del User.mpesa  # type: ignore[attr-defined]


def test_what_cannot_be_an_order_is_refused_as_before() -> None:
    with pytest.raises(ValidationError) as caught:
        mpesa.c2b(**PAYMENT, order=Order())
    assert list(caught.value.errors) == ["order"]
