"""What a customer does alike in each shop, in either language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mpesa_integrations.simulator import Simulator
from tests.shops.conftest import MSISDN
from tests.shops.conftest import PHONE as PHONE_NUMBER

from .conftest import PHONE, Screenshot, problems, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@dataclass(frozen=True, kw_only=True)
class Words:
    """What each shop's pages say in one language, and the phone's page in the portal."""

    phone: str
    pay: str
    waiting: str
    refuse: str
    cancelled: str
    again: str
    approve: str
    paid: str


ENGLISH = {
    "phone": "Phone number with M-Pesa",
    "waiting": "Confirm on your phone with your PIN",
    "refuse": "Refuse",
    "cancelled": "You cancelled the payment",
    "again": "Try again",
    "approve": "Approve",
    "paid": "Thank you, it is paid",
}
"""All but the button that pays, which has the amount."""
PORTUGUESE = {
    "phone": "Número de telefone com M-Pesa",
    "waiting": "Confirme no seu telefone com o seu PIN",
    "refuse": "Recusar",
    "cancelled": "Cancelou o pagamento",
    "again": "Tentar de novo",
    "approve": "Aprovar",
    "paid": "Obrigado, está pago",
}


def in_both_languages(english: Words, portuguese: Words) -> pytest.MarkDecorator:
    """Run a test on an English desktop and on a Portuguese phone, by `words` and `options`."""
    on_phone = {"locale": "pt-MZ", "viewport": PHONE, "has_touch": True}
    return pytest.mark.parametrize(
        ("words", "options"),
        [
            pytest.param(english, {"locale": "en-GB"}, id="desktop-english"),
            pytest.param(portuguese, on_phone, id="phone-portuguese"),
        ],
    )


def open_phone(
    new_page: Callable[..., Page], simulator: Simulator, options: dict[str, object]
) -> Page:
    """Have nobody type a PIN by itself, and open the portal's page where the phones ask for it."""
    simulator.auto_approve = False
    phone = new_page(**options)
    sign_in(phone, simulator)
    phone.goto(f"{simulator.portal_url}customers")
    return phone


def pay(page: Page, words: Words, phone: str = PHONE_NUMBER) -> None:
    page.get_by_label(words.phone).fill(phone)
    page.get_by_role("button", name=words.pay).click()


def refuse_and_then_approve(
    page: Page, phone: Page, simulator: Simulator, words: Words, seen: Callable[[str], None]
) -> None:
    """Pay, refuse on the phone, try again, load the page anew, and approve.

    Args:
        page: asks for the phone number; says at the end that it is paid.
        phone: of `open_phone`.
        simulator: the gateway, in whose ledger nothing is booked yet.
        words: of the pages' language.
        seen: is called with a name for each page that is reached.
    """
    pay(page, words)
    page.get_by_role("heading", name=words.waiting).wait_for()
    seen("waiting")
    phone.get_by_role("button", name=words.refuse).click()
    page.get_by_role("heading", name=words.cancelled).wait_for()  # by itself
    seen("cancelled")
    assert simulator.ledger.balance(MSISDN) == 100_000

    page.get_by_label(words.phone).fill(PHONE_NUMBER)
    page.get_by_role("button", name=words.again).click()
    waiting = page.get_by_role("heading", name=words.waiting)
    waiting.wait_for()
    approve = phone.get_by_role("button", name=words.approve)
    approve.wait_for()
    page.reload()
    waiting.wait_for()
    assert approve.count() == 1
    approve.click()
    page.get_by_role("heading", name=words.paid).wait_for()


def press_pay_twice(
    page: Page, simulator: Simulator, words: Words, screenshot: Screenshot, name: str
) -> None:
    """Look at what paying shows at once, then pay by a double click: it is paid once."""
    page.get_by_label(words.phone).fill(PHONE_NUMBER)
    _ask_and_come_back(page, screenshot, name)
    page.get_by_role("button", name=words.pay).dblclick()
    page.get_by_role("heading", name=words.paid).wait_for()
    assert len(simulator.ledger.transactions()) == 1


def _ask_and_come_back(page: Page, screenshot: Screenshot, name: str) -> None:
    """Press the button that pays, look at what it shows at once, and come back by the browser's.

    Nothing is sent by it: a page that waits for the next one cannot be looked at.
    """
    page.wait_for_load_state()
    page.evaluate(
        "document.querySelector('form[data-asking]').addEventListener("
        "'submit', event => event.preventDefault(), { once: true })"
    )
    button = page.locator("form[data-asking] button")
    before = button.inner_text()
    button.click()
    asking = page.get_by_role("button", name="Asking M-Pesa…")
    asking.wait_for()
    assert asking.is_disabled()
    assert page.get_by_role("status").filter(has_text="Asking M-Pesa…").count() == 1
    assert problems(page) == []
    screenshot(page, name)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    assert (button.inner_text(), button.is_enabled()) == (before, True)
