"""The portal's reports, customers and live log."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest

from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import Call, CallFilter
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


def test_an_empty_log_says_how_to_fill_it(portal: PortalClient) -> None:
    assert "Send a request, and it appears here." in portal.get("log").text
