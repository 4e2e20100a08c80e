"""Accounts of a loader, over every store: changed, removed, broken, and used by many threads."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mpesa_integrations import (
    CalledInEventLoop,
    ConfigurationError,
    RecordsUnavailable,
)
from mpesa_integrations.commands import ExitCode, show_callbacks, show_handlers
from mpesa_integrations.core.payments import loaded_accounts
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN, account_settings
from tests.support.account_loader import Rows
from tests.support.callbacks import ASYNC_URL, accepted_payment, post_callback
from tests.support.waiting import until

from .backends import Backend
from .conftest import Heard
from .test_payments import callback

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "1.00", "reference": "ORDER 7"}
OTHER_TOKEN = "another-token-of-more-than-32-characters"


@pytest.fixture
def rows(mpesa_simulator: Simulator) -> Rows:
    cafe = account_settings(mpesa_simulator)
    return Rows(cafe=cafe, kiosk={**cafe, "CALLBACK_TOKEN": OTHER_TOKEN})


@pytest.fixture
def accounts(rows: Rows, backend: Backend, heard: Heard) -> Iterator[Accounts[Any, Any]]:
    def build(alias: str, settings: AccountSettings) -> Payments[Any, Any]:
        return Payments(alias, settings, backend.store(alias), heard)

    in_thread = backend.store().in_thread
    found: Accounts[Any, Any] = Accounts(lambda: rows, build, in_thread=in_thread)
    yield found
    found.forget()


def _pooled(payments: Payments[Any, Any]) -> list[Any]:
    """The connections that an account's client keeps."""
    session: Any = payments.client._transport._session  # type: ignore[attr-defined]
    pools = session.get_adapter("https://").poolmanager.pools
    return [
        connection
        for key in pools.keys()  # noqa: SIM118 - it is no dict
        for connection in pools[key].pool.queue
        if connection is not None
    ]


def test_an_account_keeps_its_client_while_its_settings_stay(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend
) -> None:
    payments = accounts["cafe"]
    assert payments.c2b(**PAYMENT).state == "completed"
    assert accounts["cafe"] is payments
    assert accounts["cafe"].c2b(**PAYMENT).state == "completed"
    assert accounts["kiosk"] is not payments
    assert [record.account for record in backend.records()] == ["cafe", "cafe"]
    assert rows.asked == ["cafe", "cafe", "cafe", "kiosk"]  # one read for each use
    assert list(accounts) == ["cafe", "kiosk"]
    assert ("cafe" in accounts, "nobody" in accounts, "" in accounts) == (True, False, False)


def test_a_changed_key_is_used_at_once_and_nobody_has_the_old_connections(
    accounts: Accounts[Any, Any], rows: Rows
) -> None:
    old = accounts["cafe"]
    assert old.c2b(**PAYMENT).state == "completed"
    client = weakref.ref(old.client)
    connections = _pooled(old)
    assert [connection.sock for connection in connections] != [None]
    rows.rows["cafe"]["API_KEY"] = "k" * 32
    refused = accounts["cafe"].c2b(**PAYMENT)
    assert refused.response_code == "INS-2"
    assert old.c2b(**PAYMENT).state == "completed"  # what is in hand goes on as it was
    gc.disable()
    try:
        del old
        assert client() is None
    finally:
        gc.enable()
    assert [connection.sock for connection in connections] == [None]


def test_a_call_in_flight_ends_on_the_old_client(
    accounts: Accounts[Any, Any], rows: Rows, mpesa_simulator: Simulator, backend: Backend
) -> None:
    mpesa_simulator.scenarios.queue("slow", operation="c2b", delay=1.0)
    with ThreadPoolExecutor(1) as pool:

        def pay() -> str:
            try:
                return str(accounts["cafe"].c2b(**PAYMENT).state)
            finally:
                backend.done()

        under_way = pool.submit(pay)
        until(lambda: [record.state for record in backend.records()] == ["initiated"])
        client = weakref.ref(accounts["cafe"].client)
        rows.rows["cafe"]["API_KEY"] = "k" * 32
        assert accounts["cafe"].client is not client()
        assert client() is not None
        assert under_way.result(30) == "completed"
    del under_way
    until(lambda: gc.collect() is not None and client() is None)


