"""The café as its customer uses it: in a browser, with a phone that asks for the PIN."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from example_sites.demo import FLASK, Shop, running, serving
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE
from tests.support.gateways import directory_with_key

from .conftest import DESKTOP, PHONE, Screenshot, problems, scrolls_sideways, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")

MSISDN = "258841234567"


class Words(NamedTuple):
    """What the pages say in one language."""

    order: str
    phone: str
    pay: str
    waiting: str
    refuse: str
    cancelled: str
    again: str
    approve: str
    paid: str


ENGLISH = Words(
    "Order", "Phone number with M-Pesa", "Pay 240", "Confirm on your phone with your PIN",
    "Refuse", "You cancelled the payment", "Try again", "Approve", "Thank you, it is paid",
)  # fmt: skip
PORTUGUESE = Words(
    "Encomendar", "Número de telefone com M-Pesa", "Pagar 240",
    "Confirme no seu telefone com o seu PIN", "Recusar", "Cancelou o pagamento", "Tentar de novo",
    "Aprovar", "Obrigado, está pago",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(_mpesa_gateway: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    account_file = _mpesa_gateway.state_dir / ACCOUNT_FILE
    with running(FLASK, account_file, tmp_path_factory.mktemp("cafe")) as shop:
        yield shop


@pytest.fixture
def cafe(served: Shop, mpesa_simulator: Simulator) -> Iterator[Shop]:
    """The café with an asynchronous account and an empty ledger."""
    mpesa_simulator.response_url = served.callback_url
    yield served
    mpesa_simulator.phones.reset()
    mpesa_simulator.callbacks.drain()


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
def test_an_order_that_the_customer_refuses_and_then_approves(
    cafe: Shop, mpesa_simulator: Simulator, new_page: Callable[..., Page],
    screenshot: Screenshot, words: Words, options: dict[str, object],
) -> None:  # fmt: skip
    def seen(name: str) -> None:
        size = page.viewport_size or DESKTOP
        assert problems(page) == [], name
        assert not scrolls_sideways(page), name
        screenshot(page, f"cafe-{name}-{size['width']}")

    mpesa_simulator.auto_approve = False
    page, phone = new_page(**options), new_page(**options)
    sign_in(phone, mpesa_simulator)
    phone.goto(f"{mpesa_simulator.portal_url}customers")
    page.goto(cafe.url)
    seen("menu")
    page.locator("#galao").fill("2")
    page.get_by_role("button", name=words.order, exact=True).click()
    page.get_by_label(words.phone).fill("84 123 4567")
    seen("order")
    page.get_by_role("button", name=re.compile(words.pay)).click()
    page.get_by_role("heading", name=words.waiting).wait_for()
    seen("waiting")
    phone.get_by_role("button", name=words.refuse).click()
    page.get_by_role("heading", name=words.cancelled).wait_for()  # by itself
    seen("cancelled")
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000

    page.get_by_label(words.phone).fill("84 123 4567")
    page.get_by_role("button", name=words.again).click()
    waiting = page.get_by_role("heading", name=words.waiting)
    waiting.wait_for()
    page.reload()
    waiting.wait_for()
    phone.get_by_role("button", name=words.approve).click()
    page.get_by_role("heading", name=words.paid).wait_for()
    seen("paid")
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 240
    page.close()
    phone.close()


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
            owner.get_by_role("button", name="Renew API Key").click()
            owner.get_by_text("The old one no longer works").wait_for()
            page.get_by_label(ENGLISH.phone).fill("84 123 4567")
            page.get_by_role("button", name=re.compile(ENGLISH.pay)).click()
            page.get_by_role("heading", name="It was not paid").wait_for()
            page.get_by_text("We cannot take M-Pesa payments at the moment").wait_for()
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
