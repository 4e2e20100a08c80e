"""A shop as its customer and its owner use it: in a browser, with a phone that asks for the PIN."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from example_sites.demo import DJANGO, Shop, Site, buy, running
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE
from tests.support.gateways import directory_with_key

from .conftest import DESKTOP, PHONE, Screenshot, problems, scrolls_sideways, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")

HISTORY = """
from datetime import timedelta
from django.utils import timezone
from django_mpesa.models import Transaction
from tests.support import rows
for n in range(90):
    state = "failed" if n % 7 == 3 else "cancelled" if n % 11 == 5 else "completed"
    made = rows.make(
        operation="b2c" if n % 6 == 1 else "c2b", state=state, amount=100 + 37 * (n * 7 % 23),
        msisdn=f"25884{n * 7919 % 10**7:07}", reference=f"ORDER {1000 + n}",
        third_party_reference=f"HISTORY{n}", transaction_id=f"4XDF{n:05}",
    )
    at = timezone.now() - timedelta(days=1 + n * n % 29, minutes=n)
    ended = at + timedelta(seconds=4 + n % 17)
    rows.change(Transaction.objects.filter(pk=made.pk), created_at=at, updated_at=ended)
"""
"""A month of payments in the owner's past."""
SITES = {"django": DJANGO}
MSISDN = "258841234567"


class Words(NamedTuple):
    """What the pages say in one language."""

    add: str
    basket: str
    checkout: str
    phone: str
    wrong: str
    pay: str
    waiting: str
    approve: str
    refuse: str
    checking: str
    paid: str
    cancelled: str
    not_paid: str
    again: str


ENGLISH = Words(
    "Add to basket", "Basket", "Pay with M-Pesa", "Phone number with M-Pesa", "this one has 2",
    "Pay 450.00 MZN", "Confirm on your phone with your PIN", "Approve", "Refuse",
    "We are checking your payment", "Thank you, it is paid", "You cancelled the payment",
    "It was not paid", "Try again",
)  # fmt: skip
PORTUGUESE = Words(
    "Pôr no cesto", "Cesto", "Pagar com M-Pesa", "Número de telefone com M-Pesa",
    "este tem 2", "Pagar 450,00 MZN", "Confirme no telefone com o seu PIN", "Aprovar",
    "Recusar", "Estamos a verificar o seu pagamento", "Obrigado, está pago",
    "Cancelou o pagamento", "Não foi pago", "Tentar de novo",
)  # fmt: skip


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest) -> Site:
    """Each shop."""
    return SITES[request.param]


