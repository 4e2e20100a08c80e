"""The developer portal over HTTPS, without a browser: sign-in and sign-up, account, languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.simulator import Simulator
from tests.support.endpoint import listening
from tests.support.raw import RawClient

from .portal_client import PortalClient

PAGES = [
    "account", "apis", *(f"apis/{name}" for name in OPERATIONS),
    *(f"request-box/{name}" for name in OPERATIONS), "reports", "customers", "log", "outbox",
    "profile", "phone", "go-live", "library", "without-library",
]  # fmt: skip


class TestSigningIn:
    def test_the_root_leads_to_the_sign_in_page_with_the_ready_made_account(
        self, visitor: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        answer = visitor.get(mpesa_simulator.control_url)
        assert answer.url.startswith(f"{mpesa_simulator.portal_url}sign-in")
        assert mpesa_simulator.portal_account.password in answer.text

    @pytest.mark.parametrize("page", [page for page in PAGES if page != "outbox"])
    def test_every_page_needs_it_and_leads_back(self, visitor: PortalClient, page: str) -> None:
        answer = visitor.get(page)
        assert "/sign-in" in answer.url
        ready = visitor.simulator.portal_account
        answer = visitor.session.post(
            visitor.url("sign-in"),
            data={
                "csrf_token": visitor.token, "email": ready.email, "password": ready.password,
                "next": f"/portal/{page}",
            },
            headers={"Referer": answer.url},
            timeout=20,
        )  # fmt: skip
        assert answer.url == visitor.url(page)
        assert answer.status_code == 200

    def test_a_wrong_password_is_refused(self, visitor: PortalClient) -> None:
        assert visitor.sign_in(password="wrong").status_code == 400
        assert visitor.sign_in(email="nobody@example.com").status_code == 400
        assert "/sign-in" in visitor.get("account").url

    @pytest.mark.parametrize(
        "target", ["https://elsewhere.example/", "//elsewhere.example", "/portal/\\elsewhere", ""]
    )
    def test_it_leads_to_no_other_site(self, visitor: PortalClient, target: str) -> None:
        ready = visitor.simulator.portal_account
        answer = visitor.post(
            "sign-in", on="sign-in", email=ready.email, password=ready.password, next=target
        )
        assert answer.url == visitor.url("account")

    def test_the_session_cookie_is_guarded(self, portal: PortalClient) -> None:
        cookie = next(iter(portal.session.cookies))
        assert cookie.secure
        assert cookie.name.startswith("__Host-")
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite") == "Lax"

    def test_signing_out(self, portal: PortalClient) -> None:
        portal.post("sign-out", on="account")
        assert "/sign-in" in portal.get("account").url

    def test_a_form_without_its_token_changes_nothing(
        self, portal: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        before = mpesa_simulator.account.api_key
        answer = portal.session.post(portal.url("account/renew-api-key"), timeout=20)
        assert answer.status_code == 400
        assert "try again" in answer.text
        portal.get("account")
        answer = portal.session.post(
            portal.url("account/renew-api-key"), data={"csrf_token": portal.token},
            headers={"Referer": "https://elsewhere.example/"}, timeout=20,
        )  # fmt: skip
        assert answer.status_code == 400
        assert mpesa_simulator.account.api_key == before

    def test_sessions_and_the_ready_made_account_outlive_a_restart(self, state_dir: Path) -> None:
        with Simulator(state_dir) as simulator:
            before = simulator.portal_account
            client = PortalClient(simulator)
            client.sign_in()
        with Simulator(state_dir) as simulator:
            assert simulator.portal_account == before
            client.simulator = simulator
            assert client.get("account").url.endswith("/account")
            client.close()
        for name in ("portal.json", "portal.sqlite3"):
            assert (state_dir / name).stat().st_mode & 0o077 == 0


class TestSigningUp:
    def test_an_account_of_ones_own_is_activated_by_the_letter(self, visitor: PortalClient) -> None:
        answer = visitor.post(
            "sign-up", on="sign-up", email="Ana@example.com", password="a long password"
        )
        assert answer.url.endswith("/outbox")
        assert "ana@example.com" in answer.text
        assert visitor.sign_in("ana@example.com", "a long password").status_code == 400
        assert "active" in visitor.open_letter("ana@example.com").text
        assert "/portal/phone" in visitor.sign_in("ANA@example.com", "a long password").url
        assert visitor.confirm_phone("86 123 4567").url.endswith("/account")
        assert "258861234567" in visitor.get("profile").text

    def test_what_is_wrong_is_said_beside_the_field(self, visitor: PortalClient) -> None:
        answer = visitor.post("sign-up", on="sign-up", email="ana", password="short")
        assert answer.status_code == 400
        for words in ("ana@example.com", "at least 10 characters"):
            assert words in answer.text

    def test_an_address_that_is_taken_is_not_told(self, visitor: PortalClient) -> None:
        fields = {
            "email": visitor.simulator.portal_account.email, "password": "another password",
        }  # fmt: skip
        answer = visitor.post("sign-up", on="sign-up", **fields)
        assert answer.url.endswith("/outbox")
        assert visitor.sign_in(password="another password").status_code == 400

    def test_a_wrong_link_activates_nothing(self, visitor: PortalClient) -> None:
        assert "not one of ours" in visitor.get("activate/wrong").text


class TestListeningForOthers:
    @pytest.fixture
    def stranger(self, state_dir: Path) -> Iterator[PortalClient]:
        with Simulator(state_dir, host="0.0.0.0") as simulator:
            client = PortalClient(simulator)
            yield client
            client.close()

    def test_everything_needs_signing_in_and_nothing_gives_it_away(
        self, stranger: PortalClient
    ) -> None:
        for page in PAGES:
            assert "/sign-in" in stranger.get(page).url
            assert stranger.simulator.portal_account.password not in stranger.page
        assert stranger.sign_in().url.endswith("/account")


def test_every_page_is_hardened(portal: PortalClient) -> None:
    for page in [*PAGES, "reports.csv", "no-such-page"]:
        answer = portal.get(page)
        assert answer.status_code == (404 if page == "no-such-page" else 200), page
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "style=" not in answer.text
        assert ">None<" not in answer.text
        assert "https://cdn" not in answer.text


class TestAccount:
    def test_it_shows_the_keys(self, portal: PortalClient, mpesa_simulator: Simulator) -> None:
        page = portal.get("account").text
        assert mpesa_simulator.account.api_key in page
        assert portal.text_of("public-key") == mpesa_simulator.account.public_key

    def test_a_renewed_key_ends_the_old_one_at_once(
        self, portal: PortalClient, mpesa_simulator: Simulator, raw: RawClient
    ) -> None:
        assert raw.code("c2b") == "INS-0"
        answer = portal.post("account/renew-api-key", on="account")
        assert mpesa_simulator.account.api_key in answer.text
        assert raw.code("c2b") == "INS-2"

    def test_renewing_asks_first_and_says_who_used_the_key(
        self, portal: PortalClient, mpesa_simulator: Simulator, raw: RawClient
    ) -> None:
        before = mpesa_simulator.account.api_key
        assert "Nobody has called with it" in portal.get("account/renew-api-key").text
        for agent in ("my-shop/1.0", "my-shop/1.0", "stock-count/2"):
            raw.session.headers["User-Agent"] = agent
            raw.call("c2b")
        raw.session.headers["User-Agent"] = "a-stranger/1"
        raw.token = "wrong"
        raw.call("c2b")
        for headers in ({}, {"HX-Request": "true"}):
            text = portal.get("account/renew-api-key", headers=headers).text
            assert ("<html" in text) == (not headers)
            users = text.partition('class="key-users"')[2].partition("</ul>")[0]
            assert users.index("stock-count/2") < users.index("my-shop/1.0")
            assert "2 calls" in users
            assert "a-stranger" not in users
        assert mpesa_simulator.account.api_key == before

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("https://127.0.0.1:12000/a b", "%20"),
            ("https://127.0.0.1:12000/\u00e1", "%C3%A1"),
            ("https://\u00e1.localhost:12000/", "%C3%A1"),
            ("https://127.0.0.1:12000/a\tb", "U+0009"),
            ("https://127.0.0.1:011000/x", "without a zero"),
            ("http://127.0.0.1:12000/x", "https://"),
            ("https://127.0.0.1/x", "11000 to 19000"),
            ("https://127.0.0.1:10999/x", "11000 to 19000"),
            ("https://127.0.0.1:19001/x", "11000 to 19000"),
            ("https://192.0.2.1:12000/x", "not an address of this machine"),
        ],
    )
    def test_a_wrong_response_url_is_explained_and_kept_in_the_field(
        self, portal: PortalClient, mpesa_simulator: Simulator, url: str, words: str
    ) -> None:
        answer = portal.post("account/response-url", on="account", response_url=url)
        assert answer.status_code == 400
        assert words in answer.text
        assert f'value="{url}"' in answer.text
        assert mpesa_simulator.response_url is None
        with pytest.raises(ValueError, match=r"URL|address of this machine"):
            mpesa_simulator.response_url = url

    def test_asynchronous_mode_a_test_callback_and_back(
        self, portal: PortalClient, mpesa_simulator: Simulator, tmp_path: Path
    ) -> None:
        with listening(tmp_path) as endpoint:
            answer = portal.post("account/response-url", on="account", response_url=endpoint.url)
            assert "asynchronous mode" in answer.text
            assert mpesa_simulator.response_url == endpoint.url
            answer = portal.post("account/test-callback", on="account")
            assert "answered as the gateway requires" in answer.text
            assert endpoint.bodies[0]["input_ResultCode"] == "0"
            assert answer.history[0].status_code == 302
            again = portal.get(answer.url)  # as a reload does
            assert "answered as the gateway requires" in again.text
            assert len(endpoint.bodies) == 1
            endpoint.answer = lambda _: ("200 OK", b"<script>alert(1)</script>")
            answer = portal.post("account/test-callback", on="account")
            assert "is not JSON" in answer.text
            assert "&lt;script&gt;" in answer.text
            assert "<script>alert" not in answer.text
        answer = portal.post("account/test-callback", on="account")
        assert "gave no answer" in answer.text
        portal.post("account/response-url", on="account", response_url=" ")
        assert mpesa_simulator.response_url is None
        assert "first" in portal.post("account/test-callback", on="account").text


def test_a_fragment_without_a_session_sends_the_page_to_sign_in(visitor: PortalClient) -> None:
    answer = visitor.get("log/entries?after=0", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/portal/sign-in"


class TestLanguages:
    def test_the_browsers_language_is_spoken_until_another_is_chosen(
        self, mpesa_simulator: Simulator
    ) -> None:
        client = PortalClient(mpesa_simulator, language="pt-MZ,pt;q=0.9,en;q=0.5")
        assert '<html lang="pt">' in client.get("sign-in").text
        client.sign_in()
        assert "Renovar API Key" in client.get("account").text
        wrong = client.post(
            "account/response-url", on="account", response_url="https://127.0.0.1:80/"
        )
        assert "entre 11000 e 19000" in wrong.text
        assert "tem de ser um shortcode" in client.get("apis/c2b").text
        answer = client.post("language", on="reports", language="en", next="/portal/reports")
        assert answer.url.endswith("/portal/reports")
        assert '<html lang="en">' in answer.text
        assert "0 calls" in client.get("reports").text
        client.post("language", on="reports", language="xx", next="https://elsewhere.example")
        assert '<html lang="en">' in client.get("account").text
        client.close()

    @pytest.fixture
    def pt(self, mpesa_simulator: Simulator) -> Iterator[PortalClient]:
        client = PortalClient(mpesa_simulator, language="pt-MZ")
        client.sign_in()
        yield client
        client.close()

    def test_what_was_written_down_in_english_is_shown_in_portuguese(
        self, pt: PortalClient, raw: RawClient, mpesa_simulator: Simulator, tmp_path: Path
    ) -> None:
        raw.call("c2b", input_Amount="1250.50")
        page = pt.get("customers").text
        for words in ("Concluído", "1.250,50", "98.749,50"):
            assert words in page, words
        assert re.search(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d</time>", page)
        with listening(tmp_path) as endpoint:
            endpoint.answer = lambda body: ("500 Internal Server Error", b"")
            mpesa_simulator.response_url = endpoint.url
            said = "O endpoint tem de responder HTTP 200; respondeu: HTTP 500"
            assert said in pt.post("account/test-callback", on="account").text
        assert said in pt.get("log").text
        assert "Completed" not in page

    def test_every_kind_of_error_page(
        self, pt: PortalClient, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = pt.post("customers/prompts/1", on="customers", decision="perhaps")
        assert (answer.status_code, "Não se conseguiu ler isso" in answer.text) == (400, True)
        answer = pt.get("account/response-url")  # where a wrong form was, typed in again
        assert (answer.status_code, "O menu leva a todas as páginas" in answer.text) == (404, True)
        monkeypatch.setattr(mpesa_simulator, "calls", None)
        answer = pt.get("reports")
        assert (answer.status_code, "Uma falha deste gateway" in answer.text) == (500, True)
        assert "Relatórios" in answer.text  # the menu
