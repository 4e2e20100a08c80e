"""The portal's reports, customers and live log."""

from __future__ import annotations

import csv
import html
import io
import json
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import Call, CallFilter
from mpesa_integrations.simulator.portal import customers
from mpesa_integrations.simulator.portal.periods import Period
from tests.support.endpoint import acknowledge, listening
from tests.support.raw import RawClient, new_reference

from .portal_client import PortalClient


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
        assert "2 calls" in portal.get("reports?ended=success").text
        assert "0 calls" in portal.get("reports?operation=reversal&period=hour").text
        dear = portal.get("reports?sort=amount").text.partition('id="calls-table"')[2]
        assert dear.index(">20.00<") < dear.index(">10.00<") < dear.index(">5.00<")
        cheap = portal.get("reports?sort=amount&order=up").text.partition('id="calls-table"')[2]
        assert cheap.index(">5.00<") < cheap.index(">20.00<")
        assert "&#34;key&#34;: &#34;INS-2006&#34;" in portal.get("reports?by=code").text
        assert (
            portal.get("reports?by=nonsense&sort=nonsense&period=nonsense&page=-1").status_code
            == 200
        )

    def test_any_period_from_and_to(self, portal: PortalClient) -> None:
        now = datetime.now(timezone.utc)
        minute, day = f"{now:%Y-%m-%dT%H:%M}", f"{now:%Y-%m-%d}"
        earlier = f"{now - timedelta(days=40):%Y-%m-%dT%H:%M}"
        portal.simulator.calls.record(
            Call(
                at=now - timedelta(days=40), kind="call", operation="c2b", code="INS-0",
                outcome="success", http_status=201, seconds=1,
            )
        )  # fmt: skip
        assert "3 calls" in portal.get(f"reports?to={minute}").text
        assert "4 calls" in portal.get(f"reports?from={earlier}&to={minute}").text
        assert f'value="{earlier}"' in portal.page
        assert "1 call<" in portal.get(f"reports?from={earlier}&to={earlier}").text
        assert "3 calls" in portal.get(f"reports?from={day}&to={day}&period=hour").text
        assert 'value="" selected>From … to …' in portal.page
        rows = list(csv.DictReader(io.StringIO(portal.get(f"reports.csv?to={earlier}").text)))
        assert len(rows) == 1

    @pytest.mark.parametrize(
        ("address", "words"),
        [
            ("reports?from=2026-02-02&to=2026-02-01", "must begin before it ends"),
            ("reports?from=yesterday", "as in 2026-03-31T08:00"),
            ("reports?from=1970-01-01&to=2026-01-01", "longer than 50 years"),
            ("reports?from=0001-01-01&to=0002-06-01", "as in 2026-03-31T08:00"),
            ("reports?to=0001-01-05", "as in 2026-03-31T08:00"),
            ("reports?to=9999-12-31", "as in 2026-03-31T08:00"),
        ],
    )
    def test_a_wrong_period_is_explained(
        self, portal: PortalClient, address: str, words: str
    ) -> None:
        answer = portal.get(address)
        assert answer.status_code == 400
        assert words in answer.text
        assert portal.get(address.replace("reports", "reports.csv")).status_code == 400

    def test_each_filter_offers_what_there_is(self, portal: PortalClient) -> None:
        page = portal.get("reports").text
        for offered in ("INS-0", "INS-2006", "success", "failed", "c2b", "b2c"):
            assert f'<option value="{offered}">' in page
        for missing in ("INS-5", "cancelled", "b2b", "reversal"):
            assert f'<option value="{missing}"' not in page
        assert '<option value="b2b" selected>' in portal.get("reports?operation=b2b").text

    def test_a_payment_is_shown_with_how_it_ended(
        self, portal: PortalClient, raw: RawClient, tmp_path: Path
    ) -> None:
        simulator = portal.simulator
        with listening(tmp_path) as endpoint:
            simulator.response_url = endpoint.url
            raw.call("c2b", input_CustomerMSISDN="258840000002")
            simulator.callbacks.drain()
            page = portal.get("reports?code=INS-5").text
            assert "1 call<" in page
            assert "Cancelled" in page
            assert "Accepted" not in page
            (call,) = simulator.calls.select(CallFilter(kind="call", code="INS-5"))
            page = portal.get(f"reports/{call.id}").text
            assert "What belongs to the same payment" in page
            (callback,) = simulator.calls.select(CallFilter(kind="callback"))
            assert f'href="/portal/reports/{callback.id}"' in page
            simulator.auto_approve = False
            raw.call("c2b")
            assert '"key": "pending"' in html.unescape(portal.get("reports").text)
            (waiting,) = simulator.calls.select(CallFilter(ended="pending"))
            assert "PIN is waited for" in portal.get(f"reports/{waiting.id}").text
        (row,) = csv.DictReader(io.StringIO(portal.get("reports.csv?code=INS-5").text))
        assert (row["code"], row["outcome"], row["ended"], row["ended_code"], row["told_by"]) == (
            "INS-0", "accepted", "cancelled", "INS-5", "callback"
        )  # fmt: skip

    def test_csv_has_the_same_calls_and_no_formulas(self, portal: PortalClient) -> None:
        answer = portal.get("reports.csv?operation=c2b&sort=amount")
        assert answer.headers["Content-Type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [(row["amount"], row["code"]) for row in rows] == [
            ("20.00", "INS-0"), ("10.00", "INS-2006")
        ]  # fmt: skip
        assert rows[0]["transaction_reference"] == "'=1+1"
        assert rows[0]["msisdn"] == "258841234567"

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
        for page in ("2", "3", "9" * 20):
            assert "Page 2 of 2" in portal.get(f"reports?operation=c2b&page={page}").text


