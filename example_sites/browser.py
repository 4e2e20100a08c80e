"""A customer's browser without a screen: pages, and the forms that are on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urljoin

import requests


@dataclass
class Form:
    """A form as the page gives it; hidden values, such as the CSRF token, included."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass
class Page:
    url: str
    status: int
    text: str
    forms: list[Form]
    shown: str
    """Where an order stands, in the page's own word, as `waiting` or `completed`; or ""."""
    asks: str
    """Where the page's script asks how the payment stands; "" where it asks nothing."""

    def form(self, *fields: str, action: str = "") -> Form:
        """Find the first form with these fields and this in its action.

        Raises:
            LookupError: the page has none.
        """
        for form in self.forms:
            if action in form.action and all(name in form.values for name in fields):
                return form
        raise LookupError(f"{self.url} (HTTP {self.status}) has no form with {fields} {action}")


class Browser:
    """Keeps cookies, follows redirects, and sends forms with the headers that a browser sends.

    Args:
        base_url: the site's, as `https://127.0.0.1:12000`.
        ca_file: the certificate authority to trust.
        language: the preferred one.
    """

    def __init__(self, base_url: str, ca_file: Path, language: str = "en") -> None:
        self._base_url = base_url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca_file)
        self._session.headers["Accept-Language"] = language

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.close()

    def get(self, path: str) -> Page:
        """Open a page, by its path or its whole URL."""
        return self._page(self._session.get(urljoin(self._base_url, path), timeout=30))

    def json(self, path: str) -> dict[str, Any]:
        """Ask for what a page's script asks for."""
        response = self._session.get(urljoin(self._base_url, path), timeout=30)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found

    def submit(self, page: Page, form: Form, **values: str) -> Page:
        """Fill a form in and send it."""
        sent = {**form.values, **values}
        url = urljoin(page.url, form.action)
        if form.method == "get":
            return self._page(self._session.get(url, params=sent, timeout=30))
        headers = {"Referer": page.url}
        return self._page(self._session.post(url, data=sent, headers=headers, timeout=30))

    def _page(self, response: requests.Response) -> Page:
        read = _Reader()
        read.feed(response.text)
        return Page(
            response.url, response.status_code, response.text, read.forms, read.shown, read.asks
        )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.shown = self.asks = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.shown = found.get("data-status", self.shown)
        self.asks = found.get("data-ask", self.asks)
        if tag == "form":
            self.forms.append(Form(found.get("action", ""), found.get("method", "get").lower()))
        elif tag == "input" and self.forms and "name" in found:
            self.forms[-1].values[found["name"]] = found.get("value", "")
