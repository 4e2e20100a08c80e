"""The café as its customer uses it: in a browser, with a phone that asks for the PIN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from example_sites.demo import FLASK, Shop, Site, buy, running, serving
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE
from tests.shops.conftest import MSISDN
from tests.support.gateways import directory_with_key

from . import purchases
from .conftest import (
    DESKTOP,
    PHONE,
    Screenshot,
    choose,
    look_at,
    problems,
    scrolls_sideways,
    sign_in,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")


@dataclass(frozen=True, kw_only=True)
class Words(purchases.Words):
    order: str


ENGLISH = Words(**purchases.ENGLISH, order="Order", pay="Pay 240")
PORTUGUESE = Words(**purchases.PORTUGUESE, order="Encomendar", pay="Pagar 240")


@pytest.fixture(scope="module")
def site() -> Site:
    return FLASK


@purchases.in_both_languages(ENGLISH, PORTUGUESE)
def test_an_order_that_the_customer_refuses_and_then_approves(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page],
    screenshot: Screenshot, words: Words, options: dict[str, object],
) -> None:  # fmt: skip
    def seen(name: str) -> None:
        look_at(page, screenshot, f"cafe-{name}")

    phone = purchases.open_phone(new_page, mpesa_simulator, options)
    page = new_page(**options)
    page.goto(shop.url)
    seen("menu")
    page.locator("#galao").fill("2")
    page.get_by_role("button", name=words.order, exact=True).click()
    page.get_by_label(words.phone).fill("84 123 4567")
    seen("order")
    purchases.refuse_and_then_approve(page, phone, mpesa_simulator, words, seen)
    seen("paid")
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 240


def test_an_order_is_paid_once_the_cafe_has_the_renewed_api_key(
    mpesa_simulator: Simulator, tmp_path: Path, new_page: Callable[..., Page],
    screenshot: Screenshot,
) -> None:  # fmt: skip
    # A gateway of its own: the other tests' café would not know the new key either.
    with Simulator(directory_with_key(mpesa_simulator, tmp_path / "gateway")) as simulator:
        page, owner = new_page(), new_page()
        sign_in(owner, simulator)
        with running(FLASK, simulator.state_dir / ACCOUNT_FILE, tmp_path / "cafe") as cafe:
            simulator.response_url = cafe.callback_url
            page.goto(cafe.url)
            page.locator("#galao").fill("2")
            page.get_by_role("button", name=ENGLISH.order, exact=True).click()
            owner.get_by_role("link", name="Renew API Key").click()
            owner.get_by_role("button", name="Renew it now").click()
            owner.get_by_text("The old one no longer works").wait_for()
            purchases.pay(page, ENGLISH)
            page.get_by_role("heading", name="It was not paid").wait_for()
            page.get_by_text("We cannot take M-Pesa payments just now").wait_for()
            page.get_by_text("No money was taken").wait_for()
            assert problems(page) == []
            screenshot(page, "cafe-refused")
            assert simulator.ledger.transactions() == []
        with serving(cafe) as served:  # which reads the account's file anew
            assert served
            page.get_by_label(ENGLISH.phone).fill("84 123 4567")
            page.get_by_role("button", name=ENGLISH.again).click()
            page.get_by_role("heading", name=ENGLISH.paid).wait_for()
            page.reload()
            page.get_by_role("heading", name=ENGLISH.paid).wait_for()
            assert simulator.ledger.balance(MSISDN) == 100_000 - 240
            page.close()
            owner.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_owner_signs_in_and_gives_a_part_back(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page], screenshot: Screenshot,
    size: dict[str, int],
) -> None:  # fmt: skip
    buy(shop)
    mpesa_simulator.response_url = None  # so that the gateway says it at once
    page = new_page(viewport=size, locale="pt-MZ" if size is PHONE else "en-GB")
    page.goto(f"{shop.url}/admin/payments/")
    password = page.locator("#password")
    password.fill("x")
    page.keyboard.press("Enter")
    page.locator("#password-error").wait_for()
    look_at(page, screenshot, "cafe-sign-in")
    password.fill(shop.admin_password)
    page.keyboard.press("Enter")
    page.locator("input.action-checkbox").first.check()
    assert not scrolls_sideways(page)
    # As the menu of actions does, from an element's own handler: the page's policy lets it.
    choose(page, "reverse")
    page.locator("#amount").fill("40")
    page.locator("#mpesa-page button").click()
    page.locator("#mpesa-page ol").get_by_text("40").first.wait_for()
    assert problems(page, "#mpesa-page") == []
    screenshot(page, f"cafe-owner-{size['width']}")
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 200
    for name in ("callbacks", "handlers"):
        page.goto(f"{shop.url}/admin/{name}/")
        page.locator("table.model-list").first.wait_for()
        assert not scrolls_sideways(page)


def test_paying_shows_at_once_that_m_pesa_is_asked(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page], screenshot: Screenshot
) -> None:
    mpesa_simulator.response_url = None
    page = new_page(viewport=PHONE)
    page.goto(shop.url)
    page.locator("#galao").fill("2")
    page.get_by_role("button", name=ENGLISH.order).click()
    page.get_by_text("The next page may take a minute").wait_for()  # without a script, too
    purchases.press_pay_twice(page, mpesa_simulator, ENGLISH, screenshot, "cafe-asking-375")
