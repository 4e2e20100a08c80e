"""The portal's APIs, code samples and Request Box."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from tests.support.endpoint import listening
from tests.support.programs import QUICK_JAVA
from tests.support.raw import RawClient, new_reference

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
    done = _finished(command, directory)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _finished(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"
    }
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None and "CI" not in os.environ:
        pytest.skip(f"there is no {name} on this machine")
    return found or name


def _command(language: str, directory: Path, sample: str, name: str = "sample") -> list[str]:
    """Write a sample into a directory, and give the command that runs it there."""
    ending = {"curl": "sh", "java": "java"}.get(language, "py")
    (directory / f"{name}.{ending}").write_text(sample)
    if language == "curl":
        _program("curl")
        _program("openssl")
        return ["sh", f"{name}.sh"]
    if language == "java":
        return [_program("java"), *QUICK_JAVA, f"{name}.java"]
    return [sys.executable, f"{name}.py"]


_IMPORTED = {
    "python": "mpesa_integrations",
    "requests": "requests,cryptography.hazmat.primitives.asymmetric.padding",
    "flask": "flask_sqlalchemy,flask_mpesa.records",
    "django": "django.core.management,django_mpesa",
}


def _run_each(language: str, samples: dict[str, str], directory: Path) -> dict[str, str]:
    """Run the samples of a language, as quickly as can be, and give what each printed."""
    commands = {name: _command(language, directory, samples[name], name) for name in samples}
    if language == "curl":
        with ThreadPoolExecutor(2) as pool:
            running = {name: pool.submit(_run, commands[name], directory) for name in samples}
        return {name: output.result() for name, output in running.items()}
    support = Path(__file__).parents[1] / "support"
    command = [sys.executable, str(support / "forked.py"), _IMPORTED.get(language, "")]
    if language == "java":
        command = ["java", *QUICK_JAVA, str(support / "Each.java")]
    done = _finished([*command, *(words[-1] for words in commands.values())], directory)
    outputs = {file.stem: file.read_text() for file in directory.glob("*.out")}
    assert done.returncode == 0, (done.stderr, outputs)
    assert outputs.keys() == samples.keys()
    return outputs


@pytest.fixture(params=["synchronous", "asynchronous"])
def mode(
    request: pytest.FixtureRequest, mpesa_simulator: Simulator, tmp_path: Path
) -> Iterator[str]:
    if request.param == "synchronous":
        yield request.param
        return
    with listening(tmp_path) as endpoint:
        mpesa_simulator.response_url = endpoint.url
        yield request.param
        mpesa_simulator.callbacks.drain()


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sample_works_as_it_stands(
    portal: PortalClient, raw: RawClient, tmp_path: Path, language: str, mode: str
) -> None:
    simulator = portal.simulator
    raw.call("c2b")
    simulator.callbacks.drain()
    samples = {}
    for name in OPERATIONS:
        portal.get(f"apis/{name}?sample={language}")
        samples[name] = portal.text_of("sample")
    simulator.calls.clear()
    outputs = _run_each(language, samples, tmp_path)
    simulator.callbacks.drain()
    for name, output in outputs.items():
        calls = simulator.calls.select(CallFilter(kind="call", operation=name))
        assert {call.ended_code for call in calls} == {"INS-0"}, (name, output)
        if language in ("requests", "curl", "java"):
            assert "INS-0" in output
            # The real gateway's firewall refuses what these send by themselves.
            assert "my-shop/1.0" in calls[0].sent
    (given_back,) = simulator.calls.select(CallFilter(operation="reversal"))
    assert given_back.outcome == ("success" if mode == "synchronous" else "accepted")
    assert given_back.ended == "success"


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
        assert "258841234567" in portal.page
        assert "INS-0" in history

    def test_mistakes_reach_the_gateway(self, portal: PortalClient) -> None:
        assert "INS-2: Invalid API Key" in self.send(portal, bearer="wrong")
        assert "INS-2: Invalid API Key" in self.send(portal, bearer="")
        assert "INS-21" in self.send(portal, body="{no json")
        assert "INS-20" in self.send(portal, body="{}")
        page = self.send(portal, method="GET")
        assert "HTTP 405" in page
        assert "nothing was done" in page

    @pytest.mark.parametrize(
        ("scenario", "words"),
        [
            ("cut_after", "ended without an answer"),
            ("cut_before", "ended without an answer"),
            ("html", "502 Bad Gateway"),
            ("empty_body", "HTTP 200"),
            ("truncated_json", "HTTP 201"),
            ("huge_answer", "HTTP 201"),
            ("wrong_reference", "HTTP 201"),
            ("internal_error", "INS-1"),
            ("failed_but_paid", "INS-6"),
        ],
    )
    def test_what_proves_nothing_is_an_outcome_unknown_and_can_be_asked_about(
        self, portal: PortalClient, scenario: str, words: str
    ) -> None:
        portal.simulator.scenarios.queue(scenario)
        body = self.fields(portal)["body"]
        reference = json.loads(body)["input_ThirdPartyReference"]
        page = self.send(portal, body=body)
        assert "Outcome unknown: money may have moved." in page
        assert words in page
        assert "note good" not in page
        ask = f"request-box/query_transaction_status?about={reference}"
        assert f'href="/portal/{ask}"' in page
        portal.get(ask)
        asked = json.loads(portal.text_of("body"))
        assert asked["input_QueryReference"] == reference
        assert asked["input_ThirdPartyReference"] != reference

    @pytest.mark.parametrize(
        ("scenario", "tone", "words"),
        [
            ("success", "good", "Success: the money moved."),
            ("cancelled", "bad", "Cancelled by the customer: no money moved."),
            ("declined_with_200", "bad", "Failed: no money moved."),
            ("code:INS-15", "bad", "Refused: no money moved."),
            ("output_error", "bad", "Not authorised: no money moved."),
            ("overloaded", "doubtful", "Not accepted: too busy."),
        ],
    )
    def test_an_answer_is_coloured_by_what_it_proves(
        self, portal: PortalClient, scenario: str, tone: str, words: str
    ) -> None:
        portal.simulator.scenarios.queue(scenario)
        page = self.send(portal)
        assert f'<div class="note {tone}"' in page
        assert words in page
        assert "Ask for its status" not in page

    def test_a_question_that_is_not_answered_moved_no_money(self, portal: PortalClient) -> None:
        portal.simulator.scenarios.queue("empty_body")
        page = self.send(portal, "query_customer_name")
        answer = page.partition("<dialog")[2].partition("</dialog")[0]
        assert "It was only a question" in answer
        assert "money may have moved" not in answer

    @pytest.mark.parametrize(
        ("msisdn", "words"),
        [
            ("258841234567", "Completed: the money moved."),
            ("258840000001", "Failed: no money moved."),
            (None, "knows no such transaction"),
        ],
    )
    def test_a_status_is_said_in_words(
        self, portal: PortalClient, raw: RawClient, msisdn: str | None, words: str
    ) -> None:
        reference = new_reference()
        if msisdn:
            raw.call("c2b", input_CustomerMSISDN=msisdn, input_ThirdPartyReference=reference)
        portal.get(f"request-box/query_transaction_status?about={reference}")
        page = self.send(portal, "query_transaction_status", body=portal.text_of("body"))
        assert words in page

    def test_each_time_it_is_another_payment(self, portal: PortalClient) -> None:
        fields = self.fields(portal)
        typed = fields["body"].replace("150.00", "42.5")
        page = portal.post(
            "request-box/c2b", on="request-box/c2b", **{**fields, "body": typed}
        ).text
        assert "Success: the money moved." in page
        offered = portal.text_of("body")
        before, after = json.loads(typed), json.loads(offered)
        assert before.pop("input_ThirdPartyReference") != after.pop("input_ThirdPartyReference")
        assert before == after
        page = portal.post(
            "request-box/c2b", on="request-box/c2b", **{**fields, "body": typed}
        ).text
        assert "Duplicate: this request did nothing." in page
        assert "one reference pays once" in page
        first = portal.simulator.calls.select(CallFilter(operation="c2b"), descending=False)[0]
        assert f'href="/portal/reports/{first.id}"' in page
        assert "C2B payment, 42.50 MZN" in page

    def test_an_accepted_payments_result_is_shown_when_it_is_there(
        self, portal: PortalClient, tmp_path: Path
    ) -> None:
        simulator = portal.simulator
        simulator.auto_approve = False
        simulator.callbacks.retry_delays = (0.01,)
        with listening(tmp_path) as endpoint:
            endpoint.answer = lambda _: ("500 Internal Server Error", b"")
            simulator.response_url = endpoint.url
            page = self.send(portal)
            assert "Accepted: the result is still to come." in page
            assert "PIN is waited for" in page
            polled = html.unescape(page).split('hx-get="/portal/request-box/result')[1]
            polled = "request-box/result" + polled.partition('"')[0]
            assert portal.get(polled).status_code == 204
            (prompt,) = simulator.phones.waiting
            simulator.phones.refuse(prompt.transaction.conversation_id)
            simulator.callbacks.drain()
            part = portal.get(polled).text
            assert "Cancelled" in part
            assert "INS-5" in part
            assert "attempt 1 of 2 failed" in part
            assert "attempt 2 of 2 failed, given up" in part
            assert "every 1s" not in part
        assert portal.get("request-box/result/AG_NOSUCH").status_code == 404

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
        other.sign_up_and_in()
        assert other.get(f"request-box/history/{mine}").status_code == 404
        other.close()
