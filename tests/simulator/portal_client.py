"""A browser without a screen: signs in to the portal and fills in its forms."""

from __future__ import annotations

import html
import re

import requests

from mpesa_integrations.simulator import Simulator
from tests.support.raw import new_reference


class PortalClient:
    """Keeps the session; each form carries the token of the page it is on."""

    def __init__(self, simulator: Simulator, *, language: str = "en") -> None:
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = simulator.account.ca_file
        self.session.headers["Accept-Language"] = language
        self.page = ""

    def get(self, path: str, **more: object) -> requests.Response:
        answer = self.session.get(self.url(path), timeout=20, **more)  # type: ignore[arg-type]
        self.page = answer.text
        return answer

    def post(self, path: str, /, *, on: str, **fields: str) -> requests.Response:
        """Fill in a form of the page `on`, and follow where it leads."""
        self.get(on)
        answer = self.session.post(
            self.url(path),
            data={"csrf_token": self.token, **fields},
            headers={"Referer": self.url(on)},
            timeout=20,
        )
        self.page = answer.text
        return answer

    def sign_in(self, email: str = "", password: str = "") -> requests.Response:
        ready = self.simulator.portal_account
        return self.post(
            "sign-in", on="sign-in", email=email or ready.email, password=password or ready.password
        )

    def begin(self) -> str:
        """Make an account of one's own, activate it, sign in to it, and give its e-mail address."""
        email, password = f"{new_reference().lower()}@example.com", "a long password"
        self.post("sign-up", on="sign-up", email=email, password=password)
        self.open_letter(email)
        assert "/portal/phone" in self.sign_in(email, password).url
        return email

    def sign_up_and_in(self) -> str:
        """As `begin`, and confirm a phone number, which is the last step."""
        email = self.begin()
        assert self.confirm_phone("84 123 4567").url.endswith("/account")
        return email

    def open_letter(self, recipient: str) -> requests.Response:
        """Follow the link of the latest letter to somebody."""
        letter = re.search(rf'<a href="([^"]+)">[^<]*{recipient}', self.get("outbox").text)
        assert letter, self.page
        return self.get(html.unescape(letter[1]))

    def confirm_phone(self, number: str) -> requests.Response:
        """Have a code sent to a number, read it on the customers' page, and give it back."""
        self.post("phone/code", on="phone", phone=number)
        self.get("customers")
        return self.post("phone/confirm", on="phone", code=self.text_of("phone-code"))

    def url(self, path: str) -> str:
        return path if path.startswith("https:") else f"{self.simulator.portal_url}{path}"

    @property
    def token(self) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.page)
        assert found, self.page
        return found[1]

    def text_of(self, element_id: str) -> str:
        """What stands in the element of the page with this ID."""
        found = re.search(
            rf'id="{element_id}"[^>]*>(.*?)</(code|textarea|pre|strong)>', self.page, re.S
        )
        assert found, self.page
        return html.unescape(found[1])

    def close(self) -> None:
        self.session.close()
