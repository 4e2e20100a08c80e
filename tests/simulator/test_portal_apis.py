"""The portal's APIs, code samples and Request Box."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mpesa_integrations.core.markets.mozambique.codes import CODES
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter
from mpesa_integrations.simulator.portal.documentation import (
    request_parameters,
    response_parameters,
)
from mpesa_integrations.simulator.portal.samples import LANGUAGES
from tests.support.programs import QUICK_JAVA
from tests.support.raw import RawClient

from .portal_client import PortalClient


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
