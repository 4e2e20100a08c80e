"""The developer portal over HTTPS, without a browser: pages, forms, rules and code samples."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest

from mpesa_integrations.core.markets.mozambique.codes import CODES
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import Call, CallFilter
from mpesa_integrations.simulator.portal.documentation import (
    request_parameters,
    response_parameters,
)
from mpesa_integrations.simulator.portal.samples import LANGUAGES
from tests.support.endpoint import listening
from tests.support.programs import QUICK_JAVA
from tests.support.raw import RawClient, new_reference

from .portal_client import PortalClient

PAGES = [
    "account", "apis", *(f"apis/{name}" for name in OPERATIONS),
    *(f"request-box/{name}" for name in OPERATIONS), "reports", "customers", "log", "outbox",
]  # fmt: skip


@pytest.fixture
def visitor(mpesa_simulator: Simulator) -> Iterator[PortalClient]:
    client = PortalClient(mpesa_simulator)
    yield client
    client.close()


@pytest.fixture
def portal(visitor: PortalClient) -> PortalClient:
    assert visitor.sign_in().url.endswith("/account")
    return visitor


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
            "sign-up", on="sign-up", email="Ana@example.com", phone="86 123 4567",
            password="a long password",
        )  # fmt: skip
        assert answer.url.endswith("/outbox")
        assert "ana@example.com" in answer.text
        assert visitor.sign_in("ana@example.com", "a long password").status_code == 400
        assert "861234567" not in answer.text
        link = visitor.get("outbox").text.split('<a href="https://')[1].split('"')[0]
        assert "active" in visitor.get(f"https://{link}").text
        assert visitor.sign_in("ANA@example.com", "a long password").url.endswith("/account")

    def test_what_is_wrong_is_said_beside_the_field(self, visitor: PortalClient) -> None:
        answer = visitor.post("sign-up", on="sign-up", email="ana", phone="12", password="short")
        assert answer.status_code == 400
        for words in ("ana@example.com", "84 123 4567", "At least 10 characters"):
            assert words in answer.text

    def test_an_address_that_is_taken_is_not_told(self, visitor: PortalClient) -> None:
        fields = {
            "email": visitor.simulator.portal_account.email, "phone": "841234567",
            "password": "another password",
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

    @pytest.mark.parametrize(
        ("url", "words"),
        [
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


class TestAPIs:
    @pytest.mark.parametrize("name", OPERATIONS)
    def test_a_page_tells_what_core_knows(
        self, portal: PortalClient, mpesa_simulator: Simulator, name: str
    ) -> None:
        operation = OPERATIONS[name]
        page = portal.get(f"apis/{name}").text
        for wire_name in operation.request_schema.wire.values():
            assert wire_name in page
        for field in operation.answer_schema().fields.values():
            assert (str(field.data_key) in page) == field.documented  # type: ignore[attr-defined]
        assert all(code in page for code in CODES)
        assert operation.path in page
        assert str(operation.port) in page
        rows = request_parameters(operation, mpesa_simulator.account, "4XDF12345")
        assert all(row.description and row.example for row in rows)
        assert all(row.description for row in response_parameters(operation))

    def test_unknown_ones_are_not_there(self, portal: PortalClient) -> None:
        assert portal.get("apis/no_such").status_code == 404
        assert portal.get("apis/c2b?sample=cobol").status_code == 404
        assert portal.get("request-box/no_such").status_code == 404


def _run(command: list[str], directory: Path) -> str:
    environment = {
        key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"
    }
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None and "CI" not in os.environ:
        pytest.skip(f"there is no {name} on this machine")
    return found or name


def _command(language: str, directory: Path, sample: str) -> list[str]:
    if language == "curl":
        _program("curl")
        _program("openssl")
        (directory / "sample.sh").write_text(sample)
        return ["sh", "sample.sh"]
    if language == "java":
        (directory / "Sample.java").write_text(sample)
        return [_program("java"), *QUICK_JAVA, "Sample.java"]
    (directory / "sample.py").write_text(sample)
    return [sys.executable, "sample.py"]


# Each costs a process. Java's differ by POST, PUT and GET; the frameworks' by what they print and
# whether they need the initiator, and make the call as Python's sample does, which is run for all.
_TOLD_APART = {
    "java": {"c2b", "reversal", "query_transaction_status"},
    "django": {"c2b", "reversal", "query_transaction_status", "query_customer_name"},
    "flask": {"c2b", "reversal", "query_transaction_status", "query_customer_name"},
}
_SAMPLES = [
    (language, name)
    for language in LANGUAGES
    for name in OPERATIONS
    if name in _TOLD_APART.get(language, OPERATIONS)
]


@pytest.mark.slow
@pytest.mark.parametrize(("language", "name"), _SAMPLES)
def test_each_sample_works_as_it_stands(
    portal: PortalClient, raw: RawClient, tmp_path: Path, language: str, name: str
) -> None:
    raw.call("c2b")
    portal.get(f"apis/{name}?sample={language}")
    output = _run(_command(language, tmp_path, portal.text_of("sample")), tmp_path)
    calls = portal.simulator.calls.select(CallFilter(operation=name), limit=1)
    assert [call.code for call in calls] == ["INS-0"], output
    if language in ("requests", "curl", "java"):
        assert "INS-0" in output
        # The real gateway's firewall refuses what these send by themselves.
        assert "User-Agent: my-shop/1.0" in calls[0].sent


@pytest.mark.slow
def test_on_the_documented_ports_the_pages_name_them(
    tmp_path: Path, state_dir: Path, own_address: str
) -> None:
    with Simulator(state_dir, host=own_address, documented_ports=True) as simulator:
        portal = PortalClient(simulator)
        portal.sign_in()
        page = portal.get("apis/c2b").text
        assert "18352" in page
        assert "at the real gateway" not in page
        for language in ("python", "requests"):
            portal.get(f"apis/c2b?sample={language}")
            _run(_command(language, tmp_path, portal.text_of("sample")), tmp_path)
        portal.get("request-box/c2b")
        fields = dict(re.findall(r'name="(\w+)" class="code" value="([^"]*)"', portal.page))
        fields |= {"method": "POST", "bearer": RawClient(simulator).token}
        answer = portal.post(
            "request-box/c2b", on="request-box/c2b", body=portal.text_of("body"), **fields
        )
        assert "INS-0: Request" in answer.text
        assert simulator.calls.count(CallFilter(code="INS-0")) == 3
        portal.close()


class TestRequestBox:
    def fields(self, portal: PortalClient, name: str = "c2b", **changes: str) -> dict[str, str]:
        operation = OPERATIONS[name]
        portal.get(f"request-box/{name}")
        port = portal.simulator.control_url.rpartition(":")[2]
        return {
            "method": operation.method, "address": "127.0.0.1", "port": port,
            "path": operation.path, "origin": "*", "bearer": RawClient(portal.simulator).token,
            "body": portal.text_of("body"), **changes,
        }  # fmt: skip

    def send(self, portal: PortalClient, name: str = "c2b", **changes: str) -> str:
        fields = self.fields(portal, name, **changes)
        return portal.post(f"request-box/{name}", on=f"request-box/{name}", **fields).text

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_each_operation_can_be_sent_as_it_is_filled_in(
        self, portal: PortalClient, raw: RawClient, name: str
    ) -> None:
        raw.call("c2b")
        page = self.send(portal, name)
        assert "INS-0: Request processed successfully" in page
        assert "input_ThirdPartyReference" in page
        assert "output_ThirdPartyReference" in page
        (call, *_) = portal.simulator.calls.select(CallFilter(operation=name))
        assert call.code == "INS-0"

    def test_the_answer_comes_as_a_fragment_with_the_token_as_sent(
        self, portal: PortalClient
    ) -> None:
        fields = self.fields(portal)
        answer = portal.session.post(
            portal.url("request-box/c2b"), data=fields, timeout=20,
            headers={
                "HX-Request": "true", "X-CSRFToken": portal.token,
                "Referer": portal.url("request-box/c2b"),
            },
        )  # fmt: skip
        assert fields["bearer"] in answer.text
        assert "<html" not in answer.text
        history = portal.get("request-box/c2b").text
        latest = history.split("/request-box/history/")[1].split('"')[0]
        assert fields["bearer"][:6] in portal.get(f"request-box/history/{latest}").text
        assert fields["bearer"] not in portal.page
        assert "258841234567" not in portal.page
        assert "INS-0" in history

    def test_mistakes_reach_the_gateway(self, portal: PortalClient) -> None:
        assert "INS-2: Invalid API Key" in self.send(portal, bearer="wrong")
        assert "INS-2: Invalid API Key" in self.send(portal, bearer="")
        assert "INS-21" in self.send(portal, body="{no json")
        assert "INS-20" in self.send(portal, body="{}")
        assert "HTTP 405" in self.send(portal, method="GET")

    def test_an_answer_that_never_comes_is_told(self, portal: PortalClient) -> None:
        portal.simulator.scenarios.queue("cut_after")
        assert "ended without an answer" in self.send(portal)
        portal.simulator.scenarios.queue("html")
        assert "502 Bad Gateway" in self.send(portal)

    @pytest.mark.parametrize(
        "changes",
        [
            {"address": "api.vm.co.mz"},
            {"address": "127.0.0.2"},
            {"port": "22"},
            {"port": "1@evil:443/"},
            {"path": "/simulator/reset"},
            {"path": "/ipg/../simulator/reset"},
            {"path": "/ipg/%2e%2e/simulator/reset"},
            {"path": "/ipg/v1x?x"},
            {"method": "DELETE"},
            {"bearer": "a\r\nX: y"},
            {"method": "GET", "body": "[]"},
        ],
    )
    def test_it_calls_this_gateway_and_nothing_else(
        self, portal: PortalClient, changes: dict[str, str]
    ) -> None:
        page = self.send(portal, **changes)
        assert 'role="alert"' in page
        assert portal.simulator.calls.count(CallFilter()) == 0

    def test_one_users_history_is_not_anothers(self, portal: PortalClient) -> None:
        self.send(portal)
        mine = portal.get("request-box/c2b").text.split("/request-box/history/")[1].split('"')[0]
        other = PortalClient(portal.simulator)
        other.post(
            "sign-up", on="sign-up", email="other@example.com", phone="841234567",
            password="a long password",
        )  # fmt: skip
        link = other.get("outbox").text.split('<a href="https://')[1].split('"')[0]
        other.get(f"https://{link}")
        other.sign_in("other@example.com", "a long password")
        assert other.get(f"request-box/history/{mine}").status_code == 404
        other.close()


class TestReports:
    @pytest.fixture(autouse=True)
    def _some_calls(self, mpesa_simulator: Simulator, raw: RawClient) -> None:
        raw.call("c2b", input_TransactionReference="=1+1", input_Amount="20")
        raw.call("b2c", input_Amount="5")
        raw.call("c2b", input_CustomerMSISDN="258840000001")

    def test_the_table_is_filtered_and_sorted(self, portal: PortalClient) -> None:
        assert "3 calls" in portal.get("reports").text
        assert "1 call<" in portal.get("reports?operation=b2c").text
        assert "1 call<" in portal.get("reports?code=INS-2006").text
        assert "2 calls" in portal.get("reports?outcome=success").text
        assert "0 calls" in portal.get("reports?operation=reversal&period=hour").text
        dear = portal.get("reports?sort=amount").text
        assert dear.index(">20.00<") < dear.index(">10.00<") < dear.index(">5.00<")
        cheap = portal.get("reports?sort=amount&order=up").text
        assert cheap.index(">5.00<") < cheap.index(">20.00<")
        assert "&#34;key&#34;: &#34;INS-2006&#34;" in portal.get("reports?by=code").text
        assert (
            portal.get("reports?by=nonsense&sort=nonsense&period=nonsense&page=-1").status_code
            == 200
        )

    def test_csv_has_the_same_calls_and_no_formulas(self, portal: PortalClient) -> None:
        answer = portal.get("reports.csv?operation=c2b&sort=amount")
        assert answer.headers["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [(row["amount"], row["code"]) for row in rows] == [
            ("20.00", "INS-0"), ("10.00", "INS-2006")
        ]  # fmt: skip
        assert rows[0]["transaction_reference"] == "'=1+1"
        assert rows[0]["msisdn"] == "25884•••4567"

    def test_a_call_has_a_page(self, portal: PortalClient) -> None:
        (call, *_) = portal.simulator.calls.select(CallFilter())
        page = portal.get(f"reports/{call.id}").text
        assert "output_ResponseCode" in page
        assert portal.get("reports/999999").status_code == 404

    def test_many_calls_have_several_pages(self, portal: PortalClient) -> None:
        for number in range(60):
            portal.simulator.calls.record(
                Call(
                    at=datetime.now(timezone.utc),
                    kind="call",
                    operation="c2b",
                    code="INS-0",
                    outcome="success",
                    http_status=201,
                    seconds=number,
                )
            )
        assert "Page 1 of 2" in portal.get("reports?operation=c2b").text
        assert "Page 2 of 2" in portal.get("reports?operation=c2b&page=2").text


class TestCustomers:
    def test_balances_are_shown_and_numbers_masked(
        self, portal: PortalClient, raw: RawClient
    ) -> None:
        raw.call("c2b")
        page = portal.get("customers").text
        assert "25884•••4567" in page
        assert "99,990.00" in page
        assert "258841234567" not in page

    @pytest.mark.parametrize(("decision", "code"), [("approve", "INS-0"), ("refuse", "INS-5")])
    def test_a_person_decides(
        self, portal: PortalClient, raw: RawClient, decision: str, code: str
    ) -> None:
        simulator = portal.simulator
        portal.post("customers/auto-approve", on="customers")
        assert not simulator.auto_approve
        reference = new_reference()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(raw.code, "c2b", input_ThirdPartyReference=reference)
            prompt = simulator.phones.wait(reference)
            path = f"customers/prompts/{prompt.transaction.conversation_id}"
            assert portal.post(path, on="customers", decision="perhaps").status_code == 400
            assert "Pay 10.00 MZN to 171717?" in portal.get("customers/live").text
            portal.post(path, on="customers", decision=decision)
            assert answer.result(30) == code
        assert "no longer waits" in portal.post(path, on="customers", decision=decision).text
        portal.post("customers/auto-approve", on="customers", auto_approve="on")
        assert simulator.auto_approve

    def test_a_page_that_is_up_to_date_is_left_alone(
        self, portal: PortalClient, raw: RawClient
    ) -> None:
        seen = portal.get("customers").text.split("?seen=")[1].split('"')[0]
        assert portal.get(f"customers/live?seen={seen}").status_code == 204
        raw.call("c2b")
        assert "99,990.00" in portal.get(f"customers/live?seen={seen}").text


def test_the_live_log_gives_what_is_new(portal: PortalClient, raw: RawClient) -> None:
    raw.call("c2b")
    page = portal.get("log").text
    assert "C2B payment" in page
    assert raw.token not in page
    after = page.split("after=")[1].split('"')[0]
    assert portal.get(f"log/entries?after={after}").status_code == 204
    raw.call("b2c")
    fresh = portal.get(f"log/entries?after={after}").text
    assert "B2C payment" in fresh
    assert "C2B payment" not in fresh


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


def test_an_empty_log_says_how_to_fill_it(portal: PortalClient) -> None:
    assert "Send a request, and it appears here." in portal.get("log").text
