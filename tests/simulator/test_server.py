"""Starting, stopping, restarting, the documented ports, and the control interface."""

from __future__ import annotations

import json
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from mpesa_integrations import MpesaClient
from mpesa_integrations.simulator import Ledger, PortTaken, Simulator
from tests.support.raw import PATHS, RawClient, bearer


def test_account_json_is_private_and_complete(tmp_path: Path) -> None:
    with Simulator(tmp_path) as simulator:
        path = tmp_path / "account.json"
        account = json.loads(path.read_text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert account["base_url"] == simulator.base_url
        assert set(account) >= {
            "api_key", "public_key", "service_provider_code", "ca_file", "base_url",
            "initiator_identifier", "security_credential",
        }  # fmt: skip
        assert len(account["api_key"]) == 32
        answer = requests.post(
            account["base_url"] + PATHS["c2b"][2], verify=account["ca_file"], timeout=10
        )
        assert answer.json()["output_ResponseCode"] == "INS-2"


def test_a_restart_keeps_keys_certificates_and_ledger(state_dir: Path) -> None:
    with Simulator(state_dir) as simulator, MpesaClient(simulator.config) as client:
        before = simulator.account
        authority = Path(before.ca_file).read_bytes()
        paid = client.c2b(msisdn="841234567", amount=25, reference="R1")
    with Simulator(state_dir) as simulator, MpesaClient(simulator.config) as client:
        assert simulator.account.api_key == before.api_key
        assert simulator.account.public_key == before.public_key
        assert Path(simulator.account.ca_file).read_bytes() == authority
        found = client.query_transaction_status(query_reference=str(paid.transaction_id))
        assert found.transaction_status is not None
    with_no_gateway = Ledger.open(state_dir)
    assert [t.amount for t in with_no_gateway.transactions()] == [25]
    assert with_no_gateway.export()["total"] == "0.00"
    with_no_gateway.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_on_all_addresses_it_names_one_that_it_answers_at(state_dir: Path, host: str) -> None:
    if host == "::":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
    with Simulator(state_dir, host=host) as simulator, MpesaClient(simulator.config) as client:
        assert client.c2b(msisdn="841234567", amount=25, reference="R1").transaction_id
        url = f"{simulator.control_url}/simulator/ledger"
        answer = requests.get(url, verify=simulator.account.ca_file, timeout=10)
        assert len(answer.json()["transactions"]) == 1


def test_whoever_asks_is_told_whether_the_gateway_is_well() -> None:
    with Simulator(host="0.0.0.0") as simulator:
        url = f"{simulator.control_url}/health"
        well = requests.get(url, verify=simulator.account.ca_file, timeout=10)
        assert (well.status_code, well.json()) == (200, {"ok": True})
        simulator.ledger.close()
        assert requests.get(url, verify=simulator.account.ca_file, timeout=10).status_code == 500


def test_a_ledger_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no ledger"):
        Ledger.open(tmp_path)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            Simulator(port=port).start()


def test_stopping_is_quick_with_idle_connections_open(state_dir: Path) -> None:
    simulator = Simulator(state_dir).start()
    clients = [MpesaClient(simulator.config) for _ in range(5)]
    for client in clients:
        client.query_customer_name(msisdn="841234567")
    started = time.monotonic()
    simulator.stop()
    assert time.monotonic() - started < 10
    for client in clients:
        client.close()


def test_a_temporary_gateway_leaves_nothing_behind() -> None:
    with Simulator() as simulator:
        directory = simulator.state_dir
        assert directory.is_dir()
    assert not directory.exists()


def test_each_documented_port_serves_its_own_operation(state_dir: Path, own_address: str) -> None:
    """As an unmodified client calls: fixed ports, one host, certificate checked."""
    with Simulator(state_dir, host=own_address, documented_ports=True) as simulator:
        account = simulator.account
        assert account.base_url == f"https://{own_address}"
        raw = RawClient(simulator)
        for operation, (method, port, path) in PATHS.items():
            carrier = "params" if method == "GET" else "json"
            answer = raw.session.request(
                method,
                f"https://{own_address}:{port}{path}",
                headers={"Authorization": f"Bearer {bearer(account)}", "Origin": "*"},
                timeout=10,
                **{carrier: raw.parameters(operation)},  # type: ignore[arg-type]
            ).json()
            code = answer.get("output_ResponseCode", answer.get("output_ResultCode"))
            assert code == ("INS-18" if operation == "reversal" else "INS-0")
            other = next(found for name, found in PATHS.items() if name != operation)
            wrong = raw.session.request(
                other[0],
                f"https://{own_address}:{port}{other[2]}",
                headers=raw.headers(),
                timeout=10,
            )
            assert wrong.status_code == 404
        with MpesaClient(simulator.config) as client:
            paid = client.c2b(msisdn="841234567", amount=1, reference="R")
            client.reverse(transaction_id=str(paid.transaction_id))
        raw.session.close()


def test_the_certificate_covers_names_that_are_asked_for(state_dir: Path) -> None:
    with Simulator(state_dir, hostnames=["gateway.test"]) as simulator:
        import ssl

        context = ssl.create_default_context(cafile=simulator.account.ca_file)
        port = int(simulator.base_url.rpartition(":")[2])
        for name in ("gateway.test", "localhost", "127.0.0.1"):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
                context.wrap_socket(connection, server_hostname=name) as secured,
            ):
                assert secured.version() in ("TLSv1.2", "TLSv1.3")


