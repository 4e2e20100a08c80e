"""The portal's pages about money, in a browser: the Request Box, reports, customers, the log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.simulator import Simulator
from tests.support.endpoint import acknowledge, listening
from tests.support.raw import RawClient
from tests.support.waiting import until

from .conftest import PHONE, Screenshot, go, problems, scrolls_sideways, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("playwright")
pytestmark = pytest.mark.usefixtures("some_calls")


@pytest.fixture
def page(signed_in: Callable[..., Page]) -> Page:
    return signed_in()


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_request_box(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot, size: str
) -> None:
    page = signed_in(**({"viewport": PHONE} if size == "phone" else {}))
    go(page, mpesa_simulator, "apis/c2b")
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


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_request_is_sent_from_the_page_of_its_api(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot, size: str
) -> None:
    phone = {"viewport": PHONE, "color_scheme": "dark", "locale": "pt-MZ"}
    page = signed_in(**(phone if size == "phone" else {}))
    words = "Sucesso: o dinheiro moveu-se." if size == "phone" else "Success: the money moved."
    go(page, mpesa_simulator, "apis/b2b")
    page.locator("#open-request").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    resource = dialog.locator(".resource")
    assert resource.inner_text() == f"POST {mpesa_simulator.control_url}/ipg/v1x/b2bPayment/"
    dialog.get_by_label("Path" if size == "desktop" else "Caminho").fill("/ipg/v1x/nowhere/")
    assert resource.inner_text().endswith("/ipg/v1x/nowhere/")
    dialog.locator("#send").click()
    dialog.locator(".note.bad").get_by_text("HTTP 404").wait_for()
    dialog.get_by_label("Path" if size == "desktop" else "Caminho").fill("/ipg/v1x/b2bPayment/")
    body = dialog.locator("#body")
    body.fill(body.input_value().replace("150.00", "12.34"))
    assert len(dialog.get_by_label("Bearer").input_value()) == 684
    dialog.locator("#send").click()
    dialog.get_by_text(words).wait_for()
    answer = dialog.locator("#answer")
    for part in ("input_Amount", "12.34", "output_TransactionID", "Authorization: Bearer"):
        assert part in answer.inner_text()
    assert problems(page) == []
    assert not scrolls_sideways(page)
    screenshot(page, f"api-request-{size}")
    page.keyboard.press("Escape")
    page.locator("#open-request:focus").wait_for()
    assert len(mpesa_simulator.ledger.latest(1)) == 1


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_request_box_says_what_became_of_the_money(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot,
    tmp_path: Path, size: str,
) -> None:  # fmt: skip
    options = {"viewport": PHONE, "color_scheme": "dark"} if size == "phone" else {}
    page = signed_in(**options)
    dialog, send = page.get_by_role("dialog"), page.get_by_role("button", name="Send Request")
    go(page, mpesa_simulator, "request-box/c2b")
    body = page.get_by_label("Parameters (JSON)")
    reference = _reference_in(body)
    mpesa_simulator.scenarios.queue("empty_body")
    send.focus()
    page.keyboard.press("Enter")
    dialog.get_by_text("Outcome unknown: money may have moved.").wait_for()
    assert problems(page) == []
    screenshot(page, f"request-box-unknown-{size}")
    page.keyboard.press("Escape")
    page.locator("#send:focus").wait_for()
    assert _reference_in(body) != reference
    latest = page.locator("#history-part a").first
    latest.get_by_text("Outcome unknown").wait_for()
    latest.focus()
    page.keyboard.press("Enter")
    dialog.get_by_role("link", name="Ask for its status").click()
    assert json.loads(body.input_value())["input_QueryReference"] == reference
    send.click()
    dialog.get_by_text("Completed: the money moved.").wait_for()
    go(page, mpesa_simulator, "request-box/c2b")
    body.fill(body.input_value().replace(_reference_in(body), reference))
    send.click()
    dialog.get_by_text("one reference pays once").wait_for()
    assert problems(page) == []
    screenshot(page, f"request-box-duplicate-{size}")
    page.keyboard.press("Escape")
    mpesa_simulator.auto_approve = False
    with listening(tmp_path) as endpoint:
        mpesa_simulator.response_url = endpoint.url
        send.click()
        dialog.get_by_text("the result is still to come").wait_for()
        dialog.get_by_text("PIN is waited for").wait_for()
        assert problems(page) == []
        (prompt,) = mpesa_simulator.phones.waiting
        mpesa_simulator.phones.approve(prompt.transaction.conversation_id)
        dialog.get_by_text("delivered").wait_for()
        assert problems(page) == []
        screenshot(page, f"request-box-result-{size}")


def _reference_in(body: Locator) -> str:
    return str(json.loads(body.input_value())["input_ThirdPartyReference"])


def test_each_operation_is_sent_as_it_is_filled_in(page: Page, mpesa_simulator: Simulator) -> None:
    for name in OPERATIONS:
        go(page, mpesa_simulator, f"request-box/{name}")
        page.get_by_role("button", name="Send Request").click()
        page.get_by_role("dialog").get_by_text("INS-0: Request").wait_for()


def test_reports_are_narrowed_and_exported(page: Page, mpesa_simulator: Simulator) -> None:
    page.get_by_role("link", name="Reports").click()
    page.get_by_role("heading", name="5 calls").wait_for()
    until(lambda: page.evaluate("globalThis.Chart?.getChart('chart')?.data.datasets.length === 3"))
    page.get_by_role("combobox", name="Outcome").select_option("cancelled")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name="1 call").wait_for()
    assert page.locator("#calls-table tbody tr").inner_text().count("INS-5") == 1
    page.get_by_role("combobox", name="Outcome").select_option("")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Amount").click()
    heading = page.locator("#calls-table").get_by_role("columnheader", name="Amount")
    assert heading.get_attribute("aria-sort") == "descending"
    page.get_by_text("The chart's numbers").click()
    assert page.locator("#chart-table tbody").inner_text().split()[-3:] == ["1", "1", "3"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    assert download.value.suggested_filename == "mpesa-calls.csv"
    assert len(download.value.path().read_text().splitlines()) == 6


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_reports_tell_how_payments_ended_in_any_period(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot,
    tmp_path: Path, size: str,
) -> None:  # fmt: skip
    raw = RawClient(mpesa_simulator)
    with listening(tmp_path) as endpoint:
        mpesa_simulator.response_url = endpoint.url
        raw.call("c2b", input_CustomerMSISDN="258840000002")
        raw.call("c2b", input_CustomerMSISDN="258840000023")  # no callback ever comes
        mpesa_simulator.callbacks.drain()
    raw.session.close()
    page = signed_in(**({"viewport": PHONE, "locale": "pt-MZ"} if size == "phone" else {}))
    go(page, mpesa_simulator, "reports")
    rows = page.locator("#calls-table tbody tr")
    assert rows.count() == 7
    told = rows.nth(0).inner_text(), rows.nth(1).inner_text()
    words = ("Nothing yet", "Callback") if size == "desktop" else ("Ainda nada", "Callback")
    assert [word in text for word, text in zip(words, told, strict=True)] == [True, True]
    screenshot(page, f"reports-ended-{size}")
    now = datetime.now(timezone.utc)
    page.locator("#from").fill(f"{now + timedelta(days=1):%Y-%m-%dT%H:%M}")
    assert page.locator("#period").input_value() == ""
    page.locator("#to").fill(f"{now:%Y-%m-%dT%H:%M}")
    page.locator("#report-form button").click()
    page.get_by_role("alert").wait_for()
    assert problems(page) == []
    screenshot(page, f"reports-wrong-period-{size}")
    page.locator("#from").fill(f"{now - timedelta(days=300):%Y-%m-%dT%H:%M}")
    page.locator("#report-form button").click()
    page.get_by_role("heading", name=re.compile("^7 ")).wait_for()
    assert problems(page) == []
    page.locator("#period").select_option("hour")
    assert page.locator("#from").input_value() == ""
    rows.first.get_by_role("link").click()
    page.get_by_role("heading", level=1).wait_for()
    assert problems(page) == []
    assert not scrolls_sideways(page)
    screenshot(page, f"report-{size}")


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


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_next_payment_is_arranged(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot, size: str
) -> None:
    phone = {"viewport": PHONE, "color_scheme": "dark", "locale": "pt-MZ"}
    page = signed_in(**(phone if size == "phone" else {}))
    go(page, mpesa_simulator, "customers")
    page.locator("select[name=scenario]").select_option("cut_after")
    number = page.locator("input[name=msisdn]")
    number.fill("12")
    page.locator("form[action$=next] button").click()
    page.get_by_role("alert").locator("visible=true").wait_for()
    assert page.locator("select[name=scenario]").input_value() == "cut_after"
    assert problems(page) == []
    number.fill("85 111 2223")
    page.locator("form[action$=next] button").click()
    arranged = page.locator(".arranged li")
    arranged.get_by_text("258851112223").wait_for()
    assert problems(page) == []
    assert not scrolls_sideways(page)
    screenshot(page, f"customers-next-{size}")
    raw = RawClient(mpesa_simulator)
    with pytest.raises(OSError, match=r"abort|reset|closed"):
        raw.call("c2b", input_CustomerMSISDN="258851112223")
    raw.session.close()
    arranged.wait_for(state="detached")  # without a reload
    page.locator("details summary").click()
    page.locator("a[href*='msisdn=258840000005']").click()
    assert "258840000005" in page.locator("#body").input_value()


def test_the_live_log_follows_and_pauses(
    page: Page, mpesa_simulator: Simulator, screenshot: Screenshot
) -> None:
    raw = RawClient(mpesa_simulator)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="Live log").click()
    entries = page.locator(".entry")
    assert entries.count() == 5
    raw.call("query_customer_name")
    entries.nth(5).wait_for()
    entries.first.locator("summary").click()
    assert "output_CustomerName" in entries.first.inner_text()
    assert raw.token not in page.content()
    raw.call("b2c")
    entries.nth(6).wait_for()
    assert "output_CustomerName" in entries.nth(1).inner_text()  # still open
    assert problems(page) == []
    screenshot(page, "log-open")
    entries.nth(1).get_by_role("link", name="Copy as curl").click()
    page.get_by_text("Copied").wait_for()
    assert "queryCustomerName" in page.evaluate("navigator.clipboard.readText()")
    page.get_by_label("Pause").check()
    raw.call("b2c")
    page.wait_for_timeout(1500)  # a second is when it would have come
    assert entries.count() == 7
    page.get_by_label("Pause").uncheck()
    entries.nth(7).wait_for()
    page.get_by_label("Search").fill("258 85 111 2223")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Show all").wait_for()
    assert entries.count() == 1
    raw.session.close()


def test_a_callback_is_sent_again_from_the_log(
    signed_in: Callable[..., Page], mpesa_simulator: Simulator, screenshot: Screenshot,
    tmp_path: Path,
) -> None:  # fmt: skip
    page = signed_in(viewport=PHONE, color_scheme="dark")
    mpesa_simulator.callbacks.retry_delays = (0.01,)
    raw = RawClient(mpesa_simulator)
    go(page, mpesa_simulator, "log")
    with listening(tmp_path) as endpoint:
        endpoint.answer = lambda _: ("500 Internal Server Error", b"")
        mpesa_simulator.response_url = endpoint.url
        raw.call("c2b", input_CustomerMSISDN="258840000002")
        raw.session.close()
        entry = page.locator(".entry").first
        entry.get_by_text("attempt 2 of 2 failed, given up").first.wait_for()
        entry.locator("summary").click()
        assert problems(page) == []
        assert not scrolls_sideways(page)
        screenshot(page, "log-callback-phone")
        endpoint.answer = acknowledge
        entry.get_by_role("button", name="Send again").first.click()
        page.get_by_text("sent again, and delivered").wait_for()
        assert problems(page) == []
        page.get_by_role("link", name="Live log").click()
        page.locator(".entry summary").first.get_by_text("delivered").wait_for()
    page.locator(".entry summary").first.click()
    page.get_by_role("link", name="Replay in the Request Box").first.click()
    page.get_by_role("button", name="Send Request").wait_for()
    assert "258840000002" in page.get_by_label("Parameters (JSON)").input_value()


def test_the_log_says_so_when_the_gateway_is_gone(
    browser: Browser, mpesa_simulator: Simulator
) -> None:
    # A context of its own: the browser tells the console of what it cannot reach.
    context = browser.new_context(ignore_https_errors=True, locale="en-GB")
    page = context.new_page()
    sign_in(page, mpesa_simulator)
    go(page, mpesa_simulator, "log")
    context.set_offline(True)
    page.get_by_role("alert").get_by_text("No connection since").wait_for()
    assert problems(page) == []
    context.set_offline(False)
    page.get_by_role("alert").wait_for(state="hidden")
    context.close()
