"""A customer buys in Oscar's own checkout, with the code of docs/oscar.md."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.sites.models import Site
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client
from oscar.core.loading import get_model
from oscar.test.factories import create_product

from django_mpesa import mpesa
from mpesa_integrations.simulator import Simulator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator")]
POOR, RICH = "84 000 0001", "84 123 4567"
Country, Order = get_model("address", "Country"), get_model("order", "Order")


@pytest.fixture
def customer() -> Client:
    """A guest with a stove of 150 meticais in the basket, and the address filled in."""
    Site.objects.get_or_create(pk=1, defaults={"domain": "shop.example", "name": "Shop"})
    Country.objects.create(
        iso_3166_1_a2="MZ", printable_name="Mozambique", is_shipping_country=True
    )
    stove = create_product(title="Stove", price=Decimal("150.00"), num_in_stock=3)
    client = Client()
    _goes_to(client.post(f"/basket/add/{stove.pk}/", {"quantity": 1}), "/basket/")
    guest = {"username": "ana@shop.example", "options": "anonymous"}
    _goes_to(client.post("/checkout/", guest), "/checkout/shipping-address/")
    address = {
        "first_name": "Ana", "last_name": "Macamo", "line1": "Av. Eduardo Mondlane 1",
        "line4": "Maputo", "postcode": "1100", "country": "MZ",
    }  # fmt: skip
    answer: Any = client.post("/checkout/shipping-address/", address)
    for step in ("shipping-method", "payment-method", "preview"):
        _goes_to(answer, f"/checkout/{step}/")
        answer = client.get(f"/checkout/{step}/")
    return client


@pytest.fixture
def staff() -> Client:
    """Somebody with the dashboard."""
    people: Any = get_user_model().objects
    client = Client()
    client.force_login(people.create_superuser("carla"))
    return client


def _goes_to(answer: Any, path: str) -> None:
    assert (answer.status_code, answer.get("Location")) == (302, path), answer.content.decode()


def _order(customer: Client) -> Any:
    """Place the order; it, with the address of its payment's page."""
    assert "Place order" in customer.get("/checkout/preview/").content.decode()
    answer: Any = customer.post("/checkout/preview/", {"action": "place_order"})
    order = Order.objects.get()
    order.pay_url = answer.url
    assert order.pay_url == f"/checkout/pay/{order.number}/{order.verification_hash()}/"
    return order


def _url(answer: Any) -> str:
    return str(answer.url)


def _see(client: Client, url: str) -> str:
    answer: Any = client.get(url)
    assert answer.status_code == 200, answer
    return str(answer.content.decode())


def _pay(customer: Client, order: Any, phone: str = RICH) -> str:
    """Send the form of an order's payment; the page that comes after it."""
    answer: Any = customer.post(order.pay_url, {"msisdn": phone}, follow=True)
    order.refresh_from_db()
    return str(answer.content.decode())


def _booked(order: Any) -> list[tuple[str, Decimal]]:
    transactions = get_model("payment", "Transaction").objects.filter(source__order=order)
    return [(one.txn_type, one.amount) for one in transactions.order_by("pk")]


