from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from example_sites.browser import Browser, Page
from example_sites.demo import DJANGO, FLASK, Shop, Site, running
from example_sites.flask_shop.app import create_app
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE
from tests.support.waiting import until

PHONE = "84 123 4567"
MSISDN = "258841234567"


@dataclass(frozen=True)
class Open:
    """A shop that is open, and the gateway that it is paid by.

    Attributes:
        payments: the table of its payment records.
        callbacks: the table of its callbacks.
        price: of what `choose` chooses, in meticais.
    """

    shop: Shop
    simulator: Simulator
    payments: str
    callbacks: str
    price: int

    def choose(self, browser: Browser) -> Page:
        """Come to the page that asks for a phone number."""
        return self.shop.site.choose(browser)

    def order(self, browser: Browser, phone: str = PHONE) -> Page:
        page = self.choose(browser)
        return browser.submit(page, page.form("msisdn"), msisdn=phone)

    def reconcile(self) -> None:
        if self.shop.site is FLASK:
            _run_in_flask(self.shop, self.shop.site.reconcile)
        else:
            self.shop.run(*self.shop.site.reconcile)

    def charged(self) -> int:
        """How much the customer's wallet has given, in meticais."""
        balance = self.simulator.ledger.balance(MSISDN)
        return 0 if balance is None else int(100_000 - balance)

    def database(self, statement: str, *values: Any) -> list[Any]:
        with sqlite3.connect(self.shop.directory / "shop.sqlite3", timeout=20) as connection:
            found = connection.execute(statement, values).fetchall()
        connection.close()
        return found

    def latest_payment(self) -> tuple[str, str, str]:
        """Its state, conversation ID and third-party reference."""
        columns = "state, conversation_id, third_party_reference"
        (found,) = self.database(f"SELECT {columns} FROM {self.payments} ORDER BY id DESC LIMIT 1")
        state, conversation_id, reference = found
        return state, conversation_id, reference

    def latest_verdicts(self) -> list[str]:
        """Of the latest payment's callbacks."""
        rows = self.database(
            f"SELECT verdict FROM {self.callbacks} WHERE third_party_reference = ? ORDER BY id",
            self.latest_payment()[2],
        )
        return [verdict for (verdict,) in rows]

    def let_time_pass(self) -> None:
        """Make the latest payment's next check due."""
        # With a microsecond, as the frameworks write whole seconds differently.
        self.database(
            f"UPDATE {self.payments} SET next_check_at = '2020-01-01 00:00:00.000001'"
            f" WHERE id = (SELECT max(id) FROM {self.payments})"
        )


def _run_in_flask(shop: Shop, command: tuple[str, ...]) -> None:
    """Run one of the café's commands in this process, which is quicker than in one of its own."""
    app = create_app(shop.environment)
    # Not in the main thread: the command would take over pytest's Ctrl-C.
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(app.test_cli_runner().invoke, args=command).result()
    app.extensions["mpesa"].forget()
    assert result.exit_code == 0, result.output


def page_with_status(browser: Browser, page: Page, status: str) -> Page:
    until(lambda: browser.json(f"{page.url}status/")["status"] == status)
    return browser.get(page.url)


@pytest.fixture(scope="session")
def _serve(
    _mpesa_gateway: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Site], Shop]]:
    """Serves a shop from the first test that needs it until the last of all."""
    account_file = _mpesa_gateway.state_dir / ACCOUNT_FILE
    with ExitStack() as stack:

        @cache
        def serve(site: Site) -> Shop:
            directory = tmp_path_factory.mktemp(site.framework)
            return stack.enter_context(running(site, account_file, directory))

        yield serve


@pytest.fixture
def django_shop(_serve: Callable[[Site], Shop], mpesa_simulator: Simulator) -> Iterator[Open]:
    """The Django shop, served as in the demo, with an asynchronous account and an empty ledger."""
    tables = ("django_mpesa_transaction", "django_mpesa_callbacklog")
    yield from _opened(Open(_serve(DJANGO), mpesa_simulator, *tables, price=450))


@pytest.fixture
def flask_shop(_serve: Callable[[Site], Shop], mpesa_simulator: Simulator) -> Iterator[Open]:
    """The Flask café, in the same way."""
    tables = ("payment", "payment_callback")
    yield from _opened(Open(_serve(FLASK), mpesa_simulator, *tables, price=240))


@pytest.fixture(params=["django_shop", "flask_shop"], ids=["django", "flask"])
def open_shop(request: pytest.FixtureRequest) -> Open:
    """Each of them."""
    found: Open = request.getfixturevalue(request.param)
    return found


def _opened(opened: Open) -> Iterator[Open]:
    opened.simulator.response_url = opened.shop.callback_url
    yield opened
    # What is under way belongs to this test.
    opened.simulator.callbacks.drain()
