"""A real browser for the pages' tests: Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

    from mpesa_integrations.simulator import Simulator

_ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 700}

Screenshot = Callable[["Page", str], None]


def _chromium() -> str:
    found = os.environ.get("MPESA_TEST_CHROMIUM") or shutil.which("chromium")
    if found is None:
        text = "there is no chromium on this machine; name one in MPESA_TEST_CHROMIUM"
        if "CI" in os.environ:
            pytest.fail(text)
        pytest.skip(text)
    return found


# Not for the whole session: Playwright's event loop, while it runs, makes Django refuse its work.
@pytest.fixture(scope="module")
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


def problems(page: Page) -> list[str]:
    """What axe finds serious or critical, in words."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{row['id']} at {[node['target'] for node in row['nodes']]}"
        for row in found
        if row["impact"] in ("serious", "critical")
    ]


def scrolls_sideways(page: Page) -> bool:
    """Whether the page is wider than the window."""
    width = page.evaluate("document.documentElement.scrollWidth")
    return bool(width > page.viewport_size["width"])  # type: ignore[index]


def sign_in(page: Page, simulator: Simulator) -> None:
    """Sign in to the portal with the account that is ready."""
    page.goto(simulator.portal_url)
    english = page.get_by_label("Password", exact=True)
    field = english.or_(page.get_by_label("Palavra-passe", exact=True))
    field.fill(simulator.portal_account.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/portal/account")


@pytest.fixture
def screenshot(tmp_path: Path) -> Screenshot:
    """Save a picture of a page, whole, to `MPESA_SCREENSHOTS` or pytest's own directory."""
    directory = Path(os.environ.get("MPESA_SCREENSHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=directory / f"{name}.png", full_page=True)

    return take
