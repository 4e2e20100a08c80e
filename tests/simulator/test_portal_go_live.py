"""Going live: what the page says is left to do, and the file for M-Pesa's staff."""

from __future__ import annotations

import csv
import io
import zipfile

import pytest

from mpesa_integrations.simulator import Simulator
from tests.support.raw import RawClient

from .portal_client import PortalClient

TOKEN = "a-callback-token-of-more-than-32-characters"


def _files(portal: PortalClient) -> dict[str, str]:
    answer = portal.get("mpesa-go-live.zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert "attachment" in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        return {name: file.read(name).decode() for name in file.namelist()}


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def _some_calls(raw: RawClient) -> None:
    raw.call("c2b", input_TransactionReference="=1+1", input_Amount="20")
    raw.call("c2b", input_TransactionReference="tel 841234567", input_Amount="0.10")
    raw.call("c2b", input_CustomerMSISDN="258840000001")
    raw.call("b2b", input_Amount="7")


@pytest.mark.usefixtures("_some_calls")
def test_the_file_has_the_transactions_with_numbers_masked(
    portal: PortalClient, mpesa_simulator: Simulator
) -> None:
    files = _files(portal)
    assert set(files) == {"account.csv", "transactions.csv", "report.html"}
    rows = _rows(files["transactions.csv"])
    assert [(it["operation"], it["status"], it["code"], it["amount"]) for it in rows] == [
        ("c2b", "Completed", "INS-0", "20.00"), ("c2b", "Completed", "INS-0", "0.10"),
        ("c2b", "Failed", "INS-2006", "10.00"), ("b2b", "Completed", "INS-0", "7.00"),
    ]  # fmt: skip
    assert rows[0]["transaction_reference"] == "'=1+1"
    assert [it["msisdn"] for it in rows] == ["25884•••4567"] * 2 + ["25884•••0001", ""]
    (paid, *_) = mpesa_simulator.ledger.transactions()
    assert rows[0]["conversation_id"] == paid.conversation_id
    report = files["report.html"]
    for words in ("=1+1", "25884•••4567", "INS-2006", str(paid.transaction_id), ">20.10<"):
        assert words in report
    for text in files.values():
        assert "841234567" not in text


@pytest.mark.usefixtures("_some_calls")
def test_no_secret_is_in_it(portal: PortalClient, mpesa_simulator: Simulator) -> None:
    mpesa_simulator.response_url = f"https://127.0.0.1:12000/mpesa/callback/{TOKEN}/"
    files = _files(portal)
    page = portal.get("go-live").text
    account = mpesa_simulator.account
    for text in (*files.values(), page):
        for secret in (account.api_key, account.security_credential, account.public_key, TOKEN):
            assert secret not in text
    details = {row["detail"]: row["value"] for row in _rows(files["account.csv"])}
    assert details["Shortcode of these tests"] == "171717"
    assert details["Asynchronous Response URL of these tests"].startswith("https://127.0.0.1:12000")
    assert details["E-mail"] == "developer@example.com"


def test_another_sees_none_of_it(mpesa_simulator: Simulator, raw: RawClient) -> None:
    raw.call("c2b")
    other = PortalClient(mpesa_simulator)
    other.sign_up_and_in()
    files = _files(other)
    assert _rows(files["transactions.csv"]) == []
    assert "Nothing yet." in files["report.html"]
    assert "171717" not in "".join(files.values())
    other.close()


def test_the_page_says_what_is_left_to_do(portal: PortalClient, raw: RawClient) -> None:
    page = portal.get("go-live").text
    assert "Name or company is missing" in page
    assert "Nothing yet." in page
    portal.post("profile/details", on="profile", name="Ana", company="Café & <Filhos>")
    paid = raw.call("c2b")[1]["output_TransactionID"]
    for operation in ("b2c", "b2b"):
        raw.call(operation)
    page = portal.get("go-live").text
    assert "Name and company are there" in page
    assert 'href="/portal/apis/reversal"' in page
    assert 'href="/portal/apis/b2c"' not in page
    raw.call("reversal", input_TransactionID=paid)
    assert "Each operation was tried" in portal.get("go-live").text
    assert "Café &amp; &lt;Filhos&gt;" in _files(portal)["report.html"]
    portal.post("profile/details", on="profile", name="", company="")


def test_it_is_in_the_readers_language(mpesa_simulator: Simulator) -> None:
    client = PortalClient(mpesa_simulator, language="pt-MZ")
    client.sign_in()
    assert "Relatório de transações" in _files(client)["report.html"]
    client.close()