class TestCustomers:
    def test_balances_are_shown(self, portal: PortalClient, raw: RawClient) -> None:
        raw.call("c2b")
        page = portal.get("customers").text
        assert "258841234567" in page
        assert "99,990.00" in page

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

    def test_of_many_who_are_asked_the_first_are_shown(
        self, portal: PortalClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(customers, "_PROMPTS_SHOWN", 2)
        simulator = portal.simulator
        for number in range(3):
            simulator.phones.show(
                simulator.ledger.begin(
                    operation="c2b", third_party_reference=f"R{number}", transaction_reference="T",
                    payer="258841234567", payee="171717", amount=Decimal(number + 1),
                )
            )  # fmt: skip
        page = portal.get("customers").text
        assert "Pay 1.00 MZN to 171717?" in page
        assert "Pay 2.00 MZN to 171717?" in page
        assert "Pay 3.00 MZN to 171717?" not in page
        assert "And 1 more." in page

    def test_a_page_that_is_up_to_date_is_left_alone(
        self, portal: PortalClient, raw: RawClient
    ) -> None:
        seen = portal.get("customers").text.split("?seen=")[1].split('"')[0]
        assert portal.get(f"customers/live?seen={seen}").status_code == 204
        raw.call("c2b")
        assert "99,990.00" in portal.get(f"customers/live?seen={seen}").text


class TestNextPayment:
    def arrange(self, portal: PortalClient, **fields: str) -> str:
        form = {"scenario": "cancelled", "operation": "c2b", **fields}
        return portal.post("customers/next", on="customers", **form).text

    def test_the_next_payment_ends_as_arranged_and_then_all_is_as_before(
        self, portal: PortalClient, raw: RawClient
    ) -> None:
        page = self.arrange(portal)
        assert "C2B payment: The customer says no." in page
        assert raw.code("b2c") == "INS-0"
        assert [raw.code("c2b"), raw.code("c2b")] == ["INS-5", "INS-0"]
        assert "Arranged for" not in portal.get("customers").text

    def test_only_the_next_from_a_number(self, portal: PortalClient, raw: RawClient) -> None:
        seen = portal.get("customers").text.split("?seen=")[1].split('"')[0]
        page = self.arrange(portal, scenario="insufficient_balance", msisdn="85 111 2223")
        assert "C2B payment, 258851112223: The customer has too little money." in page
        assert portal.get(f"customers/live?seen={seen}").status_code == 200
        assert raw.code("c2b") == "INS-0"
        assert raw.code("c2b", input_CustomerMSISDN="258851112223") == "INS-2006"

    def test_what_was_arranged_can_be_dropped(self, portal: PortalClient, raw: RawClient) -> None:
        self.arrange(portal)
        self.arrange(portal, scenario="wrong_pin")
        number = portal.page.split("/portal/customers/next/")[1].split("/")[0]
        portal.post(f"customers/next/{number}/drop", on="customers")
        assert raw.code("c2b") == "INS-6"

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"msisdn": "12"}, "has nine digits"),
            ({"msisdn": "841234567", "operation": "b2b"}, "leave it empty"),
            ({"scenario": "nonsense"}, "could not be read"),
            ({"operation": "query_customer_name"}, "could not be read"),
        ],
    )
    def test_what_cannot_be_arranged_is_explained(
        self, portal: PortalClient, fields: dict[str, str], words: str
    ) -> None:
        assert words in self.arrange(portal, **fields)
        assert portal.simulator.scenarios.queued == []

    def test_a_test_number_is_one_click_from_a_payment(self, portal: PortalClient) -> None:
        page = html.unescape(portal.get("customers").text)
        link = "request-box/c2b?msisdn=258840000010"
        assert f'href="/portal/{link}"' in page
        portal.get(link)
        assert json.loads(portal.text_of("body"))["input_CustomerMSISDN"] == "258840000010"


