"""Boat tickets as a customer buys them: in a browser, with a phone that asks for the PIN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from example_sites.demo import FASTAPI, Shop, Site
from mpesa_integrations.simulator import Simulator
from tests.shops.conftest import MSISDN

from . import purchases
from .conftest import PHONE, Screenshot, look_at

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")


@dataclass(frozen=True, kw_only=True)
class Words(purchases.Words):
    trip: str
    seats: str
    book: str


ENGLISH = Words(
    **purchases.ENGLISH, trip="Across to Catembe", seats="Seats", book="Book", pay="Pay 100"
)
PORTUGUESE = Words(
    **purchases.PORTUGUESE,
    trip="Travessia para a Catembe", seats="Lugares", book="Reservar", pay="Pagar 100",
)  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Site:
    return FASTAPI


@pytest.fixture(scope="module", params=[False, True], ids=["awaited", "worker"])
def has_worker(request: pytest.FixtureRequest) -> bool:
    """The shop's own call sends a payment, or its worker does."""
    found: bool = request.param
    return found


@purchases.in_both_languages(ENGLISH, PORTUGUESE)
def test_a_booking_that_the_customer_refuses_and_then_approves(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page],
    screenshot: Screenshot, words: Words, options: dict[str, object],
) -> None:  # fmt: skip
    def seen(name: str) -> None:
        look_at(page, screenshot, f"boats-{name}")

    phone = purchases.open_phone(new_page, mpesa_simulator, options)
    page = new_page(**options)
    page.goto(shop.url)
    seen("trips")
    page.get_by_label(words.trip).check()
    page.get_by_label(words.seats, exact=True).fill("2")
    page.get_by_role("button", name=words.book, exact=True).click()
    purchases.pay(page, words, "12")
    page.locator("#msisdn-error").wait_for()
    seen("wrong-number")
    purchases.refuse_and_then_approve(page, phone, mpesa_simulator, words, seen)
    page.locator(".ticket").wait_for()
    seen("paid")
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 100


def test_paying_shows_at_once_that_m_pesa_is_asked_and_the_language_can_be_chosen(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page], screenshot: Screenshot
) -> None:
    page = new_page(viewport=PHONE)
    page.goto(shop.url)
    page.get_by_label("Seats", exact=True).fill("13")
    page.get_by_role("button", name="Book", exact=True).click()
    page.get_by_role("alert").get_by_text("from 1 to 12").wait_for()
    page.get_by_label("Seats", exact=True).fill("2")
    page.get_by_role("button", name="Book", exact=True).click()
    page.get_by_role("button", name="Português").click()
    page.get_by_role("heading", name="Pagar com M-Pesa").wait_for()  # the booking's page still
    page.get_by_role("button", name="English").click()
    purchases.press_pay_twice(page, mpesa_simulator, ENGLISH, screenshot, "boats-asking-375")
