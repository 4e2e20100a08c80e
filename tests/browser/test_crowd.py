"""Sixty customers at the prompt at once, in each shop, while its catalogue answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from example_sites.demo import DJANGO, FLASK, Site, running
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE
from tests.shops.conftest import Open, opened
from tests.support.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from example_sites.browser import Browser
    from example_sites.browser import Page as PlainPage

pytest.importorskip("playwright")

CUSTOMERS = 60
AT_ONCE = 8
"""Customers who press a button in the same moment: the machine is shared."""
PRODUCT = {DJANGO: "Add to basket", FLASK: "Order"}


@pytest.fixture(params=[DJANGO, FLASK], ids=["django", "flask"])
def crowded(
    request: pytest.FixtureRequest,
    mpesa_simulator: Simulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Open]:
    """The Django shop, whose worker waits with each customer; the café, which is called back."""
    site: Site = request.param
    has_worker = site is DJANGO
    account_file = mpesa_simulator.state_dir / ACCOUNT_FILE
    directory = tmp_path_factory.mktemp("crowded")
    worked = replace(site, worker=(*site.worker, "--concurrency", str(CUSTOMERS)))
    with (
        running(worked, account_file, directory, has_worker=has_worker) as shop,
        contextmanager(opened)(replace(shop, site=site), mpesa_simulator) as found,
    ):
        if has_worker:
            mpesa_simulator.response_url = None  # each call waits for its PIN
        mpesa_simulator.auto_approve = False
        yield found


def test_the_catalogue_answers_while_sixty_customers_are_at_the_prompt(
    crowded: Open, new_page: Callable[..., Page]
) -> None:
    simulator, phones = crowded.simulator, crowded.simulator.phones
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        customers = [stack.enter_context(crowded.shop.browser()) for _ in range(CUSTOMERS)]
        phone_numbers = [f"84 {1234000 + number}" for number in range(CUSTOMERS)]
        orders = list(pool.map(crowded.order, customers, phone_numbers))
        until(lambda: len(phones.waiting) == CUSTOMERS, seconds=90)

        page = new_page()
        page.goto(crowded.shop.url)
        page.get_by_role("button", name=PRODUCT[crowded.shop.site]).first.wait_for()
        shown = list(pool.map(_shown, customers, orders))
        assert len(phones.waiting) == CUSTOMERS, "all that was while they were asked"
        assert set(shown) == {"waiting"}

        for prompt in phones.waiting:
            phones.approve(prompt.transaction.conversation_id)
        until(lambda: _states(crowded) == {"completed"}, seconds=90)
        assert set(pool.map(_shown, customers, orders)) == {"completed"}

    booked = simulator.ledger.transactions()
    assert {transaction.status for transaction in booked} == {"Completed"}
    recorded = crowded.database(f"SELECT third_party_reference, amount FROM {crowded.payments}")
    assert len(recorded) == CUSTOMERS
    assert {reference: Decimal(str(amount)) for reference, amount in recorded} == {
        transaction.third_party_reference: transaction.amount for transaction in booked
    }
    for number in phone_numbers:
        balance = simulator.ledger.balance(f"258{number.replace(' ', '')}")
        assert balance == 100_000 - crowded.price


def _states(crowded: Open) -> set[str]:
    return {state for (state,) in crowded.database(f"SELECT state FROM {crowded.payments}")}


def _shown(customer: Browser, order: PlainPage) -> str:
    return customer.get(order.url).shown
