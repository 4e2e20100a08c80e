"""The developer portal as a person uses it: in a browser, by mouse and keyboard, on a phone too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mpesa_integrations import MpesaClient
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.simulator import Simulator
from tests.support.endpoint import listening
from tests.support.raw import RawClient, new_reference

from .conftest import PHONE, Screenshot, problems, scrolls_sideways, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")

PAGES = {
    "account": "account", "apis": "apis", "api": "apis/c2b?sample=curl",
    "request-box": "request-box/c2b", "reports": "reports?period=hour", "customers": "customers",
    "log": "log", "outbox": "outbox",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _calls(mpesa_simulator: Simulator) -> Iterator[None]:
    raw = RawClient(mpesa_simulator)
    for msisdn in ("258841234567", "258851112223", "258840000001", "258840000002"):
        raw.call("c2b", input_CustomerMSISDN=msisdn, input_TransactionReference="INVOICE 7")
    raw.call("b2c")
    raw.session.close()
    yield
    mpesa_simulator.reset()


@pytest.fixture
def signed_in(new_page: Callable[..., Page], mpesa_simulator: Simulator) -> Callable[..., Page]:
    def open_page(**options: object) -> Page:
        page = new_page(**options)
        sign_in(page, mpesa_simulator)
        return page

    return open_page


@pytest.fixture
def page(signed_in: Callable[..., Page]) -> Page:
    return signed_in()


def _go(page: Page, simulator: Simulator, path: str) -> None:
    page.goto(f"{simulator.portal_url}{path}")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"color_scheme": "light"}, id="desktop"),
        pytest.param(
            {"color_scheme": "dark", "locale": "pt-MZ", "viewport": PHONE, "has_touch": True},
            id="phone",
        ),
    ],
)
def test_every_page_is_accessible_and_fits(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot,
    options: dict[str, object],
) -> None:  # fmt: skip
    page = signed_in(**options)
    for name, path in PAGES.items():
        _go(page, mpesa_simulator, path)
        assert problems(page) == [], name
        assert not scrolls_sideways(page), name
        screenshot(page, f"{name}-{page.viewport_size['width']}")  # type: ignore[index]


def test_signing_up_by_hand(
    new_page: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot
) -> None:
    page = new_page()
    page.goto(mpesa_simulator.portal_url)
    assert problems(page) == []
    screenshot(page, "sign-in")
    page.get_by_role("link", name="Sign up for an account").click()
    email = f"{new_reference().lower()}@example.com"
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Mobile number").fill("12")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign up").click()
    page.get_by_text("Write a mobile number").wait_for()
    assert problems(page) == []
    screenshot(page, "sign-up")
    page.get_by_label("Mobile number").fill("84 123 4567")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign up").click()
    screenshot(page, "outbox-with-letter")
    page.get_by_role("link", name=f"Activate {email}").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="API Key").wait_for()


def test_a_key_renewed_midway(page: Page, mpesa_simulator: Simulator) -> None:
    with MpesaClient(mpesa_simulator.config) as client:
        client.c2b(msisdn="841234567", amount=1, reference="R1")
        old = page.locator("#api-key").input_value()
        page.get_by_role("button", name="Renew API Key").click()
        page.get_by_text("The old one no longer works").wait_for()
        new = page.locator("#api-key").input_value()
        assert new != old
        raw = RawClient(mpesa_simulator)
        raw.token = "x"
        assert raw.code("c2b") == "INS-2"
        raw.session.close()
        client.renew(api_key=new)
        client.c2b(msisdn="841234567", amount=1, reference="R2")


def test_keys_are_copied(page: Page, mpesa_simulator: Simulator) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the Public Key").click()
    page.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == mpesa_simulator.account.public_key


def test_the_response_url_wrong_right_tried_and_cleared(
    page: Page, mpesa_simulator: Simulator, tmp_path: Path, screenshot: Screenshot
) -> None:
    field = page.get_by_role("textbox", name="Asynchronous Response URL")
    field.fill("https://127.0.0.1:8000/callback")
    page.get_by_role("button", name="Update").click()
    page.get_by_role("alert").get_by_text("11000 to 19000").wait_for()
    assert field.input_value() == "https://127.0.0.1:8000/callback"
    assert problems(page) == []
    screenshot(page, "account-wrong-url")
    with listening(tmp_path) as endpoint:
        field.fill(endpoint.url)
        page.get_by_role("button", name="Update").click()
        page.get_by_text("you are in asynchronous mode").wait_for()
        page.get_by_role("button", name="Send a test callback").click()
        page.get_by_text("answered as the gateway requires").wait_for()
        assert problems(page) == []
        screenshot(page, "account-test-callback")
    field.fill("")
    page.get_by_role("button", name="Update").click()
    page.get_by_text("you are in synchronous mode").wait_for()
    assert mpesa_simulator.response_url is None


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_request_box(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot, size: str
) -> None:
    page = signed_in(**({"viewport": PHONE} if size == "phone" else {}))
    _go(page, mpesa_simulator, "apis/c2b")
    page.get_by_role("link", name="Open in the Request Box").click()
    body = page.get_by_label("Parameters (JSON)")
    body.fill(body.input_value().replace("150.00", "42.50"))
    page.get_by_role("button", name="Send Request").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("INS-0: Request processed successfully").wait_for()
    assert dialog.get_by_text("input_Amount").is_visible()
    assert dialog.get_by_text("42.50").is_visible()
    assert dialog.get_by_text("output_TransactionID").is_visible()
    token = page.get_by_label("Bearer").input_value()
    assert dialog.get_by_text(token).is_visible()
    assert problems(page) == []
    page.wait_for_timeout(50)
    screenshot(page, f"request-box-answer-{size}")
    page.keyboard.press("Escape")
    page.get_by_role("link", name=re.compile("INS-0")).first.click()
    dialog.get_by_text("42.50").wait_for()
    assert token not in dialog.inner_text()
    dialog.get_by_role("button", name="Close").click()
    page.get_by_label("Bearer").fill("wrong")
    page.get_by_role("button", name="Send Request").click()
    dialog.get_by_text("INS-2: Invalid API Key").wait_for()


def test_each_operation_is_sent_as_it_is_filled_in(page: Page, mpesa_simulator: Simulator) -> None:
    for name in OPERATIONS:
        _go(page, mpesa_simulator, f"request-box/{name}")
        page.get_by_role("button", name="Send Request").click()
        page.get_by_role("dialog").get_by_text("INS-0: Request").wait_for()


def test_reports_are_narrowed_and_exported(page: Page, mpesa_simulator: Simulator) -> None:
    page.get_by_role("link", name="Reports").click()
    page.get_by_role("heading", name="5 calls").wait_for()
    page.wait_for_function("Chart.getChart('chart').data.datasets.length === 3")
    page.get_by_role("combobox", name="Outcome").select_option("cancelled")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="1 call").wait_for()
    assert page.locator("#calls-table tbody tr").inner_text().count("INS-5") == 1
    page.get_by_role("combobox", name="Outcome").select_option("")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Amount").click()
    assert (
        page.get_by_role("columnheader", name="Amount").get_attribute("aria-sort") == "descending"
    )
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    assert download.value.suggested_filename == "mpesa-calls.csv"
    assert len(download.value.path().read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("button", "code", "size"), [("Approve", "INS-0", "desktop"), ("Refuse", "INS-5", "phone")]
)
def test_a_payment_on_the_customers_phone(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot,
    button: str, code: str, size: str,
) -> None:  # fmt: skip
    page = signed_in(**({"viewport": PHONE} if size == "phone" else {}))
    page.get_by_role("link", name="Customers").click()
    page.get_by_label("Customers approve by themselves").uncheck()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("None right now").wait_for()
    assert not mpesa_simulator.auto_approve
    raw = RawClient(mpesa_simulator)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(raw.code, "c2b", input_Amount="75.50")
        page.get_by_text("Pay 75.50 MZN to 171717?").wait_for()  # without a reload
        assert problems(page) == []
        screenshot(page, f"customers-prompt-{size}")
        page.get_by_role("button", name=button).click()
        assert answer.result(30) == code
    page.get_by_text("None right now").wait_for()
    raw.session.close()


def test_the_live_log_follows_and_pauses(
    page: Page, mpesa_simulator: Simulator, screenshot: Screenshot
) -> None:
    raw = RawClient(mpesa_simulator)
    page.get_by_role("link", name="Live log").click()
    entries = page.locator(".entry")
    assert entries.count() == 5
    raw.call("query_customer_name")
    entries.nth(5).wait_for()
    entries.first.locator("summary").click()
    assert "output_CustomerName" in entries.first.inner_text()
    assert raw.token not in page.content()
    assert problems(page) == []
    screenshot(page, "log-open")
    page.get_by_label("Pause").check()
    raw.call("b2c")
    page.wait_for_timeout(1500)  # a second is when it would have come
    assert entries.count() == 6
    page.get_by_label("Pause").uncheck()
    entries.nth(6).wait_for()
    raw.session.close()


def test_the_keyboard_alone_renews_a_key(page: Page, mpesa_simulator: Simulator) -> None:
    before = mpesa_simulator.account.api_key
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(3):  # the key, its Copy, Renew
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("This is your new API Key").wait_for()
    assert mpesa_simulator.account.api_key != before


def test_without_scripts_forms_still_work(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator
) -> None:
    page = signed_in(java_script_enabled=False)
    _go(page, mpesa_simulator, "request-box/c2b")
    page.get_by_role("button", name="Send Request").click()
    page.get_by_text("INS-0: Request processed successfully").first.wait_for()


def test_a_session_that_ended_leads_to_sign_in(page: Page, mpesa_simulator: Simulator) -> None:
    page.get_by_role("link", name="Live log").click()
    page.get_by_role("heading", name="Live log").wait_for()
    page.wait_for_load_state("networkidle")
    page.context.clear_cookies()
    page.wait_for_url("**/sign-in")
