"""A real browser for the pages' tests: Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from example_sites.demo import Shop, Site, running
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE
from tests.shops.conftest import Open, opened
from tests.support.raw import RawClient

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

_ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 700}

Screenshot = Callable[["Page", str], None]

_IN_A_HURRY = """
if (!location.pathname.startsWith("/portal")) {
  const later = globalThis.setTimeout;
  globalThis.setTimeout = (call, wait, ...values) =>
    later(call, wait === 1000 || wait === 1200 ? wait / 5 : wait, ...values);
}
"""
"""What a shop's page asks every second, and does a second after news, comes five times as soon."""


def _chromium() -> str:
    # The shell has no window of its own, and takes half the time of the whole browser.
    found = os.environ.get("MPESA_TEST_CHROMIUM")
    found = found or shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if found is None:
        text = "there is no chromium on this machine; name one in MPESA_TEST_CHROMIUM"
        if "CI" in os.environ:
            pytest.fail(text)
        pytest.skip(text)
    return found


# Not for the whole session: Playwright's event loop, while it runs, makes Django refuse its work.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = _chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield started
        started.close()


def _complaint(message: ConsoleMessage) -> list[str]:
    # An HTTP status of 400 or more is the answer to a wrong form; a broken policy or script is not.
    is_status = message.text.startswith("Failed to load resource")
    return [message.text] if message.type == "error" and not is_status else []


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page in a context of its own; fails the test if a script of the page did."""
    contexts = []
    errors: list[str] = []
    lost: list[str] = []

    def open_page(**options: Any) -> Page:
        settings = {"viewport": DESKTOP, "ignore_https_errors": True, "locale": "en-GB", **options}
        context = browser.new_context(**settings)
        context.set_default_timeout(30_000)
        context.add_init_script(_IN_A_HURRY)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfailed", lambda it: lost.append(f"{it.url}: {it.failure}"))
        page.on("console", lambda message: errors.extend(_complaint(message)))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == [], lost


def choose(page: Page, action: str) -> None:
    """Choose what Flask-Admin's list does with the rows that are ticked.

    Its script comes after the rows: a box can be ticked before there is anything to choose.
    """
    page.wait_for_load_state()
    page.evaluate("action => modelActions.execute(action)", action)


def problems(page: Page, within: str | None = None) -> list[str]:
    """What axe finds serious or critical, in words.

    Args:
        page: it is looked at as it now is.
        within: a selector of what is looked at; None means all.
    """
    from axe_playwright_python.sync_playwright import Axe

    page.wait_for_load_state()
    found = Axe().run(page, context=within).response["violations"]
    return [
        f"{row['id']} at {[node['target'] for node in row['nodes']]}"
        for row in found
        if row["impact"] in ("serious", "critical")
    ]


def scrolls_sideways(page: Page) -> bool:
    """Whether the page, with all its styles, is wider than the window."""
    page.wait_for_load_state()
    width = page.evaluate("document.documentElement.scrollWidth")
    return bool(width > page.viewport_size["width"])  # type: ignore[index]


def look_at(page: Page, screenshot: Screenshot, name: str) -> None:
    """Find a page accessible and within the screen, and take a picture of it."""
    size = page.viewport_size or DESKTOP
    assert problems(page) == [], name
    assert not scrolls_sideways(page), name
    screenshot(page, f"{name}-{size['width']}")


def sign_in(page: Page, simulator: Simulator) -> None:
    """Sign in to the portal with the account that is ready."""
    page.goto(simulator.portal_url)
    english = page.get_by_label("Password", exact=True)
    field = english.or_(page.get_by_label("Palavra-passe", exact=True))
    field.fill(simulator.portal_account.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/portal/account")


def go(page: Page, simulator: Simulator, path: str) -> None:
    """Go to a page of the portal."""
    page.goto(f"{simulator.portal_url}{path}")


@pytest.fixture(scope="module")
def has_worker() -> bool:
    """Whether a worker runs beside the shop; a module whose shop has one says so."""
    return False


@pytest.fixture(scope="module")
def served(
    site: Site,
    has_worker: bool,
    _mpesa_gateway: Simulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """The shop that a module's own fixture `site` names, for all of its tests."""
    account_file = _mpesa_gateway.state_dir / ACCOUNT_FILE
    directory = tmp_path_factory.mktemp("shop")
    with running(site, account_file, directory, has_worker=has_worker) as shop:
        yield shop


@pytest.fixture
def open_shop(served: Shop, mpesa_simulator: Simulator) -> Iterator[Open]:
    """That shop, with an asynchronous account and an empty ledger."""
    yield from opened(served, mpesa_simulator)


@pytest.fixture
def shop(open_shop: Open) -> Shop:
    return open_shop.shop


@pytest.fixture
def some_calls(mpesa_simulator: Simulator) -> Iterator[None]:
    """Calls for the portal's pages to show."""
    raw = RawClient(mpesa_simulator)
    for msisdn in ("258841234567", "258851112223", "258840000001", "258840000002"):
        raw.call("c2b", input_CustomerMSISDN=msisdn, input_TransactionReference="INVOICE 7")
    raw.call("b2c")
    raw.session.close()
    yield
    mpesa_simulator.reset()


@pytest.fixture
def signed_in(new_page: Callable[..., Page], mpesa_simulator: Simulator) -> Callable[..., Page]:
    """Open a page of the portal in a context of its own, signed in."""

    def open_page(**options: object) -> Page:
        page = new_page(**options)
        sign_in(page, mpesa_simulator)
        return page

    return open_page


@pytest.fixture
def screenshot(tmp_path: Path) -> Screenshot:
    """Save a picture of a page, whole, to `MPESA_SCREENSHOTS` or pytest's own directory."""
    directory = Path(os.environ.get("MPESA_SCREENSHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=directory / f"{name}.png", full_page=True)

    return take
