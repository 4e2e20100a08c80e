"""The developer portal as a person uses it: in a browser, by mouse and keyboard, on a phone too."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mpesa_integrations import MpesaClient
from mpesa_integrations.simulator import Simulator
from tests.simulator.portal_client import PortalClient
from tests.support.endpoint import listening
from tests.support.raw import RawClient, new_reference

from .conftest import PHONE, Screenshot, go, look_at, problems, scrolls_sideways

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")
pytestmark = pytest.mark.usefixtures("some_calls")

PAGES = {
    "account": "account", "apis": "apis", "api": "apis/c2b?sample=curl",
    "request-box": "request-box/c2b", "reports": "reports?period=hour", "customers": "customers",
    "log": "log", "outbox": "outbox", "profile": "profile", "phone": "phone",
    "go-live": "go-live", "library": "library", "without-library": "without-library",
}  # fmt: skip


@pytest.fixture
def page(signed_in: Callable[..., Page]) -> Page:
    return signed_in()


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
        go(page, mpesa_simulator, path)
        look_at(page, screenshot, name)


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
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Sign up").click()
    page.get_by_text("Use at least 10 characters").wait_for()
    assert problems(page) == []
    screenshot(page, "sign-up")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign up").click()
    screenshot(page, "outbox-with-letter")
    page.get_by_role("link", name=f"Activate {email}").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in", exact=True).click()
    _confirm_phone(page, screenshot)
    page.get_by_role("heading", name="API Key").wait_for()


def _confirm_phone(page: Page, screenshot: Screenshot) -> None:
    """The last step of the first sign-in, the code read in another tab."""
    page.get_by_label("Mobile number").fill("12")
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_text("Write a mobile number").wait_for()
    assert problems(page) == []
    page.get_by_label("Mobile number").fill("84 123 4567")
    page.get_by_role("button", name="Send me a code").click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the Customers page").click()
    code = opened.value.locator("#phone-code").inner_text()
    assert problems(opened.value) == []
    screenshot(opened.value, "customers-phone-code")
    opened.value.close()
    assert problems(page) == []
    screenshot(page, "phone-code")
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Confirm").click()


def test_a_forgotten_password_and_a_new_profile(
    new_page: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot
) -> None:
    developer = PortalClient(mpesa_simulator)
    email = developer.sign_up_and_in()
    developer.close()
    page = new_page(viewport=PHONE, color_scheme="dark")
    page.goto(mpesa_simulator.portal_url)
    page.get_by_role("link", name="I have forgotten my password").click()
    assert problems(page) == []
    screenshot(page, "forgotten-password")
    page.get_by_label("E-mail or user name").fill(email)
    page.get_by_role("button", name="Write me a letter").click()
    page.get_by_role("link", name=f"New password for {email}").click()
    assert problems(page) == []
    page.get_by_label("New password").fill("another long password")
    page.get_by_role("button", name="Save").click()
    page.get_by_label("E-mail or user name").fill(email)
    page.get_by_label("Password").fill("another long password")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Profile").click()
    page.get_by_label("Name", exact=True).fill("Ana Macuácua")
    page.get_by_role("button", name="Save details").click()
    page.get_by_text("Your details are saved").wait_for()
    page.get_by_role("textbox", name="User name").fill("a")
    page.get_by_role("button", name="Change the user name").click()
    page.get_by_text("Use 3 to 30 letters").wait_for()
    page.get_by_text("This is not your password").wait_for()
    assert problems(page) == []
    assert not scrolls_sideways(page)
    screenshot(page, "profile-problems-375")


def test_the_file_for_going_live(
    page: Page, mpesa_simulator: Simulator, screenshot: Screenshot, tmp_path: Path
) -> None:
    page.get_by_role("link", name="Go live").click()
    page.get_by_text("Name or company is missing").wait_for()
    page.get_by_text("Not tried yet:").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download mpesa-go-live.zip").click()
    assert download.value.suggested_filename == "mpesa-go-live.zip"
    with zipfile.ZipFile(download.value.path()) as file:
        file.extract("report.html", tmp_path)
    for size in ("desktop", "phone"):
        if size == "phone":
            page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        page.goto((tmp_path / "report.html").as_uri())
        page.get_by_role("heading", name="Transaction report").wait_for()
        assert problems(page) == []
        assert not scrolls_sideways(page)
        email = page.get_by_text("developer@example.com", exact=True).bounding_box()
        assert email is not None
        assert email["height"] < 40  # on one line
        screenshot(page, f"go-live-report-{size}")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1000, "height": 700})  # of a sheet
    assert not scrolls_sideways(page)
    screenshot(page, "go-live-report-print")
    assert page.get_by_text("25884•••4567").first.is_visible()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_bearer_made_step_by_step_and_checked(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot, size: str
) -> None:
    page = signed_in(**({"viewport": PHONE, "color_scheme": "dark"} if size == "phone" else {}))
    page.get_by_role("link", name="Without the library").click()
    page.get_by_role("button", name="Make a bearer").click()
    token = page.get_by_role("textbox", name="The bearer").input_value()
    assert mpesa_simulator.account_of(f"Bearer {token}") is mpesa_simulator
    assert page.locator("#steps code").count() == 5
    assert problems(page) == []
    assert not scrolls_sideways(page)
    screenshot(page, f"bearer-steps-{size}")
    page.get_by_role("textbox", name="Bearer", exact=True).fill(token)
    page.get_by_role("button", name="Check it").click()
    page.get_by_text("This is a right bearer").wait_for()
    page.get_by_role("textbox", name="Bearer", exact=True).fill(f"{token[:100]}\n{token[100:]}")
    page.get_by_role("button", name="Check it").click()
    page.get_by_text("It has spaces or line breaks inside").wait_for()
    assert problems(page) == []
    screenshot(page, f"bearer-checked-{size}")


def test_a_key_renewed_midway(
    page: Page, mpesa_simulator: Simulator, screenshot: Screenshot
) -> None:
    with MpesaClient(mpesa_simulator.config) as client:
        client.c2b(msisdn="841234567", amount=1, reference="R1")
        old = page.locator("#api-key").input_value()
        page.get_by_role("link", name="Renew API Key").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("mpesa-integrations/").wait_for()
        assert problems(page) == []
        screenshot(page, "account-renew")
        dialog.get_by_role("link", name="Keep the old one").click()
        page.locator("#renew-api-key:focus").wait_for()
        assert mpesa_simulator.account.api_key == old
        page.keyboard.press("Enter")
        dialog.get_by_role("button", name="Renew it now").click()
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


def test_the_keyboard_alone_renews_a_key(page: Page, mpesa_simulator: Simulator) -> None:
    before = mpesa_simulator.account.api_key
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    renew = page.get_by_role("link", name="Renew API Key")
    for _ in range(12):  # the account's pages, the key, its Copy, Renew
        page.keyboard.press("Tab")
        if renew.evaluate("it => it === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("This is your new API Key").wait_for()
    assert mpesa_simulator.account.api_key != before


def test_without_scripts_forms_still_work(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator
) -> None:
    page = signed_in(java_script_enabled=False)
    go(page, mpesa_simulator, "request-box/c2b")
    page.get_by_role("button", name="Send Request").click()
    page.get_by_text("INS-0: Request processed successfully").first.wait_for()


def test_a_session_that_ended_leads_to_sign_in(page: Page, mpesa_simulator: Simulator) -> None:
    page.get_by_role("link", name="Live log").click()
    page.get_by_role("heading", name="Live log").wait_for()
    page.wait_for_load_state("networkidle")
    page.context.clear_cookies()
    page.wait_for_url("**/sign-in")
