"""What only the Django shop does: its basket, its admin, its checks."""

from __future__ import annotations

from .conftest import MSISDN, PHONE, Open, page_with_status

OLD_NEWS = """
from django_mpesa import signals
from django_mpesa.models import Transaction
from example_sites.django_shop.models import Order

order = Order.objects.first()
refused, paid = Transaction.objects.filter(object_id=str(order.pk)).order_by("pk")
assert (refused.state, paid.state, order.status) == ("failed", "completed", "paid")
for transaction in (refused, paid):
    for name in ("initiated", "pending", "unknown", "failed", "cancelled"):
        signal = getattr(signals, f"payment_{name}")
        answers = signal.send(sender=Transaction, transaction=transaction)
        assert answers and all(answer is None for _, answer in answers)
after = Order.objects.get(pk=order.pk)
assert (after.status, after.payment, after.attempts) == ("paid", paid, 2)
"""


def test_old_news_and_news_of_an_earlier_attempt_change_nothing(django_shop: Open) -> None:
    django_shop.simulator.scenarios.queue("wrong_pin", operation="c2b")
    with django_shop.shop.browser() as browser:
        page = page_with_status(browser, django_shop.order(browser), "refused")
        again = browser.submit(page, page.form("msisdn", "attempt"), msisdn=PHONE)
        page_with_status(browser, again, "paid")
    django_shop.shop.run("shell", "-c", OLD_NEWS)


def test_a_basket_that_changed_meanwhile_is_shown_before_it_is_paid(django_shop: Open) -> None:
    with django_shop.shop.browser() as browser:
        page = django_shop.choose(browser)
        django_shop.choose(browser)
        seen = browser.submit(page, page.form("msisdn"), msisdn=PHONE)
    assert seen.url.endswith("/basket/")
    assert "Your basket has changed" in seen.text
    assert django_shop.simulator.ledger.transactions() == []


def test_the_admin_shows_the_payment_and_its_order(django_shop: Open) -> None:
    with django_shop.shop.browser() as browser:
        page_with_status(browser, django_shop.order(browser), "paid")
        login = browser.get("/admin/")
        form = login.form("username", "password")
        password = django_shop.shop.admin_password
        assert browser.submit(login, form, username="admin", password=password).status == 200
        payments = browser.get("/admin/django_mpesa/transaction/")
        orders = browser.get("/admin/shop/order/")
        assert browser.get("/static/admin/css/base.css").status == 200
    assert MSISDN in payments.text  # a superuser may see it
    assert "ORDER" in orders.text


def test_the_check_command_finds_nothing(django_shop: Open) -> None:
    django_shop.shop.run("check", "--fail-level", "WARNING")
    django_shop.shop.run("makemigrations", "--check", "--dry-run", "shop")
