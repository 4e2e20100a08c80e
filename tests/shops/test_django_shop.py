"""Stories of customers of the Django shop, through its pages and the real callback path."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from example_sites.browser import Browser, Page
from example_sites.https_server import CA_FILE

from .conftest import Open

PHONE = "84 123 4567"
MSISDN = "258841234567"
DEADLINE = 20.0


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def fill_basket(browser: Browser) -> Page:
    page = browser.get("/")
    browser.submit(page, page.form(action="/basket/1/"))
    return browser.get("/checkout/")


def order(browser: Browser, phone: str = PHONE) -> Page:
    page = fill_basket(browser)
    return browser.submit(page, page.form("msisdn"), msisdn=phone)


def page_with_status(browser: Browser, page: Page, status: str) -> Page:
    until(lambda: browser.json(f"{page.url}status/")["status"] == status)
    return browser.get(page.url)


def charged(opened: Open) -> int:
    """How much the customer's wallet has given, in meticais."""
    balance = opened.simulator.ledger.balance(MSISDN)
    return 0 if balance is None else int(100_000 - balance)


def database(opened: Open, statement: str, *values: Any) -> list[Any]:
    with sqlite3.connect(opened.shop.directory / "shop.sqlite3", timeout=20) as connection:
        found = connection.execute(statement, values).fetchall()
    connection.close()
    return found


def latest_payment(opened: Open) -> tuple[str, str, str]:
    (found,) = database(
        opened,
        "SELECT state, conversation_id, third_party_reference FROM django_mpesa_transaction"
        " ORDER BY id DESC LIMIT 1",
    )
    state, conversation_id, reference = found
    return state, conversation_id, reference


def latest_verdicts(opened: Open) -> list[str]:
    reference = latest_payment(opened)[2]
    rows = database(
        opened,
        "SELECT verdict FROM django_mpesa_callbacklog WHERE third_party_reference = ? ORDER BY id",
        reference,
    )
    return [verdict for (verdict,) in rows]


def call_back(opened: Open, token: str, conversation_id: str, reference: str) -> int:
    """Post a callback that claims a success, as anybody on the network could."""
    body = {
        "input_OriginalConversationID": conversation_id,
        "input_ThirdPartyReference": reference,
        "input_TransactionID": "F0RGED",
        "input_ResultCode": "0",
        "input_ResultDesc": "Request processed successfully",
    }
    response = requests.post(
        f"{opened.shop.url}/mpesa/callback/{token}/",
        json=body,
        verify=str(opened.shop.directory / CA_FILE),
        timeout=10,
    )
    return response.status_code


def test_a_purchase(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = order(browser)
        assert page.status == 200
        page = page_with_status(browser, page, "paid")
    (entry,) = open_shop.simulator.ledger.transactions()
    assert entry.amount == 450
    assert str(entry.transaction_id) in page.text
    assert "25884•••4567" in page.text
    assert MSISDN not in page.text
    assert "http-equiv" not in page.text
    assert latest_verdicts(open_shop) == ["applied"]
    assert all(delivery.acknowledged for delivery in open_shop.simulator.callbacks.deliveries)


def test_the_waiting_page_survives_a_reload_and_needs_no_script(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_delayed", operation="c2b", delay=1)
    with open_shop.shop.browser() as browser:
        order_page = order(browser)
        for page in (order_page, browser.get(order_page.url)):
            assert "Confirm on your phone" in page.text
            assert '<meta http-equiv="refresh"' in page.text
            assert 'aria-live="polite"' in page.text
        page_with_status(browser, order_page, "paid")
    assert charged(open_shop) == 450


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("insufficient_balance", "not enough money"),
        ("wrong_pin", "the PIN was not right"),
        ("overloaded", "very busy"),
        ("code:INS-996", "not active"),
        ("code:INS-993", "did not accept the payment"),
    ],
)
def test_a_refusal_and_trying_again(open_shop: Open, scenario: str, words: str) -> None:
    open_shop.simulator.scenarios.queue(scenario, operation="c2b", times=4)
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, order(browser), "refused")
        assert words in page.text
        assert "No money was taken" in page.text
        assert charged(open_shop) == 0
        open_shop.simulator.scenarios.clear()
        again = browser.submit(page, page.form("msisdn", "attempt"), msisdn="+258 84 123 4567")
        page_with_status(browser, again, "paid")
        # The old form once more, as after the browser's back button.
        late = browser.submit(page, page.form("msisdn", "attempt"), msisdn=PHONE)
        assert "This is your receipt" in late.text
    assert charged(open_shop) == 450