class _Control:
    def __init__(self, simulator: Simulator) -> None:
        self.url = simulator.control_url + "/simulator"
        self.verify = simulator.account.ca_file

    def __call__(self, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method, self.url + path, json=body if body is not None else {}, verify=self.verify,
            timeout=10,
        )  # fmt: skip


def test_the_control_interface_does_what_a_test_elsewhere_needs(
    mpesa_simulator: Simulator, raw: RawClient
) -> None:
    control = _Control(mpesa_simulator)
    assert "cut_after" in control("GET", "/scenarios").json()
    assert control("POST", "/scenarios", {"name": "cancelled", "times": 2}).status_code == 204
    assert raw.code("c2b") == "INS-5"
    assert control("DELETE", "/scenarios").status_code == 204
    assert raw.code("c2b") == "INS-0"
    ledger = control("GET", "/ledger").json()
    assert [t["status"] for t in ledger["transactions"]] == ["Cancelled", "Completed"]
    assert ledger["total"] == "0.00"
    url = "https://127.0.0.1:12345/x"
    assert control("PUT", "/response-url", {"url": url}).status_code == 204
    assert control("GET", "/response-url").json() == {"url": url}
    assert control("PUT", "/response-url", {"url": None}).status_code == 204
    assert control("GET", "/deliveries").json() == []
    assert control("POST", "/renew-api-key").status_code == 204
    assert raw.code("c2b") == "INS-2"
    assert control("POST", "/reset").status_code == 204
    assert control("GET", "/ledger").json()["transactions"] == []


@pytest.mark.parametrize(
    ("path", "method", "body", "words"),
    [
        ("/scenarios", "POST", {"name": "no_such"}, "no scenario"),
        ("/scenarios", "POST", {"nam": "slow"}, "cut_after"),
        ("/scenarios", "POST", {"name": "slow", "colour": 1}, "colour"),
        ("/scenarios", "POST", {"name": "slow", "times": "x"}, ""),
        ("/response-url", "PUT", {"url": "http://127.0.0.1:12000"}, "https"),
        ("/response-url", "PUT", {}, "https"),
        ("/response-url", "PUT", [], "https"),
    ],
)
def test_the_control_interface_says_what_is_wrong(
    mpesa_simulator: Simulator, path: str, method: str, body: Any, words: str
) -> None:
    answer = requests.request(
        method, f"{mpesa_simulator.control_url}/simulator{path}", data=json.dumps(body),
        headers={"Content-Type": "application/json"},
        verify=mpesa_simulator.account.ca_file, timeout=10,
    )  # fmt: skip
    assert answer.status_code == 400
    assert words in answer.json()["problem"]


def test_a_form_of_a_strange_page_changes_nothing(mpesa_simulator: Simulator) -> None:
    answer = requests.post(
        f"{mpesa_simulator.control_url}/simulator/reset",
        data={"a": "b"},
        verify=mpesa_simulator.account.ca_file,
        timeout=10,
    )
    assert answer.status_code == 415