def test_awaited_calls_find_the_account_of_now_and_end_on_the_old_client(
    accounts: Accounts[Any, Any], rows: Rows, mpesa_simulator: Simulator, backend: Backend
) -> None:
    async def calls() -> list[str]:
        states = [(await accounts["cafe"].ac2b(**PAYMENT)).state]
        mpesa_simulator.scenarios.queue("slow", operation="c2b", delay=1.0)
        under_way = asyncio.ensure_future(accounts["cafe"].ac2b(**PAYMENT))
        while mpesa_simulator.scenarios.queued:  # until the gateway has it
            await asyncio.sleep(0.005)
        rows.rows["cafe"]["API_KEY"] = "k" * 32
        states.append((await accounts["cafe"].ac2b(**PAYMENT)).response_code)
        gc.collect()
        return [*states, (await under_way).state]

    assert backend.run(calls()) == ["completed", "INS-2", "completed"]


def test_a_removed_account_is_named_and_comes_back(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend
) -> None:
    assert accounts["cafe"].c2b(**PAYMENT).state == "completed"
    row = rows.rows.pop("cafe")
    with pytest.raises(ConfigurationError, match="no M-Pesa account 'cafe'"):
        accounts["cafe"]
    assert [record.account for record in backend.records()] == ["cafe"]
    rows.rows["cafe"] = row
    assert accounts["cafe"].c2b(**PAYMENT).state == "completed"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"API_KEY": ""}, "the M-Pesa account 'bad': api_key"),
        ({"STUCK_AFTER": "soon"}, "the M-Pesa account 'bad': stuck_after"),
        ("nothing", "load('bad') of the account loader must give a mapping or None, and gave str"),
    ],
)
def test_one_account_with_bad_settings_stops_no_other(
    accounts: Accounts[Any, Any], rows: Rows, row: Any, words: str
) -> None:
    rows.rows["bad"] = {**rows.rows["cafe"], **row} if isinstance(row, dict) else row
    with pytest.raises(ConfigurationError) as caught:
        accounts["bad"]
    assert words in str(caught.value)
    assert accounts["cafe"].c2b(**PAYMENT).state == "completed"


def test_a_loader_that_raises_says_so_and_shows_nothing(
    accounts: Accounts[Any, Any], rows: Rows
) -> None:
    assert accounts["cafe"].c2b(**PAYMENT).state == "completed"
    rows.broken = OSError("the row with the key k3y")
    for ask, words in (
        (lambda: accounts["cafe"], "the settings of the M-Pesa account 'cafe' could not be loaded"),
        (lambda: list(accounts), "the names of the M-Pesa accounts could not be loaded: OSError"),
        (lambda: accounts.accepting(TOKEN), "whose callback it is could not be loaded"),
    ):
        with pytest.raises(RecordsUnavailable) as caught:
            ask()
        assert words in str(caught.value)
        assert "k3y" not in str(caught.value)
    rows.broken = None
    assert accounts["cafe"].c2b(**PAYMENT).state == "completed"