class TestLiveLog:
    def polled(self, portal: PortalClient) -> str:
        return html.unescape(portal.page).split('hx-get="/portal/')[1].split('"')[0]

    def test_it_gives_what_is_new(self, portal: PortalClient, raw: RawClient) -> None:
        raw.call("c2b")
        page = portal.get("log").text
        assert "C2B payment" in page
        assert raw.token not in page
        polled = self.polled(portal)
        assert portal.get(polled).status_code == 204
        raw.call("b2c")
        fresh = portal.get(polled).text
        assert fresh.index("B2C payment") < fresh.index("C2B payment")

    def test_a_line_has_reference_amount_and_number(
        self, portal: PortalClient, raw: RawClient
    ) -> None:
        reference = new_reference()
        raw.call("c2b", input_ThirdPartyReference=reference, input_Amount="1250.5")
        page = portal.get("log").text
        line = page.partition("<summary")[2].partition("</summary>")[0]
        for words in (reference, "1,250.50 MZN", "258841234567", "T12344C", "Success"):
            assert words in line

    def test_a_callback_stands_with_its_call_and_says_whether_it_was_delivered(
        self, portal: PortalClient, raw: RawClient, tmp_path: Path
    ) -> None:
        simulator = portal.simulator
        simulator.callbacks.retry_delays = (0.01, 0.01)
        with listening(tmp_path) as endpoint:
            endpoint.answer = lambda _: ("500 Internal Server Error", b"")
            simulator.response_url = f"{endpoint.url}/a-secret-that-nobody-knows"
            raw.call("c2b", input_CustomerMSISDN="258840000002")
            simulator.callbacks.drain()
            page = portal.get("log").text
            assert page.count('class="entry"') == 1
            for words in ("attempt 1 of 3 failed", "attempt 2 of 3 failed", "3 failed, given up"):
                assert words in page
            (callback, *_) = simulator.calls.select(CallFilter(kind="callback"))
            curl = portal.get(f"log/{callback.id}.sh").text
            assert simulator.response_url in shlex.split(curl)
            endpoint.answer = acknowledge
            answer = portal.post(f"log/{callback.id}/send-again", on="log")
            assert "sent again, and delivered" in answer.text
            assert len(endpoint.bodies) == 4
            assert endpoint.bodies[3] == endpoint.bodies[0]
            assert "delivered" in portal.get("log").text
            (call,) = simulator.calls.select(CallFilter(kind="call"))
            assert call.told_by == "callback"
            endpoint.answer = lambda _: ("404 Not Found", b"")
            answer = portal.post(f"log/{callback.id}/send-again", on="log")
            assert "not delivered" in answer.text
            told = portal.get(f"log/{call.id}.json").json()
            assert told["at"] == call.at.isoformat()
            assert (told["ended"], told["ended_code"], told["told_by"]) == (
                "cancelled", "INS-5", "callback"
            )  # fmt: skip
            assert [row["attempt"] for row in told["callbacks"]] == [1, 2, 3, 1, 1]
            assert portal.post(f"log/{call.id}/send-again", on="log").status_code == 404
            portal.get("log")
            simulator.response_url = None
            answer = portal.post(f"log/{callback.id}/send-again", on="account")
            assert "first" in answer.text

    def test_it_is_searched_and_narrowed_and_has_older_entries(
        self, portal: PortalClient, raw: RawClient
    ) -> None:
        reference = new_reference()
        raw.call("b2c", input_ThirdPartyReference=reference)
        for _ in range(51):
            raw.call("query_customer_name")
        page = portal.get("log").text
        assert page.count('class="entry"') == 50
        older = html.unescape(page.split('id="older" href="/portal/')[1].split('"')[0])
        page = portal.get(older).text
        assert page.count('class="entry"') == 52
        assert "Older entries" not in page
        assert portal.get(self.polled(portal)).status_code == 204
        page = portal.get(f"log?search={reference}").text
        assert page.count('class="entry"') == 1
        raw.call("c2b")
        assert portal.get(self.polled(portal)).status_code == 204
        assert portal.get("log?operation=c2b&ended=success").text.count('class="entry"') == 1
        assert "Nothing that fits." in portal.get("log?search=nonsense").text

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_a_call_is_copied_as_curl_and_replayed(
        self, portal: PortalClient, raw: RawClient, name: str
    ) -> None:
        _, paid = raw.call("c2b")
        given = {"input_TransactionID": paid["output_TransactionID"]} if name == "reversal" else {}
        raw.call(name, **given)
        (call, *_) = portal.simulator.calls.select(CallFilter(operation=name))
        portal.get(f"request-box/{name}?replay={call.id}")
        again = json.loads(portal.text_of("body"))
        sent = json.loads(call.sent)["parameters"]
        assert again["input_ThirdPartyReference"] != sent["input_ThirdPartyReference"]
        if name == "reversal":
            assert again["input_SecurityCredential"] == portal.simulator.account.security_credential
        command = shlex.split(portal.get(f"log/{call.id}.sh").text)
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        expected = "INS-0" if OPERATIONS[name].method == "GET" else "INS-10"
        assert expected in answer.stdout, answer

    def test_a_command_takes_the_bearer_to_this_gateway_alone(
        self, portal: PortalClient, raw: RawClient
    ) -> None:
        elsewhere = {**raw.headers(), "Host": "elsewhere.example"}
        raw.send("c2b", raw.parameters("c2b"), headers=elsewhere)
        (call,) = portal.simulator.calls.select(CallFilter())
        assert "elsewhere.example" in call.sent
        command = portal.get(f"log/{call.id}.sh").text
        assert "elsewhere.example" not in command
        assert portal.simulator.control_url in command

    def test_what_has_no_number_is_not_there(self, portal: PortalClient) -> None:
        for number in ("999", "9" * 20):
            for path in (f"log/{number}.json", f"log/{number}.sh", f"reports/{number}"):
                assert portal.get(path).status_code == 404
            assert portal.get(f"request-box/c2b?replay={number}").status_code == 200