def test_a_cancellation(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cancelled", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, order(browser), "cancelled")
    assert "You cancelled the payment" in page.text
    assert page.form("msisdn", "attempt")
    assert charged(open_shop) == 0


def test_money_that_moved_without_an_answer_is_found_by_reconciling(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cut_after", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, order(browser), "checking")
        assert "you will not be charged twice" in page.text
        assert not any("msisdn" in form.values for form in page.forms)
        until(lambda: latest_verdicts(open_shop) == ["early"])
        open_shop.shop.run("mpesa_reconcile")
        page_with_status(browser, page, "paid")
    assert charged(open_shop) == 450


def test_a_pin_that_nobody_types_is_found_by_reconciling(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("pin_timeout", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, order(browser), "checking")
        open_shop.simulator.callbacks.drain()
        let_time_pass(open_shop)
        open_shop.shop.run("mpesa_reconcile")
        page = page_with_status(browser, page, "refused")
        assert "the PIN was not typed in time" in page.text
        assert "No money was taken" in page.text
    assert charged(open_shop) == 0


def test_a_callback_that_never_comes_is_made_up_for(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_never", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = order(browser)
        open_shop.simulator.callbacks.drain()
        assert browser.json(f"{page.url}status/")["status"] == "waiting"
        let_time_pass(open_shop)
        open_shop.shop.run("mpesa_reconcile")
        page_with_status(browser, page, "paid")
    assert charged(open_shop) == 450


def let_time_pass(opened: Open) -> None:
    """Make the latest payment's next check due."""
    database(
        opened,
        "UPDATE django_mpesa_transaction SET next_check_at = '2020-01-01 00:00:00'"
        " WHERE id = (SELECT max(id) FROM django_mpesa_transaction)",
    )


def test_a_callback_that_overtakes_the_answer(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_before_answer", operation="c2b")
    with open_shop.shop.browser() as browser:
        page_with_status(browser, order(browser), "paid")
    assert latest_verdicts(open_shop) == ["applied"]
    assert charged(open_shop) == 450


def test_a_repeated_callback(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_twice", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, order(browser), "paid")
        open_shop.simulator.callbacks.drain()
        assert latest_verdicts(open_shop) == ["applied", "repeated"]
        assert "This is your receipt" in browser.get(page.url).text
    assert all(delivery.acknowledged for delivery in open_shop.simulator.callbacks.deliveries)
    assert charged(open_shop) == 450


def test_a_forged_callback_changes_nothing(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_never", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = order(browser)
        _, conversation_id, reference = latest_payment(open_shop)
        assert call_back(open_shop, "a" * 43, conversation_id, reference) == 404
        assert latest_verdicts(open_shop) == []
        token = open_shop.shop.callback_token
        assert call_back(open_shop, token, "AG_20200101_00000000", reference) == 200
        assert latest_verdicts(open_shop) == ["mismatched"]
        assert browser.json(f"{page.url}status/")["status"] == "waiting"
    assert latest_payment(open_shop)[0] == "pending"


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


def test_old_news_and_news_of_an_earlier_attempt_change_nothing(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("wrong_pin", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, order(browser), "refused")
        again = browser.submit(page, page.form("msisdn", "attempt"), msisdn=PHONE)
        page_with_status(browser, again, "paid")
    open_shop.shop.run("shell", "-c", OLD_NEWS)


def test_a_double_click_charges_once(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = fill_basket(browser)
        form = page.form("msisdn")
        with ThreadPoolExecutor(4) as pool:
            pages = list(pool.map(lambda _: browser.submit(page, form, msisdn=PHONE), range(4)))
        (url,) = {found.url for found in pages}
        assert {found.status for found in pages} == {200}
        page_with_status(browser, pages[0], "paid")
        again = browser.submit(page, form, msisdn=PHONE)
        assert again.url == url
    assert len(open_shop.simulator.ledger.transactions()) == 1
    assert charged(open_shop) == 450


def test_a_basket_that_changed_meanwhile_is_shown_before_it_is_paid(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = fill_basket(browser)
        fill_basket(browser)
        seen = browser.submit(page, page.form("msisdn"), msisdn=PHONE)
    assert seen.url.endswith("/basket/")
    assert "Your basket has changed" in seen.text
    assert open_shop.simulator.ledger.transactions() == []


@pytest.mark.parametrize("phone", ["84 123 4567", "+258 84 123 4567", "0841234567", "258841234567"])
def test_phone_numbers_as_people_type_them(open_shop: Open, phone: str) -> None:
    with open_shop.shop.browser() as browser:
        page_with_status(browser, order(browser, phone), "paid")
    (entry,) = open_shop.simulator.ledger.transactions()
    assert entry.payer == MSISDN


@pytest.mark.parametrize(
    ("phone", "words"),
    [
        ("", "Type the phone number that pays."),
        ("84 123 456", "This number has 8 digits"),
        ("86 123 4567", "this one begins with 86"),
        ("+258 82 123 4567", "this one begins with 82"),
        ("my phone", "only digits"),
        ("<script>", "only digits"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field(open_shop: Open, phone: str, words: str) -> None:
    with open_shop.shop.browser() as browser:
        page = order(browser, phone)
    assert page.url.endswith("/checkout/")
    (said,) = re.findall(r'<p class="error" id="msisdn-error">(.*?)</p>', page.text)
    assert words in said
    assert 'aria-invalid="true"' in page.text
    assert "<script>" not in page.text
    assert open_shop.simulator.ledger.transactions() == []


def test_the_shop_speaks_portuguese(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("insufficient_balance", operation="c2b")
    with open_shop.shop.browser("pt") as browser:
        page = fill_basket(browser)
        assert '<html lang="pt">' in page.text
        assert "Pagar com M-Pesa" in page.text
        refused = page_with_status(
            browser, browser.submit(page, page.form("msisdn"), msisdn=PHONE), "refused"
        )
        assert "saldo" in refused.text
        assert "450,00 MZN" in refused.text
        switch = refused.form("next", action="/language/")
        english = browser.submit(refused, switch, language="en")
        assert english.url == refused.url
        assert "not enough money" in english.text


def test_static_files_and_unknown_pages(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = browser.get("/")
        for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
            assert browser.get(path).status == 200
        assert browser.get("/static/admin/css/base.css").status == 200
        missing = browser.get("/nothing/")
    assert missing.status == 404
    assert "There is no such page" in missing.text


def test_the_admin_shows_the_payment_and_its_order(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page_with_status(browser, order(browser), "paid")
        login = browser.get("/admin/")
        form = login.form("username", "password")
        password = open_shop.shop.admin_password
        assert browser.submit(login, form, username="admin", password=password).status == 200
        payments = browser.get("/admin/django_mpesa/transaction/")
        orders = browser.get("/admin/shop/order/")
    assert MSISDN in payments.text  # a superuser may see it
    assert "ORDER" in orders.text


def test_the_check_command_finds_nothing(open_shop: Open) -> None:
    open_shop.shop.run("check", "--fail-level", "WARNING")
    open_shop.shop.run("makemigrations", "--check", "--dry-run", "shop")
