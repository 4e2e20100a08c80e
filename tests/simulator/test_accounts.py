"""Several accounts of one gateway: what each has for itself, and that none sees another's."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mpesa_integrations import MpesaClient
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.calls import CallFilter
from tests.support.endpoint import listening
from tests.support.raw import MSISDN, RawClient, new_reference

from .portal_client import PortalClient


@pytest.fixture
def other(mpesa_simulator: Simulator) -> AccountState:
    """An account beside the ready-made one."""
    return mpesa_simulator.open_account()


@pytest.fixture
def raw_of_other(other: AccountState) -> Iterator[RawClient]:
    client = RawClient(other)
    yield client
    client.session.close()


class TestTwoAccounts:
    def test_each_has_keys_of_its_own_and_the_gateways_public_key(
        self, mpesa_simulator: Simulator, other: AccountState
    ) -> None:
        ours, theirs = mpesa_simulator.account, other.account
        assert ours.public_key == theirs.public_key
        for name in ("api_key", "service_provider_code", "security_credential"):
            assert getattr(ours, name) != getattr(theirs, name)

    def test_money_and_references_of_the_one_are_unknown_to_the_other(
        self, mpesa_simulator: Simulator, other: AccountState, raw: RawClient,
        raw_of_other: RawClient,
    ) -> None:  # fmt: skip
        reference = new_reference()
        paid = raw.call("c2b", input_ThirdPartyReference=reference, input_Amount="70")[1]
        asked = raw_of_other.call("query_transaction_status", input_QueryReference=reference)[1]
        assert asked["output_ResponseTransactionStatus"] == "N/A"
        transaction_id = paid["output_TransactionID"]
        assert raw_of_other.code("reversal", input_TransactionID=transaction_id) == "INS-18"
        assert raw_of_other.code("c2b", input_ThirdPartyReference=reference) == "INS-0"
        assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - 70
        assert other.ledger.balance(MSISDN) == 100_000 - 10
        assert other.ledger.balance(other.service_provider_code) == 1_000_000 + 10
        assert mpesa_simulator.ledger.balance(other.service_provider_code) is None
        assert mpesa_simulator.ledger.total() == other.ledger.total() == 0

    def test_ones_bearer_goes_with_ones_shortcode(
        self, raw_of_other: RawClient, mpesa_simulator: Simulator
    ) -> None:
        ours = mpesa_simulator.service_provider_code
        assert raw_of_other.code("c2b", input_ServiceProviderCode=ours) == "INS-13"

    def test_renewing_the_one_key_leaves_the_other(
        self, mpesa_simulator: Simulator, other: AccountState, raw: RawClient,
        raw_of_other: RawClient,
    ) -> None:  # fmt: skip
        other.renew_api_key()
        assert raw_of_other.code("c2b") == "INS-2"
        assert raw.code("c2b") == "INS-0"
        mpesa_simulator.renew_api_key()
        with MpesaClient(other.config) as client:
            client.c2b(msisdn="841234567", amount=1, reference="R1")

    def test_the_one_calls_back_while_the_other_answers(
        self, other: AccountState, raw: RawClient, raw_of_other: RawClient, tmp_path: Path
    ) -> None:
        with listening(tmp_path) as endpoint:
            other.response_url = endpoint.url
            reference = new_reference()
            answer = raw_of_other.call("c2b", input_ThirdPartyReference=reference)[1]
            assert answer["output_TransactionID"] == "N/A"
            assert raw.call("c2b")[1]["output_TransactionID"] != "N/A"
            other.callbacks.drain()
        assert [body["input_ThirdPartyReference"] for body in endpoint.bodies] == [reference]

    def test_the_one_asks_its_customers_while_the_others_approve(
        self, mpesa_simulator: Simulator, other: AccountState, raw: RawClient,
        raw_of_other: RawClient,
    ) -> None:  # fmt: skip
        other.auto_approve = False
        reference = new_reference()
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(raw_of_other.code, "c2b", input_ThirdPartyReference=reference)
            prompt = other.phones.wait(reference)
            assert mpesa_simulator.phones.waiting == []
            assert raw.code("c2b") == "INS-0"
            other.phones.refuse(prompt.transaction.conversation_id)
            assert call.result(30) == "INS-5"

    def test_each_has_the_journal_of_its_own_calls(
        self, mpesa_simulator: Simulator, other: AccountState, raw: RawClient,
        raw_of_other: RawClient,
    ) -> None:  # fmt: skip
        raw.code("b2c")
        raw_of_other.code("c2b")
        assert [call.operation for call in mpesa_simulator.calls.select(CallFilter())] == ["b2c"]
        assert [call.operation for call in other.calls.select(CallFilter())] == ["c2b"]

    @pytest.mark.parametrize("operation", ["c2b", "b2b", "query_transaction_status"])
    def test_a_wrong_bearer_is_in_the_journal_of_the_account_that_was_meant(
        self, mpesa_simulator: Simulator, other: AccountState, raw_of_other: RawClient,
        operation: str,
    ) -> None:  # fmt: skip
        raw_of_other.token = "x"
        assert raw_of_other.code(operation) == "INS-2"
        assert [call.code for call in other.calls.select(CallFilter())] == ["INS-2"]
        code = {"b2b": "input_PrimaryPartyCode"}.get(operation, "input_ServiceProviderCode")
        assert raw_of_other.code(operation, **{code: "555555"}) == "INS-2"
        assert [call.code for call in mpesa_simulator.calls.select(CallFilter())] == ["INS-2"]

    def test_a_reset_leaves_the_other(
        self, mpesa_simulator: Simulator, other: AccountState, raw_of_other: RawClient
    ) -> None:
        raw_of_other.code("c2b")
        mpesa_simulator.reset()
        assert len(other.ledger.transactions()) == 1


@pytest.mark.slow
def test_opened_accounts_outlive_a_restart(state_dir: Path) -> None:
    (state_dir / "accounts" / "200001.copy").mkdir(parents=True)
    with Simulator(state_dir) as simulator:
        before = [simulator.open_account() for _ in range(2)]
        keys = [account.credentials.api_key for account in before]
        with MpesaClient(before[1].config) as client:
            client.c2b(msisdn="841234567", amount=25, reference="R1")
    with Simulator(state_dir) as simulator:
        first, second = (simulator.accounts[it.service_provider_code] for it in before)
        assert [first.credentials.api_key, second.credentials.api_key] == keys
        assert (len(first.ledger.transactions()), len(second.ledger.transactions())) == (0, 1)
        assert simulator.open_account().service_provider_code not in [
            it.service_provider_code for it in before
        ]
        path = state_dir / "accounts" / second.service_provider_code / "account.json"
        assert json.loads(path.read_text())["base_url"] == simulator.base_url
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.slow
class TestInThePortal:
    @pytest.fixture
    def developers(self, mpesa_simulator: Simulator) -> Iterator[list[PortalClient]]:
        clients = [PortalClient(mpesa_simulator) for _ in range(2)]
        for client in clients:
            client.sign_up_and_in()
        yield clients
        for client in clients:
            client.close()

    def test_an_account_is_opened_with_the_letter_and_not_by_whoever_signs_up(
        self, visitor: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        email, before = f"{new_reference().lower()}@example.com", len(mpesa_simulator.accounts)
        visitor.post("sign-up", on="sign-up", email=email, password="a long password")
        assert len(mpesa_simulator.accounts) == before
        for _ in range(2):
            assert "The account is active" in visitor.open_letter(email).text
            assert len(mpesa_simulator.accounts) == before + 1

    def test_each_developer_has_an_account_from_the_start(
        self, developers: list[PortalClient], mpesa_simulator: Simulator
    ) -> None:
        accounts = list(mpesa_simulator.accounts.values())[-2:]
        for developer, own, others in zip(developers, accounts, reversed(accounts), strict=True):
            for path in ("account", "apis/c2b", "request-box/reversal"):
                page = developer.get(path).text
                for account in (others, mpesa_simulator):
                    assert account.credentials.api_key not in page
                    assert account.credentials.security_credential not in page
            assert own.credentials.api_key in developer.get("account").text
            assert own.service_provider_code in developer.get("apis/c2b").text

    def test_calls_reports_and_customers_are_ones_own(
        self, developers: list[PortalClient], mpesa_simulator: Simulator
    ) -> None:
        own = list(mpesa_simulator.accounts.values())[-2]
        raw = RawClient(own)
        raw.code("c2b", input_TransactionReference="ONLYMINE", input_Amount="12.34")
        raw.session.close()
        (call,) = own.calls.select(CallFilter())
        mine, others = developers
        for path, words in [
            ("reports", "12.34"), ("reports.csv", "ONLYMINE"), (f"reports/{call.id}", "ONLYMINE"),
            ("log", "ONLYMINE"), ("customers", "12.34"),
        ]:  # fmt: skip
            assert words in mine.get(path).text, path
            assert words not in others.get(path).text, path

    def test_forms_change_ones_own_account_only(
        self, developers: list[PortalClient], mpesa_simulator: Simulator
    ) -> None:
        own, others = list(mpesa_simulator.accounts.values())[-2:]
        keys = [account.credentials.api_key for account in (own, others, mpesa_simulator)]
        mine = developers[0]
        mine.post("account/renew-api-key", on="account")
        mine.post("account/response-url", on="account", response_url="https://127.0.0.1:12000/mine")
        mine.post("customers/auto-approve", on="customers")
        changed = [account.credentials.api_key for account in (own, others, mpesa_simulator)]
        assert [old == new for old, new in zip(keys, changed, strict=True)] == [False, True, True]
        assert own.response_url is not None
        assert others.response_url is mpesa_simulator.response_url is None
        assert not own.auto_approve
        assert others.auto_approve

    def test_the_request_box_calls_for_the_account(
        self, developers: list[PortalClient], mpesa_simulator: Simulator
    ) -> None:
        own, others = list(mpesa_simulator.accounts.values())[-2:]
        mine = developers[0]
        mine.get("request-box/c2b")
        assert own.account.service_provider_code in mine.page
        raw = RawClient(own)
        answer = mine.post(
            "request-box/c2b", on="request-box/c2b", method="POST", address="127.0.0.1",
            port=own.control_url.rpartition(":")[2], path="/ipg/v1x/c2bPayment/singleStage/",
            origin="*", bearer=raw.token, body=json.dumps(raw.parameters("c2b")),
        )  # fmt: skip
        raw.session.close()
        assert "INS-0: Request processed successfully" in answer.text
        assert len(own.ledger.transactions()) == 1
        assert others.ledger.transactions() == []


@pytest.mark.slow
def test_people_of_an_older_version_get_accounts_of_their_own(state_dir: Path) -> None:
    with Simulator(state_dir) as simulator:
        client = PortalClient(simulator)
        email = client.sign_up_and_in()
        first_key = list(simulator.accounts.values())[-1].credentials.api_key
        client.close()
    old = sqlite3.connect(state_dir / "portal.sqlite3")
    old.execute("CREATE TABLE older AS SELECT id, email, phone, password_hash, activated_at, "
                "activation_hash FROM user")  # fmt: skip
    old.execute("DROP TABLE user")
    old.execute("ALTER TABLE older RENAME TO user")
    old.commit()
    old.close()
    with Simulator(state_dir) as simulator:
        client = PortalClient(simulator)
        client.sign_in(email, "a long password")
        assert 'value="258841234567"' in client.page  # asked for again, only to be confirmed
        client.confirm_phone("258841234567")
        key = list(simulator.accounts.values())[-1].credentials.api_key
        assert key != first_key
        assert key in client.get("account").text
        ready = PortalClient(simulator)
        ready.sign_in()
        assert simulator.account.api_key in ready.get("account").text
        for it in (client, ready):
            it.close()