def _refund(staff: Client, order: Any, amount: str, times: int = 1) -> str:
    """Give money back in the dashboard, its form sent a number of times; what it says then."""
    url = f"/dashboard/orders/{order.number}/"
    hidden = re.search(r'name="refund_key" value="(.+?)"', _see(staff, url))
    event = {"order_action": "create_order_payment_event", "payment_event_type": "refund"}
    form = {**event, "amount": amount, "refund_key": hidden[1] if hidden else ""}
    for _ in range(times):
        answer: Any = staff.post(url, form, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def test_the_shop_passes_its_checks() -> None:
    call_command("check")


def test_a_customer_pays(customer: Client, simulator: Simulator) -> None:
    order = _order(customer)
    assert (order.status, _booked(order)) == ("Pending", [])
    assert 'type="tel"' in _see(customer, order.pay_url)
    page = _pay(customer, order)
    assert order.status == "Being processed"
    assert _booked(order) == [("Debit", Decimal("150.00"))]
    (entry,) = simulator.ledger.transactions()
    source = order.sources.get()
    assert (source.reference, source.label) == (entry.transaction_id, "25884•••4567")
    assert (source.currency, source.balance) == ("MZN", 0)
    assert mpesa.attempts(order)[0].reference == order.number
    assert "Your order has been placed" in page
    assert source.reference in page
    # A reload, and a form that is sent again.
    assert "Your order has been placed" in _pay(customer, order)
    assert len(simulator.ledger.transactions()) == 1
    # Another browser has no thank-you page, but is told the same.
    assert "received 150.00" in _see(Client(), order.pay_url)


def test_who_did_not_pay_tries_again_later_with_another_phone(customer: Client) -> None:
    order = _order(customer)
    declined = _pay(customer, order, POOR)
    assert "not enough money" in declined
    assert 'type="tel"' in declined
    assert (order.status, _booked(order)) == ("Pending", [])
    (email,) = mail.outbox
    status_page = f"/accounts/order-status/{order.number}/{order.verification_hash()}/"
    assert status_page in email.body
    later = Client()
    later.post(_url(later.get(status_page)), {"email": "ana@shop.example"})
    assert order.pay_url in _see(later, status_page)
    assert "received 150.00" in _pay(later, order)
    assert order.status == "Being processed"
    assert _booked(order) == [("Debit", Decimal("150.00"))]
    assert order.pay_url not in _see(later, status_page)


def test_a_customer_with_an_account_finds_the_page_from_the_order(customer: Client) -> None:
    people: Any = get_user_model().objects
    ana = people.create_user("ana", email="ana@shop.example")
    order = _order(customer)
    Order.objects.filter(pk=order.pk).update(user=ana, guest_email="")
    customer.force_login(ana)
    assert order.pay_url in _see(customer, f"/accounts/orders/{order.number}/")


def test_the_page_waits_and_the_order_is_booked_once_the_outcome_is_known(
    customer: Client, simulator: Simulator
) -> None:
    simulator.scenarios.queue("cut_after", operation="c2b")  # the answer never comes
    order = _order(customer)
    waiting = _pay(customer, order)
    assert 'http-equiv="refresh"' in waiting
    assert "do not pay again" in waiting
    assert 'type="tel"' not in waiting
    assert "do not pay again" in _pay(customer, order, "85 765 4321")
    assert (order.status, _booked(order)) == ("Pending", [])
    (attempt,) = mpesa.attempts(order)
    mpesa.check(attempt)  # as a worker does, once it is due
    order.refresh_from_db()
    assert order.status == "Being processed"
    assert _booked(order) == [("Debit", Decimal("150.00"))]
    thanks: Any = customer.get(order.pay_url)
    assert thanks.url == "/checkout/thank-you/"
    assert len(simulator.ledger.transactions()) == 1


@pytest.mark.parametrize("phone", ["", "my phone", "86 123 4567"])
def test_a_wrong_number_asks_nobody(customer: Client, phone: str, simulator: Simulator) -> None:
    assert 'class="errorlist"' in _pay(customer, _order(customer), phone)
    assert simulator.ledger.transactions() == []


def test_what_mpesa_does_not_take_is_said_on_the_page(
    customer: Client, simulator: Simulator
) -> None:
    order = _order(customer)
    Order.objects.filter(pk=order.pk).update(total_incl_tax=Decimal("0.00"))
    assert 'class="errorlist' in _pay(customer, order)
    assert simulator.ledger.transactions() == []


def test_the_page_is_for_who_has_its_address_and_pays_in_meticais(customer: Client) -> None:
    order = _order(customer)
    other = order.pay_url.replace(order.number, "100999", 1)
    assert customer.get(other).status_code == 404
    assert customer.get(f"/checkout/pay/{order.number}/{order.number}:x/").status_code == 404
    Order.objects.filter(pk=order.pk).update(currency="USD")
    assert customer.get(order.pay_url).status_code == 404


def test_a_free_order_needs_no_payment(customer: Client) -> None:
    get_model("partner", "StockRecord").objects.update(price=Decimal("0.00"))
    answer: Any = customer.post("/checkout/preview/", {"action": "place_order"})
    assert answer.url == "/checkout/thank-you/"


def test_who_pays_for_a_cancelled_order_is_booked_and_noted(
    customer: Client, staff: Client, simulator: Simulator
) -> None:
    simulator.scenarios.queue("cut_after", operation="c2b")
    order = _order(customer)
    _pay(customer, order)
    cancelled = {"order_action": "change_order_status", "new_status": "Cancelled"}
    staff.post(f"/dashboard/orders/{order.number}/", cancelled)
    mpesa.check(mpesa.attempts(order)[0])
    order.refresh_from_db()
    assert order.status == "Cancelled"
    assert _booked(order) == [("Debit", Decimal("150.00"))]
    assert "although Cancelled" in " ".join(note.message for note in order.notes.all())
    assert "Payment event created" in _refund(staff, order, "150.00")
    assert _booked(order)[1:] == [("Refund", Decimal("150.00"))]


def test_a_cancelled_order_is_not_paid_for(customer: Client, simulator: Simulator) -> None:
    order = _order(customer)
    order.set_status("Cancelled")
    assert "Cancelled" in _pay(customer, order)
    assert simulator.ledger.transactions() == []


def test_refunds_from_the_dashboard(customer: Client, staff: Client, simulator: Simulator) -> None:
    order = _order(customer)
    _pay(customer, order)
    assert "Payment event created" in _refund(staff, order, "50.00")
    assert "must be at most 100.00" in _refund(staff, order, "100.01")
    simulator.scenarios.queue("insufficient_balance", operation="reversal")
    assert "due to payment error" in _refund(staff, order, "30.00")
    simulator.scenarios.queue("cut_after", operation="reversal")
    assert "not confirmed by M-Pesa yet" in _refund(staff, order, "30.00")
    debit, first = _booked(order)
    assert first == ("Refund", Decimal("50.00"))
    paid: Any = mpesa.paid(order)
    mpesa.check(paid.reversals.get(state="unknown"))
    assert _booked(order) == [debit, first, ("Refund", Decimal("30.00"))]
    assert order.sources.get().amount_available_for_refund == 70
    assert [event.amount for event in order.payment_events.all()] == [Decimal("50.00")]


def test_a_form_that_is_sent_twice_gives_money_back_once(customer: Client, staff: Client) -> None:
    order = _order(customer)
    _pay(customer, order)
    assert "Payment event created" in _refund(staff, order, "50.00", times=2)
    assert _booked(order)[1:] == [("Refund", Decimal("50.00"))]
    assert order.payment_events.count() == 1
    assert "Payment event created" in _refund(staff, order, "50.00")
    assert _booked(order)[1:] == [("Refund", Decimal("50.00"))] * 2
    assert order.payment_events.count() == 2


def test_nothing_goes_back_of_what_was_not_paid(customer: Client, staff: Client) -> None:
    order = _order(customer)
    get_model("order", "PaymentEventType").objects.create(name="Refund")
    assert "no M-Pesa payment" in _refund(staff, order, "50.00")


def test_who_may_only_look_at_orders_gives_nothing_back(customer: Client) -> None:
    order = _order(customer)
    _pay(customer, order)
    people: Any = get_user_model().objects
    viewer = people.create_user("dora", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_order"))
    looking = Client()
    looking.force_login(viewer)
    assert "you need the permission" in _refund(looking, order, "50.00")
    assert len(_booked(order)) == 1


def test_in_a_shop_with_atomic_requests_no_transaction_is_open_meanwhile(
    customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    order = _order(customer)
    _pay(customer, order)
    assert order.status == "Being processed"
