"""The boat tickets: stories that they share with the other shops, and what only they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from example_sites.https_server import CA_FILE
from tests.support.waiting import until

from . import test_stories as stories
from .conftest import PHONE, Open, page_with_status

HERE = Path(__file__).parents[2] / "example_sites" / "fastapi_shop"


@pytest.mark.parametrize(
    "story",
    [
        stories.test_the_waiting_page_survives_a_reload_and_needs_no_script,
        stories.test_who_was_declined_pays_with_another_number,
        stories.test_two_tabs_that_try_again_at_once_charge_once,
        stories.test_what_fails_after_a_payment_is_done_by_reconciling,
    ],
    ids=lambda story: story.__name__.removeprefix("test_"),
)
def test_a_story_of_the_other_shops(fastapi_shop: Open, story: Callable[[Open], None]) -> None:
    story(fastapi_shop)


@pytest.mark.parametrize(
    ("language", "phone", "words"),
    [
        ("en", "", "Type the phone number that pays."),
        ("pt", "12", "tem nove algarismos"),
        ("en", "21 123 456", "84 123 4567"),
    ],
)
def test_what_is_no_phone_number_is_said_beside_it(
    fastapi_shop: Open, language: str, phone: str, words: str
) -> None:
    with fastapi_shop.shop.browser(language) as browser:
        page = fastapi_shop.choose(browser)
        said = browser.submit(page, page.form("msisdn"), msisdn=phone)
    assert said.status == 400
    (error,) = re.findall(r'id="msisdn-error">(.*?)</p>', said.text)
    assert words in error


@pytest.mark.parametrize("seats", ["0", "13", "", "two", "²", "1" * 5000])
def test_what_is_no_number_of_seats_is_said_above_the_form(fastapi_shop: Open, seats: str) -> None:
    with fastapi_shop.shop.browser() as browser:
        page = browser.get("/")
        said = browser.submit(page, page.form("seats"), trip="sunset", seats=seats)
        assert said.status == 400
        assert "Take a number of seats from 1 to 12." in said.text
        said = browser.submit(page, page.form("seats"), trip="moon", seats="1")
    assert "Choose one of the trips." in said.text


def test_the_language_can_be_chosen_on_each_page(fastapi_shop: Open) -> None:
    with fastapi_shop.shop.browser() as browser:
        for page in (browser.get("/"), browser.get("/nowhere"), fastapi_shop.choose(browser)):
            shown = browser.submit(page, page.form("next"), language="pt")
            back = page.url if "/orders/" in page.url else f"{fastapi_shop.shop.url}/"
            assert (shown.status, shown.url) == (200, back)
            assert '<html lang="pt">' in shown.text


def test_money_that_is_given_back_takes_the_tickets_back(fastapi_shop: Open) -> None:
    with fastapi_shop.shop.browser() as browser:
        page = page_with_status(browser, fastapi_shop.order(browser), "completed")
        until(fastapi_shop.is_made_ready)
        fastapi_shop.give_back("40")
        page = page_with_status(browser, page, "partly_reversed")
        assert "BOAT" in page.text
        fastapi_shop.give_back("60")
        page = page_with_status(browser, page, "reversed")
        assert "These tickets are no longer good" in page.text
    until(lambda: not fastapi_shop.is_made_ready())
    assert fastapi_shop.charged() == 0


def test_a_payment_under_way_is_told_of_another_amount(fastapi_shop: Open) -> None:
    fastapi_shop.simulator.scenarios.queue("callback_never", operation="c2b")
    with fastapi_shop.shop.browser("pt") as browser:
        page = fastapi_shop.choose(browser)
        browser.submit(page, page.form("msisdn"), msisdn=PHONE)
        fastapi_shop.database("UPDATE booking SET total = total + 1")
        said = browser.submit(page, page.form("msisdn"), msisdn=PHONE)
    assert said.status == 400
    (alert,) = re.findall(r'role="alert">(.*?)</p>', said.text)
    assert alert.startswith("Montante: tem de ser 100.00")


def test_the_status_comes_as_events_that_end_once_it_is_decided(fastapi_shop: Open) -> None:
    fastapi_shop.simulator.scenarios.queue("callback_delayed", operation="c2b", delay=1)
    with fastapi_shop.shop.browser() as browser:
        page = fastapi_shop.order(browser)
    answer = requests.get(
        f"{fastapi_shop.shop.url}{page.asks}",
        headers={"Accept": "text/event-stream"},
        verify=str(fastapi_shop.shop.directory / CA_FILE),
        timeout=30,
    )
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "private, no-store"
    states = re.findall(r'^data: .*"state": ?"(\w+)"', answer.text, re.MULTILINE)
    assert states == ["pending", "completed"]


def test_a_callback_is_taken_in_without_the_last_slash_too(fastapi_shop: Open) -> None:
    """Whoever posts follows no redirect."""
    for end in ("", "/"):
        answer = requests.post(
            f"{fastapi_shop.shop.url}/mpesa/callback/wrong{end}",
            json={},
            verify=str(fastapi_shop.shop.directory / CA_FILE),
            allow_redirects=False,
            timeout=30,
        )
        assert answer.status_code == 404


def test_forms_of_other_sites_and_wrong_addresses_are_told_what_to_do(fastapi_shop: Open) -> None:
    shop = fastapi_shop.shop
    with shop.browser() as browser:
        page = fastapi_shop.choose(browser)
        for path in ("/orders/1/", "/orders/00000000-0000-0000-0000-000000000000/", "/nowhere"):
            found = browser.get(path)
            assert (found.status, "There is no such page" in found.text) == (404, True)
    for elsewhere in (
        "https://evil.example",
        "null",
        "https://[",
        shop.url.replace("https", "http"),
    ):
        forged = requests.post(
            page.url,
            data={"msisdn": PHONE},
            headers={"Origin": elsewhere},
            verify=str(shop.directory / CA_FILE),
            timeout=30,
        )
        assert (forged.status_code, "Nothing was booked or paid" in forged.text) == (403, True)
        assert forged.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert fastapi_shop.simulator.ledger.transactions() == []


def test_a_forged_callback_changes_nothing(fastapi_shop: Open) -> None:
    assert fastapi_shop.call_back("wrong-token", "AG_1", "X") == 404
    assert fastapi_shop.call_back(fastapi_shop.shop.callback_token, "AG_1", "X") == 200
    latest = "SELECT verdict FROM payment_callback ORDER BY id DESC LIMIT 1"
    assert fastapi_shop.database(latest) == [("unmatched",)]


def test_each_text_of_the_pages_is_there_in_portuguese() -> None:
    source = (HERE / "shop.py").read_text()
    table = source[source.index("PORTUGUESE = {") : source.index("HEADINGS = {")]
    translated = set(re.findall(r'^    "(.*?)":', table, re.MULTILINE))
    for template in (HERE / "templates").glob("*.html"):
        for text in re.findall(r"""_\(['"](.*?)['"]\)""", template.read_text()):
            assert text in translated, f"{template.name}: {text}"