def test_an_account_that_cannot_be_loaded_hides_no_others_callbacks(
    accounts: Accounts[Any, Any], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = rows.load

    def away(alias: str) -> Any:
        if alias == "cafe":
            raise OSError("the key store is away")
        return load(alias)

    assert post_callback(accounts, b"{}", token=OTHER_TOKEN) == 400
    monkeypatch.setattr(rows, "load", away)
    said: list[str] = []
    assert show_callbacks(accounts, said.append) is ExitCode.PROBLEM
    assert show_handlers(accounts, said.append) is ExitCode.UNAVAILABLE
    assert [line.partition(":")[0] for line in said] == ["cafe", "kiosk", "cafe"]
    assert "'cafe' could not be loaded: OSError" in said[0]


@pytest.mark.parametrize("alias", ["", "x" * 41, 7])
def test_a_name_that_cannot_be_is_refused(
    accounts: Accounts[Any, Any], rows: Rows, alias: Any
) -> None:
    rows.rows[alias] = rows.rows["cafe"]
    with pytest.raises(ConfigurationError, match="texts of 1 to 40 characters"):
        list(accounts)
    with pytest.raises(ConfigurationError, match="there is no M-Pesa account"):
        accounts[alias]


def test_a_callback_finds_its_account_by_its_token_and_the_others_are_not_loaded(
    accounts: Accounts[Any, Any], rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    assert accounts.accepting(OTHER_TOKEN) == ["kiosk"]
    assert rows.asked == ["kiosk"]
    assert post_callback(accounts, b"{}", OTHER_TOKEN) == 400
    assert post_callback(accounts, b"{}", "of-nobody-" + OTHER_TOKEN) == 404
    rows.broken = OSError("away")
    assert post_callback(accounts, b"{}", "no token, and no database is asked \0") == 404
    assert post_callback(accounts, b"{}", OTHER_TOKEN) == 500
    assert "callback.accounts_not_loaded" in caplog.text
    assert OTHER_TOKEN not in caplog.text


def test_a_callback_comes_again_where_its_accounts_settings_cannot_be_read_now(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    body = callback(accepted_payment(accounts["cafe"], mpesa_simulator, **PAYMENT))
    load = rows.load

    def away(alias: str) -> Any:
        if alias == "cafe":
            raise OSError("the key store is away")
        return load(alias)

    with monkeypatch.context() as broken:
        broken.setattr(rows, "load", away)
        broken.setattr(rows, "aliases_by_token", lambda token: ["cafe", "kiosk"])
        assert post_callback(accounts, body) == 500
        assert post_callback(accounts, body, token=OTHER_TOKEN) == 200, "it keeps no other's out"
    assert "callback.account_broken account=cafe" in caplog.text
    assert post_callback(accounts, body) == 200
    assert backend.verdicts() == ["unmatched", "applied"]


def test_a_callback_of_one_account_is_looked_up_once(
    accounts: Accounts[Any, Any], backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pending = accepted_payment(accounts["cafe"], mpesa_simulator, **PAYMENT)
    monkeypatch.setattr(Payments, "named_in", lambda *_: pytest.fail("nobody else can have it"))
    assert post_callback(accounts, callback(pending)) == 200
    assert backend.verdicts() == ["applied"]


@pytest.mark.parametrize(
    ("changes", "account", "verdict", "state"),
    [
        ({}, "kiosk", "applied", "completed"),
        ({"input_OriginalConversationID": "another"}, "kiosk", "mismatched", "pending"),
        ({"input_ThirdPartyReference": "NOBODYS"}, "cafe", "unmatched", "pending"),
    ],
)
def test_of_accounts_with_one_token_that_whose_payment_it_is_takes_a_callback(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator,
    changes: dict[str, str], account: str, verdict: str, state: str,
) -> None:  # fmt: skip
    rows.rows["kiosk"]["CALLBACK_TOKEN"] = TOKEN
    pending = accepted_payment(accounts["kiosk"], mpesa_simulator, **PAYMENT)
    assert post_callback(accounts, callback(pending, **changes)) == 200
    assert [record.state for record in backend.records()] == [state]
    assert [(kept.account, kept.verdict) for kept in backend.callbacks()] == [(account, verdict)]


def test_of_accounts_with_one_token_and_one_reference_the_conversation_tells(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator
) -> None:
    rows.rows["kiosk"]["CALLBACK_TOKEN"] = TOKEN
    payment = {**PAYMENT, "third_party_reference": "SAME1"}
    pending = accepted_payment(accounts["kiosk"], mpesa_simulator, **payment)
    mpesa_simulator.scenarios.queue("cut_before", operation="c2b")
    assert accounts["cafe"].c2b(**payment).state == "unknown"
    assert post_callback(accounts, callback(pending)) == 200
    states = {record.account: record.state for record in backend.records()}
    assert states == {"cafe": "unknown", "kiosk": "completed"}


def test_of_accounts_with_one_token_an_early_callback_is_of_that_whose_conversation_is_not_known(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rows.rows["kiosk"]["CALLBACK_TOKEN"] = TOKEN
    payment = {**PAYMENT, "third_party_reference": "SAME1"}
    mpesa_simulator.scenarios.queue("cut_before", operation="c2b")
    accounts["cafe"].c2b(**payment)
    backend.set_all(conversation_id="AG_OF_THE_CAFE")
    kiosk = accounts["kiosk"]
    send = kiosk.client.send

    def overtaken(request: Any) -> Any:
        result = send(request)
        (early,) = [record for record in backend.records() if record.account == "kiosk"]
        named = {"input_OriginalConversationID": str(result.conversation_id)}
        assert post_callback(accounts, callback(early, **named)) == 200
        assert backend.verdicts() == ["early"]
        return result

    monkeypatch.setattr(kiosk.client, "send", overtaken)
    mpesa_simulator.response_url = ASYNC_URL
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    assert kiosk.c2b(**payment).state == "completed"
    assert [(kept.account, kept.verdict) for kept in backend.callbacks()] == [("kiosk", "applied")]


def test_of_accounts_with_one_token_one_that_is_broken_keeps_no_others_callback(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    rows.rows["kiosk"]["CALLBACK_TOKEN"] = TOKEN
    pending = accepted_payment(accounts["kiosk"], mpesa_simulator, **PAYMENT)
    rows.rows["cafe"]["API_KEY"] = ""
    assert post_callback(accounts, callback(pending)) == 200
    assert backend.verdicts() == ["applied"]
    assert "callback.account_broken account=cafe" in caplog.text
    assert TOKEN not in caplog.text


def test_of_accounts_with_one_token_none_takes_what_may_be_a_broken_ones(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator
) -> None:
    rows.rows["kiosk"]["CALLBACK_TOKEN"] = TOKEN
    body = callback(accepted_payment(accounts["kiosk"], mpesa_simulator, **PAYMENT))
    api_key = rows.rows["kiosk"].pop("API_KEY")
    assert post_callback(accounts, body) == 500
    assert backend.callbacks() == []
    rows.rows["kiosk"]["API_KEY"] = api_key
    assert post_callback(accounts, body) == 200
    assert [(kept.account, kept.verdict) for kept in backend.callbacks()] == [("kiosk", "applied")]


def test_of_accounts_with_one_token_each_is_called_from_its_own_networks(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    rows.rows["kiosk"] |= {"CALLBACK_TOKEN": TOKEN, "CALLBACK_NETWORKS": ["10.0.0.0/8"]}
    body = callback(accepted_payment(accounts["kiosk"], mpesa_simulator, **PAYMENT))
    assert post_callback(accounts, body) == 404
    assert "callback.refused account=kiosk status=404 address=127.0.0.1" in caplog.text
    assert backend.callbacks() == []
    assert post_callback(accounts, body, remote_address="10.0.0.7") == 200
    assert backend.verdicts() == ["applied"]


def test_of_accounts_with_one_token_none_takes_what_may_be_anothers(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    rows.rows["kiosk"]["CALLBACK_TOKEN"] = TOKEN
    body = callback(accepted_payment(accounts["kiosk"], mpesa_simulator, **PAYMENT))
    store = accounts["kiosk"].store

    def away(reference: str) -> None:
        raise OSError("the disk is away")

    with monkeypatch.context() as broken:
        broken.setattr(store, "find", away)
        assert post_callback(accounts, body) == 500
    assert backend.callbacks() == []
    assert "callback.account_not_found" in caplog.text
    assert post_callback(accounts, body) == 200
    assert backend.verdicts() == ["applied"]


def test_many_threads_have_one_client_and_a_change_gives_them_one_other(
    accounts: Accounts[Any, Any], rows: Rows
) -> None:
    together = threading.Barrier(8)

    def use() -> list[Any]:
        together.wait(30)
        before = [accounts["cafe"] for _ in range(50)]
        together.wait(30)
        if together.wait(30) == 0:
            rows.rows["cafe"] = {**rows.rows["cafe"], "STUCK_AFTER": 60}
        together.wait(30)
        return [*before, *(accounts["cafe"] for _ in range(50))]

    with ThreadPoolExecutor(8) as pool:
        found = [future.result(60) for future in [pool.submit(use) for _ in range(8)]]
    assert len({id(each) for some in found for each in some[:50]}) == 1
    assert len({id(each) for some in found for each in some[50:]}) == 1
    assert found[0][0] is not found[0][-1]


def test_who_read_earlier_does_not_bring_the_old_settings_back(
    accounts: Accounts[Any, Any], rows: Rows
) -> None:
    accounts["cafe"]
    reading, go_on = threading.Event(), threading.Event()
    load = rows.load

    def slowly(alias: str) -> Any:
        found = load(alias)
        if threading.current_thread() is not threading.main_thread():
            reading.set()
            go_on.wait(30)
        return found

    rows.load = slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(lambda: accounts["cafe"])
        reading.wait(30)
        rows.rows["cafe"]["STUCK_AFTER"] = 60
        new = accounts["cafe"]
        go_on.set()
        assert late.result(30) is new
    assert accounts["cafe"] is new


def test_an_account_that_nobody_used_for_long_is_let_go(
    accounts: Accounts[Any, Any], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = weakref.ref(accounts["cafe"].client)
    accounts["kiosk"]
    monkeypatch.setattr(loaded_accounts, "KEPT_UNUSED", -1.0)
    rows.rows["third"] = rows.rows["kiosk"]
    accounts["third"]
    assert client() is None


def test_in_an_event_loop_only_what_can_be_awaited_is_had(
    accounts: Accounts[Any, Any], rows: Rows, backend: Backend
) -> None:
    rows.broken = OSError("no database in an event loop")

    async def ask() -> None:
        with pytest.raises(CalledInEventLoop, match="await the account's calls, as ac2b"):
            _ = accounts["cafe"].settings
        with pytest.raises(RecordsUnavailable, match="could not be loaded"):
            await accounts["cafe"].ac2b(**PAYMENT)

    backend.run(ask())
