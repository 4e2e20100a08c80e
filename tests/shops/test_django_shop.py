"""What only the Django shop does: its basket, its admin, its checks."""

from __future__ import annotations

from .conftest import MSISDN, PHONE, Open, page_with_status


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
        page_with_status(browser, django_shop.order(browser), "completed")
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
