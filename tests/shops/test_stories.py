"""Stories of customers of both shops, through their pages and the real callback path."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.waiting import until

from .conftest import MSISDN, PHONE, Open, page_with_status

OTHER_PHONE = "85 765 4321"


def test_a_purchase(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = open_shop.order(browser)
        assert page.status == 200
        page = page_with_status(browser, page, "completed")
    (entry,) = open_shop.simulator.ledger.transactions()
    assert entry.amount == open_shop.price
    assert str(entry.transaction_id) in page.text
    assert "25884•••4567" in page.text
    assert MSISDN not in page.text
    assert "http-equiv" not in page.text
    until(open_shop.is_made_ready)
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
            told = browser.json(page.asks)
            assert told.keys() == {"state", "is_open", "is_paid", "may_retry", "message"}
            assert told["message"] in page.text
            assert open_shop.latest_payment()[2] not in page.text, "its third-party reference"
        page_with_status(browser, order_page, "completed")
    assert open_shop.charged() == open_shop.price


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("insufficient_balance", "not enough money"),
        ("wrong_pin", "the PIN was not right"),
        ("overloaded", "very busy"),
        ("code:INS-996", "not active"),
        ("code:INS-993", "cannot make this payment"),
    ],
)
def test_a_refusal_and_trying_again(open_shop: Open, scenario: str, words: str) -> None:
    open_shop.simulator.scenarios.queue(scenario, operation="c2b", times=4)
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "failed")
        assert words in page.text
        assert "No money was taken" in page.text
        assert open_shop.charged() == 0
        open_shop.simulator.scenarios.clear()
        again = browser.submit(page, page.form("msisdn"), msisdn="+258 84 123 4567")
        page_with_status(browser, again, "completed")
        # The old form once more, as after the browser's back button.
        late = browser.submit(page, page.form("msisdn"), msisdn=PHONE)
        assert "This is your receipt" in late.text
    assert open_shop.charged() == open_shop.price


def test_who_was_declined_pays_with_another_number(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("insufficient_balance", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "failed")
        assert not open_shop.is_made_ready()
        again = browser.submit(page, page.form("msisdn"), msisdn=OTHER_PHONE)
        paid = page_with_status(browser, again, "completed")
    assert "25885•••4321" in paid.text
    until(open_shop.is_made_ready)
    refused, entry = open_shop.simulator.ledger.transactions()
    assert (refused.payer, open_shop.charged()) == (MSISDN, 0)
    assert (entry.payer, int(entry.amount)) == ("258857654321", open_shop.price)


def test_two_tabs_that_try_again_at_once_charge_once(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cancelled", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "cancelled")
        with ThreadPoolExecutor(2) as pool:
            tabs = pool.map(
                lambda phone: browser.submit(page, page.form("msisdn"), msisdn=phone),
                (PHONE, OTHER_PHONE),
            )
            assert {tab.url for tab in tabs} == {page.url}
        page_with_status(browser, page, "completed")
    assert len(open_shop.simulator.ledger.transactions()) == 2, "the one that was cancelled, too"


def test_another_amount_while_a_payment_is_open_is_said_on_the_page(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cancelled", operation="c2b")
    with open_shop.shop.browser("pt") as browser:
        page = page_with_status(browser, open_shop.order(browser), "cancelled")
        open_shop.simulator.scenarios.queue("callback_never", operation="c2b")
        browser.submit(page, page.form("msisdn"), msisdn=PHONE)
        # Somebody of the shop adds a thing to the order, and the other tab has its form yet.
        open_shop.database(f"UPDATE {open_shop.orders} SET total = total + 1")
        said = browser.submit(page, page.form("msisdn"), msisdn=OTHER_PHONE)
    assert said.status == 200
    (alert,) = re.findall(r'role="alert">(.*?)</p>', said.text)
    assert alert.startswith(f"Valor: tem de ser {open_shop.price}.00")
    assert "Confirme no" in said.text
    assert open_shop.charged() <= open_shop.price


def test_what_fails_after_a_payment_is_done_by_reconciling(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser, open_shop.orders_cannot_be_written():
        page_with_status(browser, open_shop.order(browser), "completed")
        open_shop.simulator.callbacks.drain()
        assert not open_shop.is_made_ready()
    open_shop.let_time_pass()
    open_shop.reconcile()
    assert open_shop.is_made_ready()
    assert open_shop.database(f"SELECT * FROM {open_shop.outbox}") == []


def test_money_that_is_given_back_is_shown(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "completed")
        open_shop.give_back("100", "callback_never")
        page = page_with_status(browser, page, "returning")
        assert "Your money is on its way back" in page.text
        assert "<dt>Being given back</dt><dd>100.00" in page.text
        assert '<meta http-equiv="refresh"' in page.text
        open_shop.let_time_pass()
        open_shop.reconcile()
        page = page_with_status(browser, page, "partly_reversed")
        assert "<dt>Given back</dt><dd>100.00" in page.text
        assert "Being given back" not in page.text
        assert open_shop.is_made_ready(), "the rest is paid"
        open_shop.give_back(str(open_shop.price - 100))
        page = page_with_status(browser, page, "reversed")
        assert "money was given back: nothing is" in page.text
        assert f"<span>Given back</span> <strong>{open_shop.price}.00" in page.text
        assert f"<dt>Given back</dt><dd>{open_shop.price}.00" in page.text
        assert not any("msisdn" in form.values for form in page.forms)
    until(lambda: not open_shop.is_made_ready())
    assert open_shop.charged() == 0
    open_shop.run("show")


def test_what_was_given_back_is_neither_sent_nor_paid_again(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cancelled", operation="c2b")
    with open_shop.shop.browser() as browser:
        old = page_with_status(browser, open_shop.order(browser), "cancelled")
        with open_shop.orders_cannot_be_written():
            page = browser.submit(old, old.form("msisdn"), msisdn=PHONE)
            page_with_status(browser, page, "completed")
            open_shop.give_back(str(open_shop.price))
            page_with_status(browser, page, "reversed")
            open_shop.simulator.callbacks.drain()
        for _ in range(2):
            open_shop.let_time_pass()
            open_shop.reconcile()
        assert open_shop.database(f"SELECT * FROM {open_shop.outbox}") == []
        assert not open_shop.is_made_ready()
        assert (
            "We gave you your money back"
            in browser.submit(old, old.form("msisdn"), msisdn=PHONE).text
        )
    assert not open_shop.is_made_ready()
    assert open_shop.charged() == 0


def test_a_cancellation(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cancelled", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "cancelled")
    assert "You cancelled the payment" in page.text
    assert page.form("msisdn")
    assert open_shop.charged() == 0


def test_after_contradicting_news_nobody_is_asked_to_pay_again(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("wrong_pin", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "failed")
        form = page.form("msisdn")
        open_shop.simulator.callbacks.drain()
        _, conversation_id, reference = open_shop.latest_payment()
        token = open_shop.shop.callback_token
        assert open_shop.call_back(token, conversation_id, reference) == 200
        assert open_shop.latest_verdicts()[-1] == "conflict"
        for told in (browser.get(page.url), browser.submit(page, form, msisdn=OTHER_PHONE)):
            assert "please do not pay again" in told.text
            assert "We are looking into your payment" in told.text
            assert "It was not paid" not in told.text
            assert not any("msisdn" in found.values for found in told.forms)
    assert open_shop.latest_payment()[2] == reference, "the old form has sent nothing"


def test_money_that_moved_without_an_answer_is_found_by_reconciling(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("cut_after", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "checking")
        assert "you will not be charged twice" in page.text
        assert not any("msisdn" in form.values for form in page.forms)
        until(lambda: open_shop.latest_verdicts() == ["early"])
        open_shop.reconcile()
        page_with_status(browser, page, "completed")
    assert open_shop.charged() == open_shop.price


def test_a_pin_that_nobody_types_is_found_by_reconciling(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("pin_timeout", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "checking")
        open_shop.simulator.callbacks.drain()
        open_shop.let_time_pass()
        open_shop.reconcile()
        page = page_with_status(browser, page, "failed")
        assert "the PIN was not typed in time" in page.text
        assert "No money was taken" in page.text
    assert open_shop.charged() == 0


def test_a_callback_that_never_comes_is_made_up_for(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_never", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = open_shop.order(browser)
        open_shop.simulator.callbacks.drain()
        assert browser.get(page.url).shown == "waiting"
        open_shop.let_time_pass()
        open_shop.reconcile()
        page_with_status(browser, page, "completed")
    assert open_shop.charged() == open_shop.price


def test_a_callback_that_overtakes_the_answer(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_before_answer", operation="c2b")
    with open_shop.shop.browser() as browser:
        page_with_status(browser, open_shop.order(browser), "completed")
    assert open_shop.latest_verdicts() == ["applied"]
    assert open_shop.charged() == open_shop.price


def test_a_repeated_callback(open_shop: Open) -> None:
    open_shop.simulator.scenarios.queue("callback_twice", operation="c2b")
    with open_shop.shop.browser() as browser:
        page = page_with_status(browser, open_shop.order(browser), "completed")
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
        assert open_shop.call_back("a" * 43, conversation_id, reference) == 404
        assert open_shop.latest_verdicts() == []
        token = open_shop.shop.callback_token
        assert open_shop.call_back(token, "AG_20200101_00000000", reference) == 200
        assert open_shop.latest_verdicts() == ["mismatched"]
        assert browser.get(page.url).shown == "waiting"
    assert open_shop.latest_payment()[0] == "pending"


def test_a_double_click_charges_once(open_shop: Open) -> None:
    with open_shop.shop.browser() as browser:
        page = open_shop.choose(browser)
        form = page.form("msisdn")
        with ThreadPoolExecutor(4) as pool:
            pages = list(pool.map(lambda _: browser.submit(page, form, msisdn=PHONE), range(4)))
        (url,) = {found.url for found in pages}
        assert {found.status for found in pages} == {200}
        page_with_status(browser, pages[0], "completed")
        again = browser.submit(page, form, msisdn=PHONE)
        assert again.url == url
    assert len(open_shop.simulator.ledger.transactions()) == 1
    assert open_shop.charged() == open_shop.price


@pytest.mark.parametrize(
    "phone", ["84 123 4567", "+258 84 123 4567", "084 123 4567", "258841234567"]
)
def test_phone_numbers_as_people_type_them(open_shop: Open, phone: str) -> None:
    with open_shop.shop.browser() as browser:
        page_with_status(browser, open_shop.order(browser, phone), "completed")
    (entry,) = open_shop.simulator.ledger.transactions()
    assert entry.payer == MSISDN


@pytest.mark.parametrize(
    ("phone", "words"),
    [
        ("", "Type the phone number that pays"),
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
            browser, browser.submit(page, page.form("msisdn"), msisdn=PHONE), "failed"
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
        order_page = page_with_status(browser, open_shop.order(browser), "completed")
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
