"""An order's page in both shops, where it is tried again, contradicted or given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pytest

from example_sites.demo import DJANGO, FLASK, Site
from tests.shops.conftest import Open

from .conftest import DESKTOP, PHONE, Screenshot, look_at

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")

NAMES = {DJANGO: "shop", FLASK: "cafe"}


class Words(NamedTuple):
    """What both shops' pages say in one language."""

    phone: str
    not_paid: str
    again: str
    disputed: str
    paid: str
    returning: str
    partly: str
    returned: str


ENGLISH = Words(
    "Phone number with M-Pesa", "It was not paid", "Try again",
    "We are looking into your payment", "Thank you, it is paid", "Your money is on its way back",
    "We gave you a part of your money back", "We gave you your money back",
)  # fmt: skip
PORTUGUESE = Words(
    "Número de telefone com M-Pesa", "Não foi pago", "Tentar de novo",
    "Estamos a averiguar o seu pagamento", "Obrigado, está pago", "O seu dinheiro está a caminho",
    "Devolvemos-lhe uma parte do dinheiro", "Devolvemos-lhe o dinheiro",
)  # fmt: skip


@pytest.fixture(scope="module", params=NAMES, ids=[*NAMES.values()])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.param
    return found


@pytest.fixture
def words(site: Site) -> Words:
    """The Django shop is seen in Portuguese, on a phone; the café in English."""
    return PORTUGUESE if site is DJANGO else ENGLISH


@pytest.fixture
def page(words: Words, new_page: Callable[..., Page]) -> Page:
    is_phone = words is PORTUGUESE
    opened_page: Page = new_page(
        locale="pt-MZ" if is_phone else "en-GB", viewport=PHONE if is_phone else DESKTOP
    )
    return opened_page


@pytest.fixture
def seen(site: Site, screenshot: Screenshot) -> Callable[[Page, str, str], None]:
    """Wait for a heading; the page is then accessible, within the screen, and photographed."""

    def look(page: Page, heading: str, name: str) -> None:
        page.get_by_role("heading", name=heading).wait_for()
        look_at(page, screenshot, f"{NAMES[site]}-{name}")

    return look


def _order(page: Page, open_shop: Open, words: Words) -> None:
    page.goto(open_shop.shop.url)
    if open_shop.shop.site is DJANGO:
        page.locator(".buy button").first.click()
        page.goto(f"{open_shop.shop.url}/checkout/")
    else:
        page.locator("#galao").fill("2")
        page.locator(".onward button").click()
    page.get_by_label(words.phone).fill("84 123 4567")
    page.keyboard.press("Enter")


def test_a_declined_payment_is_tried_again_by_the_keyboard(
    open_shop: Open, page: Page, seen: Callable[[Page, str, str], None], words: Words
) -> None:
    open_shop.simulator.scenarios.queue("insufficient_balance", operation="c2b")
    _order(page, open_shop, words)
    seen(page, words.not_paid, "declined")
    page.get_by_label(words.phone).focus()
    page.keyboard.type("85 765 4321")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == words.again
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=words.paid).wait_for()
    page.get_by_text("25885•••4321").wait_for()


def test_a_contradicted_payment_is_not_paid_again(
    open_shop: Open, page: Page, seen: Callable[[Page, str, str], None], words: Words
) -> None:
    open_shop.simulator.scenarios.queue("wrong_pin", operation="c2b")
    _order(page, open_shop, words)
    page.get_by_role("heading", name=words.not_paid).wait_for()
    open_shop.simulator.callbacks.drain()
    _, conversation_id, reference = open_shop.latest_payment()
    assert open_shop.call_back(open_shop.shop.callback_token, conversation_id, reference) == 200
    # The form of before is still there to be sent.
    page.get_by_label(words.phone).fill("85 765 4321")
    page.get_by_role("button", name=words.again).click()
    seen(page, words.disputed, "contradicted")
    assert page.get_by_label(words.phone).count() == 0
    assert open_shop.latest_payment()[2] == reference


def test_money_goes_back_while_the_customer_looks_on(
    open_shop: Open, page: Page, seen: Callable[[Page, str, str], None], words: Words
) -> None:
    _order(page, open_shop, words)
    seen(page, words.paid, "receipt")
    open_shop.give_back("100", "callback_never")
    page.reload()
    seen(page, words.returning, "returning")
    open_shop.let_time_pass()
    open_shop.reconcile()
    seen(page, words.partly, "partly-returned")  # by itself
    open_shop.give_back(str(open_shop.price - 100))
    page.reload()
    seen(page, words.returned, "returned")
    assert page.get_by_label(words.phone).count() == 0
