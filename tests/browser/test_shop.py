"""A shop as its customer and its owner use it: in a browser, with a phone that asks for the PIN."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from example_sites.demo import DJANGO, Shop, Site, buy, running
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE
from tests.shops.conftest import MSISDN
from tests.support.gateways import directory_with_key
from tests.support.waiting import until

from . import purchases
from .conftest import PHONE, Screenshot, look_at, problems, scrolls_sideways, sign_in

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
    amount = 1250 if n == 0 else 100 + 37 * (n * 7 % 23)
    made = rows.make(
        operation="b2c" if n % 6 == 1 else "c2b", state=state, amount=amount,
        msisdn=f"25884{n * 7919 % 10**7:07}", reference=f"ORDER {1000 + n}",
        third_party_reference=f"HISTORY{n}", transaction_id=f"4XDF{n:05}",
    )
    at = timezone.now() - timedelta(days=1 + n * n % 29, minutes=n)
    ended = at + timedelta(seconds=4 + n % 17)
    rows.change(Transaction.objects.filter(pk=made.pk), created_at=at, updated_at=ended)
"""
"""A month of payments in the owner's past."""
HANDLERS = """
from django.utils import timezone
from django_mpesa.models import OutboxEntry, Transaction
for n, payment in enumerate(Transaction.objects.filter(state="completed")[:3]):
    OutboxEntry.objects.update_or_create(id=f"{n:032}", defaults=dict(
        account="default", event="payment_completed", transaction=payment, sequence=1,
        handler="shop.gone.send_receipt", attempts=3 + n, due_at=timezone.now(),
        problem="SMTPServerDisconnected in getreply, line 412",
    ))
"""
"""Handlers that were renamed, in an earlier version of the shop."""


@dataclass(frozen=True, kw_only=True)
class Words(purchases.Words):
    add: str
    basket: str
    checkout: str
    wrong: str
    checking: str
    not_paid: str


ENGLISH = Words(
    **purchases.ENGLISH,
    add="Add to basket", basket="Basket", checkout="Pay with M-Pesa", wrong="this one has 2",
    pay="Pay 450.00 MZN", checking="We are checking your payment", not_paid="It was not paid",
)  # fmt: skip
PORTUGUESE = Words(
    **{**purchases.PORTUGUESE, "waiting": "Confirme no telefone com o seu PIN"},
    add="Pôr no cesto", basket="Cesto", checkout="Pagar com M-Pesa", wrong="este tem 2",
    pay="Pagar 450,00 MZN", checking="Estamos a verificar o seu pagamento", not_paid="Não foi pago",
)  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Site:
    return DJANGO


def _seen(page: Page, screenshot: Screenshot, name: str) -> None:
    look_at(page, screenshot, f"shop-{name}-{page.locator('html').get_attribute('lang')}")


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


@purchases.in_both_languages(ENGLISH, PORTUGUESE)
def test_a_purchase_that_the_customer_refuses_and_then_approves(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page],
    screenshot: Screenshot, words: Words, options: dict[str, object],
) -> None:  # fmt: skip
    def seen(name: str) -> None:
        _seen(page, screenshot, name)

    phone = purchases.open_phone(new_page, mpesa_simulator, options)
    page = new_page(**options)
    _fill_basket(page, shop, words, screenshot)
    seen("checkout")
    purchases.pay(page, words, "12")
    page.get_by_text(words.wrong).wait_for()
    seen("checkout-wrong-number")
    purchases.refuse_and_then_approve(page, phone, mpesa_simulator, words, seen)
    seen("paid")
    page.reload()
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 450


@purchases.in_both_languages(ENGLISH, PORTUGUESE)
def test_a_payment_that_got_no_answer_is_found_while_the_customer_looks_on(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page],
    screenshot: Screenshot, words: Words, options: dict[str, object],
) -> None:  # fmt: skip
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    page = new_page(**options)
    _fill_basket(page, shop, words, screenshot)
    purchases.pay(page, words)
    page.get_by_role("heading", name=words.checking).wait_for()
    page.reload()
    page.get_by_role("heading", name=words.checking).wait_for()
    assert page.get_by_label(words.phone).count() == 0  # nothing to pay again with
    _seen(page, screenshot, "checking")
    mpesa_simulator.callbacks.drain()
    shop.run(*shop.site.reconcile)
    page.get_by_role("heading", name=words.paid).wait_for()  # by itself
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 450


