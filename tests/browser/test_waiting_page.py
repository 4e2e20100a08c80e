"""The page and the scripts that docs/waiting.md shows, in a browser, under ASGI and WSGI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.served import Served, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), request.param) as found:
        yield found


@pytest.mark.parametrize("script", ["questions", "events"])
def test_a_page_goes_on_by_itself(site: Served, browser: Browser, script: str) -> None:
    payment = site.payments.pop()
    page = browser.new_page()
    with page.expect_response(lambda answer: "/mpesa/status/" in answer.url) as asked:
        page.goto(f"{site.url}/pages/{script}/{payment.third_party_reference}/")
    page.get_by_text("Take your phone").wait_for()
    by_events = script == "events" and site.how == "asgi"
    kind = "text/event-stream" if by_events else "application/json"
    assert asked.value.headers["content-type"] == kind
    site.receive(payment)
    page.get_by_text("We have received 150.00 MZN").wait_for()
    page.locator("script").wait_for(state="detached")  # the page of what is decided
    page.close()


def test_without_a_script_it_is_loaded_again(site: Served, browser: Browser) -> None:
    payment = site.payments.pop()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/pages/questions/{payment.third_party_reference}/")
    page.get_by_text("Take your phone").wait_for()
    site.receive(payment)
    page.get_by_text("We have received 150.00 MZN").wait_for()
    context.close()
