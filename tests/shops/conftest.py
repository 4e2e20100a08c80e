from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from html import unescape
from typing import Any

import pytest
import requests

from example_sites.browser import Browser, Page
from example_sites.demo import DJANGO, FASTAPI, FLASK, Shop, Site, running
from example_sites.flask_shop.app import create_app
from example_sites.https_server import CA_FILE
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
        outbox: the table of what is still to be done.
        orders: the table of its orders.
        sent: the column of those that says since when an order is being made ready.
        reverse: the command that gives money back.
        price: of what `choose` chooses, in meticais.
    """

    shop: Shop
    simulator: Simulator
    payments: str
    callbacks: str
    outbox: str
    orders: str
    sent: str
    reverse: tuple[str, ...]
    price: int

    def choose(self, browser: Browser) -> Page:
        """Come to the page that asks for a phone number."""
        return self.shop.site.choose(browser)

    def order(self, browser: Browser, phone: str = PHONE) -> Page:
        page = self.choose(browser)
        return browser.submit(page, page.form("msisdn"), msisdn=phone)

    def run(self, *command: str) -> None:
        if self.shop.site is FLASK:
            _run_in_flask(self.shop, command)
        else:
            self.shop.run(*command)

    def reconcile(self) -> None:
        self.run(*self.shop.site.reconcile)

    def give_back(self, amount: str, scenario: str = "normal") -> None:
        """Give a part of the latest payment back, by the command that the staff has."""
        select = f"SELECT transaction_id FROM {self.payments} WHERE operation = 'c2b'"
        ((transaction_id,),) = self.database(f"{select} ORDER BY id DESC LIMIT 1")
        if scenario != "normal":
            self.simulator.scenarios.queue(scenario, operation="reversal")
        self.run(*self.reverse, transaction_id, "--amount", amount)

    def call_back(self, token: str, conversation_id: str, reference: str) -> int:
        """Post a callback that claims a success, as anybody on the network could."""
        body = {
            "input_OriginalConversationID": conversation_id,
            "input_ThirdPartyReference": reference,
            "input_TransactionID": "F0RGED",
            "input_ResultCode": "0",
            "input_ResultDesc": "Request processed successfully",
        }
        response = requests.post(
            f"{self.shop.url}/mpesa/callback/{token}/",
            json=body,
            verify=str(self.shop.directory / CA_FILE),
            timeout=10,
        )
        return response.status_code

    def is_made_ready(self) -> bool:
        """Whether the latest order is being packed, or is in the kitchen."""
        ((since,),) = self.database(
            f"SELECT {self.sent} FROM {self.orders} ORDER BY id DESC LIMIT 1"
        )
        return since is not None

    @contextmanager
    def orders_cannot_be_written(self) -> Iterator[None]:
        """Have the database refuse what a handler writes."""
        self.database(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON {self.orders} "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        try:
            yield
        finally:
            self.database("DROP TRIGGER refuse")

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
        """Make the latest payment's next check due, and what is to be done once more."""
        # With a microsecond, as the frameworks write whole seconds differently.
        self.database(
            f"UPDATE {self.payments} SET next_check_at = '2020-01-01 00:00:00.000001'"
            f" WHERE id = (SELECT max(id) FROM {self.payments})"
        )
        self.database(f"UPDATE {self.outbox} SET due_at = '2020-01-01 00:00:00.000001'")


_TABLES: dict[Site, Any] = {
    DJANGO: {
        "payments": "django_mpesa_transaction",
        "callbacks": "django_mpesa_callbacklog",
        "outbox": "django_mpesa_outboxentry",
        "orders": "shop_order",
        "sent": "packed_at",
        "reverse": ("mpesa_reverse",),
        "price": 450,
    },
    FLASK: {
        "payments": "payment",
        "callbacks": "payment_callback",
        "outbox": "payment_outbox_entry",
        "orders": '"order"',
        "sent": "in_kitchen_since",
        "reverse": ("mpesa", "reverse"),
        "price": 240,
    },
    FASTAPI: {
        "payments": "payment",
        "callbacks": "payment_callback",
        "outbox": "payment_outbox_entry",
        "orders": "booking",
        "sent": "ticketed_at",
        "reverse": ("reverse",),
        "price": 100,
    },
}


def _run_in_flask(shop: Shop, command: tuple[str, ...]) -> None:
    """Run one of the café's commands in this process, which is quicker than in one of its own."""
    app = create_app(shop.environment)
    # Not in the main thread: the command would take over pytest's Ctrl-C.
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(app.test_cli_runner().invoke, args=command).result()
    app.extensions["mpesa"].forget()
    assert result.exit_code == 0, result.output


def page_with_status(browser: Browser, page: Page, status: str) -> Page:
    """Wait until a page shows a status, and until its script would be told of something new."""
    if page.asks and page.shown != status:
        asked = page.asks
        until(lambda: browser.json(asked)["message"] not in unescape(page.text))
    until(lambda: browser.get(page.url).shown == status)
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
    yield from opened(_serve(DJANGO), mpesa_simulator)


@pytest.fixture
def flask_shop(_serve: Callable[[Site], Shop], mpesa_simulator: Simulator) -> Iterator[Open]:
    """The Flask café, in the same way."""
    yield from opened(_serve(FLASK), mpesa_simulator)


@pytest.fixture
def fastapi_shop(_serve: Callable[[Site], Shop], mpesa_simulator: Simulator) -> Iterator[Open]:
    """The boat tickets, in the same way."""
    yield from opened(_serve(FASTAPI), mpesa_simulator)


@pytest.fixture(params=["django_shop", "flask_shop"], ids=["django", "flask"])
def open_shop(request: pytest.FixtureRequest) -> Open:
    """Each of them."""
    found: Open = request.getfixturevalue(request.param)
    return found


def opened(shop: Shop, simulator: Simulator) -> Iterator[Open]:
    """Open a shop that is served, for one test."""
    simulator.response_url = shop.callback_url
    yield Open(shop, simulator, **_TABLES[shop.site])
    # What is under way belongs to this test.
    simulator.phones.reset()
    simulator.callbacks.drain()
