"""Stories of customers of both shops, through their pages and the real callback path."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from example_sites.https_server import CA_FILE
from tests.support.waiting import until

from .conftest import MSISDN, PHONE, Open, page_with_status


def call_back(open_shop: Open, token: str, conversation_id: str, reference: str) -> int:
    """Post a callback that claims a success, as anybody on the network could."""
    body = {
        "input_OriginalConversationID": conversation_id,
        "input_ThirdPartyReference": reference,
        "input_TransactionID": "F0RGED",
        "input_ResultCode": "0",
        "input_ResultDesc": "Request processed successfully",
    }
    response = requests.post(
        f"{open_shop.shop.url}/mpesa/callback/{token}/",
        json=body,
        verify=str(open_shop.shop.directory / CA_FILE),
        timeout=10,
    )
    return response.status_code


def test_a_purchase(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = open_shop.order(browser)
        assert page.status == 200
        page = page_with_status(browser, page, "paid")
    (entry,) = open_shop.simulator.ledger.transactions()
    assert entry.amount == open_shop.price
    assert str(entry.transaction_id) in page.text
    assert "25884•••4567" in page.text
    assert MSISDN not in page.text
    assert "http-equiv" not in page.text
    assert open_shop.latest_verdicts() == ["applied"]
    assert all(delivery.acknowledged for delivery in open_shop.simulator.callbacks.deliveries)


def test_the_waiting_page_survives_a_reload_and_needs_no_script(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_delayed", operation="c2b", delay=1)
    with open_shop.shop.browser() as browser:
        order_page = open_shop.order(browser)
        for page in (order_page, browser.get(order_page.url)):
            assert "Confirm on your phone" in page.text
            assert '<meta http-equiv="refresh"' in page.text
            assert 'aria-live="polite"' in page.text
        page_with_status(browser, order_page, "paid")
    assert open_shop.charged() == open_shop.price


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
        page = page_with_status(browser, open_shop.order(browser), "refused")
        assert words in page.text
        assert "No money was taken" in page.text
        assert open_shop.charged() == 0
        open_shop.simulator.scenarios.clear()
        again = browser.submit(page, page.form("msisdn", "attempt"), msisdn="+258 84 123 4567")
        page_with_status(browser, again, "paid")
        # The old form once more, as after the browser's back button.
        late = browser.submit(page, page.form("msisdn", "attempt"), msisdn=PHONE)
        assert "This is your receipt" in late.text
    assert open_shop.charged() == open_shop.price


def test_a_cancellation(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cancelled", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "cancelled")
    assert "You cancelled the payment" in page.text
    assert page.form("msisdn", "attempt")
    assert open_shop.charged() == 0


def test_money_that_moved_without_an_answer_is_found_by_reconciling(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cut_after", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "checking")
        assert "you will not be charged twice" in page.text
        assert not any("msisdn" in form.values for form in page.forms)
        until(lambda: open_shop.latest_verdicts() == ["early"])
        open_shop.reconcile()
        page_with_status(browser, page, "paid")
    assert open_shop.charged() == open_shop.price


def test_a_pin_that_nobody_types_is_found_by_reconciling(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("pin_timeout", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "checking")
        open_shop.simulator.callbacks.drain()
        open_shop.let_time_pass()
        open_shop.reconcile()
        page = page_with_status(browser, page, "refused")
        assert "the PIN was not typed in time" in page.text
        assert "No money was taken" in page.text
    assert open_shop.charged() == 0


def test_a_callback_that_never_comes_is_made_up_for(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_never", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = open_shop.order(browser)
        open_shop.simulator.callbacks.drain()
        assert browser.json(f"{page.url}status/")["status"] == "waiting"
        open_shop.let_time_pass()
        open_shop.reconcile()
        page_with_status(browser, page, "paid")
    assert open_shop.charged() == open_shop.price


def test_a_callback_that_overtakes_the_answer(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_before_answer", operation="c2b")
    with open_shop.shop.browser() as browser:
        page_with_status(browser, open_shop.order(browser), "paid")
    assert open_shop.latest_verdicts() == ["applied"]
    assert open_shop.charged() == open_shop.price


def test_a_repeated_callback(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_twice", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "paid")
        open_shop.simulator.callbacks.drain()
        assert open_shop.latest_verdicts() == ["applied", "repeated"]
        assert "This is your receipt" in browser.get(page.url).text
    assert all(delivery.acknowledged for delivery in open_shop.simulator.callbacks.deliveries)
    assert open_shop.charged() == open_shop.price


def test_a_forged_callback_changes_nothing(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_never", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = open_shop.order(browser)
        _, conversation_id, reference = open_shop.latest_payment()
        assert call_back(open_shop, "a" * 43, conversation_id, reference) == 404
        assert open_shop.latest_verdicts() == []
        token = open_shop.shop.callback_token
        assert call_back(open_shop, token, "AG_20200101_00000000", reference) == 200
        assert open_shop.latest_verdicts() == ["mismatched"]
        assert browser.json(f"{page.url}status/")["status"] == "waiting"
    assert open_shop.latest_payment()[0] == "pending"


def test_a_double_click_charges_once(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = open_shop.choose(browser)
        form = page.form("msisdn")
        with ThreadPoolExecutor(4) as pool:
            pages = list(pool.map(lambda _: browser.submit(page, form, msisdn=PHONE), range(4)))
        (url,) = {found.url for found in pages}
        assert {found.status for found in pages} == {200}
        page_with_status(browser, pages[0], "paid")
        again = browser.submit(page, form, msisdn=PHONE)
        assert again.url == url
    assert len(open_shop.simulator.ledger.transactions()) == 1
    assert open_shop.charged() == open_shop.price


@pytest.mark.parametrize(
    "phone", ["84 123 4567", "+258 84 123 4567", "084 123 4567", "258841234567"]
)
def test_phone_numbers_as_people_type_them(open_shop: Open, phone: str) -> None:
    with open_shop.shop.browser() as browser:
        page_with_status(browser, open_shop.order(browser, phone), "paid")
    (entry,) = open_shop.simulator.ledger.transactions()
    assert entry.payer == MSISDN


@pytest.mark.parametrize(
    ("phone", "words"),
    [
        ("", "Type the phone number that pays."),
        ("84 123 456", "nine digits, as in 84 123 4567; this one has 8."),
        ("86 123 4567", "this one begins with 86"),
        ("+258 82 123 4567", "this one begins with 82"),
        ("my phone", "only digits"),
        ("<script>", "only digits"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field(open_shop: Open, phone: str, words: str) -> None:
    with open_shop.shop.browser() as browser:
        page = open_shop.order(browser, phone)
    (said,) = re.findall(r'<p class="error" id="msisdn-error">(.*?)</p>', page.text)
    assert words in said
    assert 'aria-invalid="true"' in page.text
    assert "<script>" not in page.text
    assert open_shop.simulator.ledger.transactions() == []


def test_the_shop_speaks_portuguese(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("insufficient_balance", operation="c2b")
    with open_shop.shop.browser("pt") as browser:
        page = open_shop.choose(browser)
        page = browser.submit(page, page.form("msisdn"), msisdn="84 123 456")
        assert "tem nove algarismos, como 84 123 4567; este tem 8." in page.text
        assert '<html lang="pt">' in page.text
        assert "Pagar com M-Pesa" in page.text
        refused = page_with_status(
            browser, browser.submit(page, page.form("msisdn"), msisdn=PHONE), "refused"
        )
        assert "saldo" in refused.text
        assert f"{open_shop.price},00" in refused.text
        switch = refused.form("next", action="/language/")
        english = browser.submit(refused, switch, language="en")
        assert english.url == refused.url
        assert "not enough money" in english.text


def test_static_files_and_unknown_pages(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = browser.get("/")
        for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
            assert browser.get(path).status == 200
        missing = browser.get("/nothing/")
    assert missing.status == 404
    assert "There is no such page" in missing.text


def test_a_form_that_was_open_for_too_long(open_shop: Open) -> None:
    with open_shop.shop.browser("pt") as browser:
        page = open_shop.choose(browser)
        form = page.form("msisdn")
        token = next(name for name in form.values if name.startswith("csrf"))
        stale = browser.submit(page, form, **{token: "x"}, msisdn=PHONE)
        assert stale.status in (400, 403)
        assert "Isso não nos chegou" in stale.text
        assert "Nada foi encomendado nem pago" in stale.text
        # The switch leads to a page that can be opened, and not to the address of the form.
        english = browser.submit(stale, stale.form("next", action="/language/"), language="en")
    assert english.status == 200
    assert open_shop.charged() == 0


def test_a_shop_that_is_broken_says_what_to_do(open_shop: Open) -> None:
    with open_shop.shop.browser("pt") as browser:
        order_page = page_with_status(browser, open_shop.order(browser), "paid")
        open_shop.simulator.callbacks.drain()
        database = open_shop.shop.directory / "shop.sqlite3"
        aside = database.rename(database.with_suffix(".aside"))
        try:
            broken = browser.get(order_page.url)
        finally:
            aside.replace(database)
        assert broken.status == 500
        assert '<html lang="pt">' in broken.text
        assert "não pague já outra vez" in broken.text
        assert "recibo" in browser.get(order_page.url).text