def test_where_others_can_call_numbers_are_masked(state_dir: Path) -> None:
    with Simulator(state_dir, host="0.0.0.0") as simulator:
        raw, portal = RawClient(simulator), PortalClient(simulator)
        raw.send("c2b", {**raw.parameters("c2b"), "input_CustomerMSISDN": 258841234567})
        raw.call("c2b", input_TransactionReference="tel 84 123 4567")
        raw.session.close()
        portal.sign_in()
        call, refused = simulator.calls.select(CallFilter())
        for page in (
            "log", "customers", "reports", "reports.csv", f"reports/{call.id}",
            f"log/{refused.id}.json", f"log/{call.id}.json", f"log/{call.id}.sh",
            f"request-box/c2b?replay={call.id}",
        ):  # fmt: skip
            text = portal.get(page).text
            assert "25884•••4567" in text, page
            assert "258841234567" not in text, page
            assert "84 123 4567" not in text, page
        portal.close()


def test_an_empty_log_says_how_to_fill_it(portal: PortalClient) -> None:
    assert "Send a request, and it appears here." in portal.get("log").text


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (timedelta(minutes=1), timedelta(minutes=1)),
        (timedelta(hours=1), timedelta(minutes=1)),
        (timedelta(days=1), timedelta(minutes=30)),
        (timedelta(days=30), timedelta(hours=12)),
        (timedelta(days=365), timedelta(days=7)),
        (timedelta(days=365 * 50), timedelta(days=365)),
    ],
)
def test_a_chart_has_as_many_bars_as_can_be_read(length: timedelta, step: timedelta) -> None:
    begin = datetime(2026, 3, 1, 7, 3, 20, tzinfo=timezone.utc)
    period = Period(name="", begin=begin, end=begin + length)
    assert period.step == step
    assert 1 <= len(period.bars) <= 61
    assert period.bars[0] <= period.begin
    assert period.bars[-1] < period.end <= period.bars[-1] + step