@pytest.fixture(scope="module")
def served(
    site: Site, _mpesa_gateway: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    account_file = _mpesa_gateway.state_dir / ACCOUNT_FILE
    with running(site, account_file, tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def shop(served: Shop, mpesa_simulator: Simulator) -> Iterator[Shop]:
    """A shop with an asynchronous account and an empty ledger."""
    mpesa_simulator.response_url = served.callback_url
    yield served
    mpesa_simulator.phones.reset()
    mpesa_simulator.callbacks.drain()


def _seen(page: Page, screenshot: Screenshot, name: str) -> None:
    """A page that was reached: accessible, within the screen, and photographed."""
    size = page.viewport_size or DESKTOP
    language = page.locator("html").get_attribute("lang")
    assert problems(page) == [], name
    assert not scrolls_sideways(page), name
    screenshot(page, f"shop-{name}-{language}-{size['width']}")


def _fill_basket(page: Page, shop: Shop, words: Words, screenshot: Screenshot) -> None:
    page.goto(shop.url)
    _seen(page, screenshot, "catalogue")
    page.get_by_role("button", name=words.add).first.click()
    page.get_by_role("status").first.wait_for()
    page.get_by_role("link", name=words.basket, exact=False).first.click()
    page.wait_for_url("**/basket/")
    _seen(page, screenshot, "basket")
    page.get_by_role("link", name=words.checkout).click()
    page.wait_for_url("**/checkout/")


def _pay(page: Page, words: Words, phone: str = "84 123 4567") -> None:
    page.get_by_label(words.phone).fill(phone)
    page.get_by_role("button", name=words.pay).click()


@pytest.mark.parametrize(
    ("words", "options"),
    [
        pytest.param(ENGLISH, {"locale": "en-GB"}, id="desktop-english"),
        pytest.param(
            PORTUGUESE, {"locale": "pt-MZ", "viewport": PHONE, "has_touch": True},
            id="phone-portuguese",
        ),
    ],
)  # fmt: skip
def test_a_purchase_that_the_customer_refuses_and_then_approves(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page],
    screenshot: Screenshot, words: Words, options: dict[str, object],
) -> None:  # fmt: skip
    mpesa_simulator.auto_approve = False
    page, phone = new_page(**options), new_page(**options)
    sign_in(phone, mpesa_simulator)
    phone.goto(f"{mpesa_simulator.portal_url}customers")
    _fill_basket(page, shop, words, screenshot)
    _seen(page, screenshot, "checkout")
    _pay(page, words, "12")
    page.get_by_text(words.wrong).wait_for()
    _seen(page, screenshot, "checkout-wrong-number")
    _pay(page, words)
    page.get_by_role("heading", name=words.waiting).wait_for()
    _seen(page, screenshot, "waiting")
    phone.get_by_role("button", name=words.refuse).click()
    page.get_by_role("heading", name=words.cancelled).wait_for()  # by itself
    _seen(page, screenshot, "cancelled")
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000

    page.get_by_label(words.phone).fill("84 123 4567")
    page.get_by_role("button", name=words.again).click()
    waiting = page.get_by_role("heading", name=words.waiting)
    waiting.wait_for()
    phone.get_by_role("button", name=words.approve).wait_for()
    page.reload()
    waiting.wait_for()
    assert phone.get_by_role("button", name=words.approve).count() == 1
    phone.get_by_role("button", name=words.approve).click()
    page.get_by_role("heading", name=words.paid).wait_for()
    _seen(page, screenshot, "paid")
    page.reload()
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 450


@pytest.mark.parametrize(
    ("words", "options"),
    [
        pytest.param(ENGLISH, {"locale": "en-GB"}, id="desktop-english"),
        pytest.param(PORTUGUESE, {"locale": "pt-MZ", "viewport": PHONE}, id="phone-portuguese"),
    ],
)
def test_a_payment_that_got_no_answer_is_found_while_the_customer_looks_on(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page],
    screenshot: Screenshot, words: Words, options: dict[str, object],
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    page = new_page(**options)
    _fill_basket(page, shop, words, screenshot)
    _pay(page, words)
    page.get_by_role("heading", name=words.checking).wait_for()
    page.reload()
    page.get_by_role("heading", name=words.checking).wait_for()
    assert page.get_by_label(words.phone).count() == 0  # nothing to pay again with
    _seen(page, screenshot, "checking")
    mpesa_simulator.callbacks.drain()
    shop.run(*shop.site.reconcile)
    page.get_by_role("heading", name=words.paid).wait_for()  # by itself
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 450


def test_an_api_key_that_was_renewed_without_telling_the_shop(
    site: Site, mpesa_simulator: Simulator, tmp_path: Path, new_page: Callable[..., Page],
    screenshot: Screenshot,
) -> None:  # fmt: skip
    # A gateway of its own: the other tests' shop would not know the new key either.
    directory = directory_with_key(mpesa_simulator, tmp_path / "gateway")
    with Simulator(directory) as simulator, running(
        site, simulator.state_dir / ACCOUNT_FILE, tmp_path / "shop"
    ) as shop:  # fmt: skip
        simulator.response_url = shop.callback_url
        page, owner = new_page(), new_page()
        _fill_basket(page, shop, ENGLISH, screenshot)
        sign_in(owner, simulator)
        owner.get_by_role("button", name="Renew API Key").click()
        owner.get_by_text("The old one no longer works").wait_for()
        _pay(page, ENGLISH)
        page.get_by_role("heading", name=ENGLISH.not_paid).wait_for()
        page.get_by_text("We cannot take M-Pesa payments just now").wait_for()
        page.get_by_text("No money was taken").wait_for()
        _seen(page, screenshot, "refused")
        assert simulator.ledger.transactions() == []
        owner.close()
        page.close()


@pytest.fixture(scope="module")
def history(served: Shop) -> None:
    if served.site is not DJANGO:
        pytest.skip("Flask-Admin's pages are others")
    served.run("shell", "-v", "0", "-c", HISTORY)


class TestOwner:
    """The owner of the Django shop, in its admin."""

    @pytest.fixture
    def admin(
        self, history: None, shop: Shop, new_page: Callable[..., Page]
    ) -> Callable[..., Page]:
        buy(shop)

        def open_page(**options: object) -> Page:
            page = new_page(**options)
            page.goto(f"{shop.url}/admin/django_mpesa/transaction/")
            page.locator("#id_username").fill("admin")
            page.locator("#id_password").fill(shop.admin_password)
            page.keyboard.press("Enter")
            page.locator("#result_list").wait_for()
            return page

        return open_page

    def test_gives_a_part_of_a_payment_back(
        self, admin: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot
    ) -> None:
        page = admin()
        mpesa_simulator.response_url = None  # so that the gateway says it at once
        page.locator("#result_list").get_by_text("Paid").first.wait_for()
        page.locator("#toggle-nav-sidebar").click()  # room for all columns
        screenshot(page, "admin-list")
        page.locator("#toggle-nav-sidebar").click()
        page.locator("#result_list tbody input[type=checkbox]").first.check()
        page.get_by_label("Action:").select_option("reverse")
        page.get_by_role("button", name="Go", exact=True).click()
        page.get_by_label("Amount to give back").fill("9000")
        page.get_by_role("button", name="Give the money back").click()
        page.get_by_text("at most 450.00 MZN").wait_for()
        assert problems(page) == []
        screenshot(page, "admin-reverse-too-much")
        page.get_by_label("Amount to give back").fill("100")
        page.get_by_role("button", name="Give the money back").click()
        page.get_by_text("100.00 MZN were given back, says the gateway").wait_for()
        page.get_by_text("Partly given back").first.wait_for()
        screenshot(page, "admin-payment")
        assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 350

    @pytest.mark.parametrize("size", ["desktop", "phone"])
    def test_looks_at_the_report(
        self, admin: Callable[..., Page], screenshot: Screenshot, size: str
    ) -> None:
        page = admin(**({"viewport": PHONE, "locale": "pt-MZ"} if size == "phone" else {}))
        page.get_by_role("link", name=re.compile("^(Report|Relatório)$")).click()
        page.wait_for_function(
            "globalThis.Chart?.getChart('mpesa-chart')?.data.datasets.length >= 2"
        )
        drawn = page.locator("#mpesa-chart").evaluate(
            "it => it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some(Boolean)"
        )
        assert drawn
        assert problems(page) == []
        assert not scrolls_sideways(page)
        screenshot(page, f"admin-report-{size}")
