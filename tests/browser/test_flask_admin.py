"""The payments in Flask-Admin, as their owner looks at them and gives money back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, request
from flask_admin import Admin
from flask_babel import Babel
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import NullPool

from flask_mpesa import Mpesa
from flask_mpesa.admin import TransactionView
from flask_mpesa.handler_view import HandlerView
from flask_mpesa.records import CallbackLogMixin, OutboxMixin, Records, TransactionMixin
from mpesa_integrations import MpesaError
from mpesa_integrations.simulator import Simulator
from tests.flask.conftest import flat_config
from tests.support.chunked import SERVERS_OWN, serving

from .conftest import DESKTOP, PHONE, Screenshot, choose, problems, scrolls_sideways

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")
pytestmark = pytest.mark.filterwarnings(SERVERS_OWN)

PAYERS = ("841112222", "840000014", "840000001", "840000002", "851234567")


class ReversingView(TransactionView):
    can_reverse = True
    can_resolve = True


class RunningView(HandlerView):
    can_run_again = True


@pytest.fixture
def payments(mpesa_simulator: Simulator, tmp_path: Path) -> Iterator[str]:
    """The address of the list, with a payment of each kind in it."""
    db = SQLAlchemy(engine_options={"poolclass": NullPool, "connect_args": {"timeout": 20}})

    class Payment(TransactionMixin, db.Model):  # type: ignore[name-defined,misc]
        pass

    class PaymentCallback(CallbackLogMixin, db.Model):  # type: ignore[name-defined,misc]
        pass

    class PaymentOutboxEntry(OutboxMixin, db.Model):  # type: ignore[name-defined,misc]
        pass

    app = Flask("shop")
    uri = f"sqlite:///{tmp_path / 'shop.db'}"
    app.config.update(
        flat_config(mpesa_simulator, TIMEOUT=(30, 30)), SECRET_KEY="s", SQLALCHEMY_DATABASE_URI=uri,
        BABEL_DEFAULT_TIMEZONE="Africa/Maputo",
    )  # fmt: skip
    db.init_app(app)
    Babel(app, locale_selector=lambda: request.accept_languages.best_match(["pt", "en"]))
    records = Records(lambda: db.engine, Payment, PaymentCallback, PaymentOutboxEntry)
    mpesa = Mpesa(app, records=records)
    view: Any = ReversingView(Payment, db, name="M-Pesa", endpoint="payments")
    handlers: Any = RunningView(PaymentOutboxEntry, db, name="Handlers", endpoint="handlers")
    Admin(app, name="Café Acácia").add_views(view, handlers)

    @mpesa.handler("payment_completed", name="cafe.kitchen.prepare")
    def prepare(payment: Any) -> None:
        if payment.reference == "CAFE 1":
            raise TimeoutError

    def pay() -> None:
        with app.app_context():
            db.create_all()
            mpesa.b2c(msisdn="841234567", amount="1250", reference="WAGE 11")
            for number, payer in enumerate(PAYERS, 1):
                with suppress(MpesaError):  # it is in the list all the same
                    mpesa.c2b(msisdn=payer, amount=f"{75 * number}.50", reference=f"CAFE {number}")

    # This thread has the event loop that drives the browser.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pay).result()
    # Werkzeug's own server leaves a file open that a browser has asked for before it went away.
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}/admin/payments/"
    app.extensions["mpesa"].forget()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_owner_looks_at_payments(
    payments: str, new_page: Callable[..., Page], screenshot: Screenshot, size: str
) -> None:
    is_phone = size == "phone"
    page = new_page(
        locale="pt-PT" if is_phone else "en-GB", viewport=PHONE if is_phone else DESKTOP
    )
    page.goto(payments)
    page.get_by_text("Em verificação" if is_phone else "Being checked", exact=True).wait_for()
    assert not scrolls_sideways(page)
    screenshot(page, f"flask-admin-list-{size}")
    page.goto(f"{payments}details/?id=1")
    page.get_by_text("1.250,00" if is_phone else "1,250.00").wait_for()
    assert not scrolls_sideways(page)
    screenshot(page, f"flask-admin-payment-{size}")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_owner_gives_a_part_of_a_payment_back(
    payments: str, new_page: Callable[..., Page], mpesa_simulator: Simulator,
    screenshot: Screenshot, size: dict[str, int],
) -> None:  # fmt: skip
    page = new_page(viewport=size)
    page.goto(payments)
    page.locator("input.action-checkbox").first.check()
    choose(page, "reverse")
    page.get_by_label("Amount to give back").fill("9000")
    page.get_by_role("button", name="Give the money back").click()
    page.get_by_text("at most 375.50 MZN").wait_for()
    assert problems(page, "#mpesa-page") == []
    assert not scrolls_sideways(page)
    screenshot(page, f"flask-admin-reverse-{size['width']}")
    page.get_by_label("Amount to give back").fill("75.50")
    page.get_by_role("button", name="Give the money back").click()
    page.get_by_text("The reversal of 75.50 MZN is now: Paid").wait_for()
    page.get_by_text("75.50 MZN were given back").wait_for()
    assert problems(page, "#mpesa-page") == []
    assert not scrolls_sideways(page)
    screenshot(page, f"flask-admin-timeline-{size['width']}")
    assert mpesa_simulator.ledger.balance("258851234567") == 100_000 - 300


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_owner_decides_what_nobody_knows(
    payments: str, new_page: Callable[..., Page], screenshot: Screenshot, size: dict[str, int]
) -> None:
    page = new_page(viewport=size)
    page.goto(f"{payments}?search=CAFE+2")
    page.locator("a[href*=details]").first.click()
    page.get_by_text("no clear answer came").wait_for()
    page.get_by_role("link", name="Decide…").click()
    page.get_by_label("No money moved").check()
    page.get_by_label("Grounds").fill("statement of 3 May")
    page.get_by_label("Your name").fill("Ana")
    assert problems(page, "#mpesa-page") == []
    assert not scrolls_sideways(page)
    screenshot(page, f"flask-admin-resolve-{size['width']}")
    page.get_by_role("button", name="Decide").click()
    page.get_by_text("Decided by Ana: statement of 3 May").first.wait_for()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_handler_that_failed_is_looked_at_and_run_again(
    payments: str, new_page: Callable[..., Page], screenshot: Screenshot, size: dict[str, int]
) -> None:
    page = new_page(viewport=size, locale="pt-MZ" if size is PHONE else "en-GB")
    page.goto(payments.replace("/payments/", "/handlers/"))
    page.get_by_text("TimeoutError in prepare").wait_for()
    assert not scrolls_sideways(page)
    screenshot(page, f"flask-admin-handlers-{size['width']}")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("input.action-checkbox").first.check()
    choose(page, "run_again")
    page.get_by_text("cafe.kitchen.prepare: ").wait_for()