def test_paying_shows_at_once_that_m_pesa_is_asked(
    shop: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page], screenshot: Screenshot
) -> None:
    mpesa_simulator.response_url = None
    page = new_page(viewport=PHONE)
    _fill_basket(page, shop, ENGLISH, screenshot)
    page.get_by_text("The next page may take a minute").wait_for()  # without a script, too
    purchases.press_pay_twice(page, mpesa_simulator, ENGLISH, screenshot, "shop-asking-en-375")


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
        owner.get_by_role("link", name="Renew API Key").click()
        owner.get_by_role("button", name="Renew it now").click()
        owner.get_by_text("The old one no longer works").wait_for()
        purchases.pay(page, ENGLISH)
        page.get_by_role("heading", name=ENGLISH.not_paid).wait_for()
        page.get_by_text("We cannot take M-Pesa payments just now").wait_for()
        page.get_by_text("No money was taken").wait_for()
        _seen(page, screenshot, "refused")
        assert simulator.ledger.transactions() == []
        owner.close()
        page.close()


@pytest.fixture(scope="module")
def history(served: Shop) -> None:
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
        screenshot(page, "admin-list")
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
        assert problems(page, "#content-main") == []
        screenshot(page, "admin-payment")
        assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 350

    @pytest.mark.parametrize("size", ["desktop", "phone"])
    def test_sees_what_payments_are_known_by(
        self, admin: Callable[..., Page], screenshot: Screenshot, size: str
    ) -> None:
        page = admin(**({"viewport": PHONE, "locale": "pt-MZ"} if size == "phone" else {}))
        assert page.locator("#nav-sidebar").is_visible() == (size == "desktop")
        shown = page.locator("#changelist .results").bounding_box()
        assert shown is not None
        names = ["reference", "amount", "badge", "transaction_id"]
        names += ["created_at", "msisdn", "operation"] if size == "phone" else []
        for name in names:
            for cell in page.locator(f"#result_list .field-{name}").all()[:5]:
                box = cell.bounding_box()
                assert box is not None
                assert box["x"] + box["width"] <= shown["x"] + shown["width"], name
                assert cell.evaluate("it => it.scrollWidth <= it.clientWidth"), name
        amount = "1.250,00" if size == "phone" else "1,250.00"
        page.locator("#result_list .field-amount").get_by_text(amount, exact=True).wait_for()
        assert problems(page, "#changelist-form") == []
        assert problems(page, "#changelist-filter") == []
        assert not scrolls_sideways(page)
        screenshot(page, f"admin-list-{size}")

    @pytest.mark.parametrize("size", ["desktop", "phone"])
    def test_looks_at_the_report(
        self, admin: Callable[..., Page], screenshot: Screenshot, size: str
    ) -> None:
        page = admin(**({"viewport": PHONE, "locale": "pt-MZ"} if size == "phone" else {}))
        page.get_by_role("link", name=re.compile("^(Report|Relatório)$")).click()
        until(
            lambda: page.evaluate(
                "globalThis.Chart?.getChart('mpesa-chart')?.data.datasets.length >= 2"
            )
        )
        drawn = (
            "it => it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some(Boolean)"
        )
        until(lambda: page.locator("#mpesa-chart").evaluate(drawn))
        assert problems(page) == []
        assert not scrolls_sideways(page)
        screenshot(page, f"admin-report-{size}")

    @pytest.mark.parametrize("size", ["desktop", "phone"])
    def test_runs_a_handler_again(
        self, admin: Callable[..., Page], shop: Shop, screenshot: Screenshot, size: str
    ) -> None:
        shop.run("shell", "-v", "0", "-c", HANDLERS)
        page = admin(**({"viewport": PHONE, "locale": "pt-MZ"} if size == "phone" else {}))
        page.goto(f"{shop.url}/admin/django_mpesa/outboxentry/?waits=handler")
        rows = page.locator("#result_list tbody tr")
        assert rows.count() == 3
        assert not scrolls_sideways(page)
        screenshot(page, f"admin-handlers-{size}")
        rows.locator("input[type=checkbox]").first.check()
        page.locator("select[name=action]").select_option("run_again")
        page.locator("button[name=index]").click()
        page.get_by_text("shop.gone.send_receipt: ").wait_for()
        page.locator("#result_list tbody .field-payment a").first.click()
        page.get_by_text("SMTPServerDisconnected").first.wait_for()
        assert not scrolls_sideways(page)
        screenshot(page, f"admin-payment-handlers-{size}")
