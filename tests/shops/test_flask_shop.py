"""What only the Flask café does: its menu, its form's token, its factory and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from urllib.parse import urlsplit

import pytest
from flask import Flask

from example_sites.flask_shop.app import create_app

from .conftest import PHONE, Open, page_with_status


@pytest.fixture
def app(flask_shop: Open) -> Iterator[Flask]:
    """The café that is served, once more in this process: with its database and its account."""
    app = create_app(flask_shop.shop.environment)
    with app.app_context():
        yield app
    app.extensions["mpesa"].forget()


@pytest.mark.parametrize(
    ("quantities", "words"),
    [
        ({}, "Choose something first"),
        ({"galao": "0", "prego": ""}, "Choose something first"),
        ({"galao": "21"}, "a number from 0 to 20"),
        ({"galao": "1", "prego": "-1"}, "a number from 0 to 20"),
        ({"galao": "two"}, "a number from 0 to 20"),
    ],
)
def test_what_is_no_order_is_said_above_the_menu(
    flask_shop: Open, quantities: dict[str, str], words: str
) -> None:
    with flask_shop.shop.browser() as browser:
        page = browser.get("/")
        said = browser.submit(page, page.form("galao"), **quantities)
    assert said.url == page.url
    (alert,) = re.findall(r'role="alert">(.*?)</p>', said.text)
    assert words in alert


def test_several_things_are_one_bill(flask_shop: Open) -> None:
    with flask_shop.shop.browser() as browser:
        page = browser.get("/")
        page = browser.submit(page, page.form("galao"), prego="2", galao="1")
        assert "Pay 771.00\N{NO-BREAK SPACE}MZN" in page.text
        page = browser.submit(page, page.form("msisdn"), msisdn=PHONE)
        page_with_status(browser, page, "completed")
    assert flask_shop.charged() == 771


def test_a_form_from_elsewhere_changes_nothing(flask_shop: Open) -> None:
    with flask_shop.shop.browser() as browser:
        page = flask_shop.choose(browser)
        forged = browser.submit(page, page.form("msisdn"), msisdn=PHONE, csrf_token="forged")
        assert forged.status == 400
        assert "Nothing was ordered or paid" in forged.text
        assert browser.get(page.url).shown == "new"
    assert flask_shop.simulator.ledger.transactions() == []


@pytest.mark.parametrize(
    ("path", "field"), [("/", "galao"), ("", "msisdn"), ("/sign-in/", "password")]
)
def test_a_file_in_the_place_of_text_is_told_as_any_other_wrong_input(
    flask_shop: Open, app: Flask, path: str, field: str
) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    with flask_shop.shop.browser() as browser:
        path = path or urlsplit(flask_shop.choose(browser).url).path
    file = {field: (BytesIO(b"x"), "a.txt")}
    answer = app.test_client().post(path, data=file, base_url=flask_shop.shop.url)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example"]
)
def test_the_language_switch_leads_to_no_other_site(flask_shop: Open, elsewhere: str) -> None:
    with flask_shop.shop.browser() as browser:
        page = browser.get("/")
        switch = page.form("next", action="/language/")
        assert browser.submit(page, switch, language="pt", next=elsewhere).url == page.url


def test_nothing_may_run_that_is_not_the_cafes_own(flask_shop: Open, app: Flask) -> None:
    answer = app.test_client().get("/", base_url=flask_shop.shop.url)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "style=" not in answer.text
    assert answer.text.count("<script") == answer.text.count('<script src="/static/')


def test_the_callback_url_is_the_one_that_the_gateway_has(flask_shop: Open, app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["mpesa", "callback-url"])
    assert result.output.strip() == flask_shop.shop.callback_url
