"""The `mpesa` command as a person or a program runs it."""

from __future__ import annotations

import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mpesa_integrations import CODES, MpesaClient, MpesaConfig
from mpesa_integrations.cli import main
from mpesa_integrations.simulator import Simulator

from .core.faulty import AUTHORITY, FaultyServer, faulty_server
from .support.gateways import directory_with_key

PAYMENT = ["--msisdn", "84 123 4567", "--amount", "10", "--reference", "T1"]
ERROR_KEYS = {
    "code", "description", "kind", "conversation_id", "transaction_id", "third_party_reference",
    "http_status", "elapsed", "error",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MPESA_"):
            monkeypatch.delenv(name)


def _runner() -> CliRunner:
    # click 8.1 mixes the two streams unless it is told not to; 8.2 never does.
    if "mix_stderr" in inspect.signature(CliRunner).parameters:
        return CliRunner(mix_stderr=False)  # type: ignore[call-arg]
    return CliRunner()


def _run(*arguments: str, **environment: str) -> Result:
    return _runner().invoke(main, list(arguments), env=environment)


@pytest.fixture
def account(mpesa_simulator: Simulator) -> list[str]:
    return ["--account", str(mpesa_simulator.state_dir / "account.json")]


def test_bearer_prints_the_token_and_nothing_else(mpesa_simulator: Simulator) -> None:
    found = mpesa_simulator.account
    by_option = _run("bearer", "--api-key", found.api_key, "--public-key", found.public_key)
    by_environment = _run("bearer", MPESA_API_KEY=found.api_key, MPESA_PUBLIC_KEY=found.public_key)
    by_input = _runner().invoke(
        main, ["bearer", "--api-key", "-", "--public-key", found.public_key], input=found.api_key
    )
    for result in (by_option, by_environment, by_input):
        assert result.exit_code == 0
        token = result.stdout.strip()
        assert mpesa_simulator.account_of(f"Bearer {token}") is mpesa_simulator
        assert len(result.stdout.split()) == 1


def test_bearer_says_what_is_wrong() -> None:
    result = _run("bearer", "--api-key", "k", "--public-key", "not!a!key")
    assert result.exit_code == 2
    assert "public_key" in result.stderr
    assert result.stdout == ""


def test_a_payment_for_a_person(account: list[str], mpesa_simulator: Simulator) -> None:
    result = _run("c2b", *account, *PAYMENT)
    assert result.exit_code == 0
    (transaction,) = mpesa_simulator.ledger.transactions()
    assert str(transaction.transaction_id) in result.stdout
    assert "258841234567" not in result.output


def test_each_operation_for_a_program(account: list[str], mpesa_simulator: Simulator) -> None:
    def run(*arguments: str) -> dict[str, Any]:
        result = _run(arguments[0], *account, "--json", *arguments[1:])
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        assert (found["code"], found["kind"]) == ("INS-0", "success")
        return found

    paid = run("c2b", *PAYMENT, "--third-party-reference", "CLI1")
    assert paid["third_party_reference"] == "CLI1"
    assert run("status", "CLI1")["transaction_status"] == "Completed"
    run("reverse", paid["transaction_id"], "--amount", "4")
    run("b2c", *PAYMENT)
    run("b2b", "--receiver-shortcode", "979797", *PAYMENT[2:])
    assert "**" in run("name", "--msisdn", "841234567")["customer_name"]
    assert [t.operation for t in mpesa_simulator.ledger.transactions()] == [
        "c2b", "reversal", "b2c", "b2b"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "code", "kind"),
    [
        ("code:INS-13", 3, "ValidationError"),
        ("code:INS-26", 4, "AuthenticationError"),
        ("cancelled", 5, "PaymentDeclined"),
        ("code:INS-10", 6, "DuplicateTransaction"),
        ("code:INS-16", 7, "GatewayUnavailable"),
        ("cut_after", 8, "OutcomeUnknown"),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    account: list[str], mpesa_simulator: Simulator, scenario: str, code: int, kind: str
) -> None:
    mpesa_simulator.scenarios.queue(scenario, times=3)
    for_programs = _run("c2b", *account, *PAYMENT, "--json")
    assert for_programs.exit_code == code
    found = json.loads(for_programs.stdout)
    assert set(found) == ERROR_KEYS
    assert found["error"]["type"] == kind
    assert found["third_party_reference"]
    mpesa_simulator.scenarios.clear()
    mpesa_simulator.scenarios.queue(scenario, times=3)
    for_people = _run("c2b", *account, *PAYMENT)
    assert for_people.exit_code == code
    assert kind in for_people.stderr
    assert for_people.stdout == ""
    if code == 8:
        mpesa_simulator.scenarios.clear()
        hint = for_people.stderr.splitlines()[-1]
        asked = _run(*hint[hint.index("mpesa status") :].split()[1:])
        assert (asked.exit_code, "Completed" in asked.stdout) == (0, True), asked.output


def _waits(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)
    server.stopping.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        ["c2b", *PAYMENT], ["b2c", *PAYMENT], ["reverse", "4XDF12345"],
        ["b2b", "--receiver-shortcode", "979797", "--amount", "10", "--reference", "T1"],
        ["status", "4XDF12345"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_ctrl_c_while_the_customer_types_says_what_to_ask_for(
    account: list[str], tmp_path: Path, command: list[str], as_json: bool
) -> None:
    trusted, own = tmp_path / "ca.pem", tmp_path / "account.json"
    AUTHORITY.cert_pem.write_to_path(str(trusted))
    with faulty_server(_waits, certificate=AUTHORITY.issue_cert("127.0.0.1")) as server:
        of_server = {"base_url": f"https://127.0.0.1:{server.port}", "ca_file": str(trusted)}
        own.write_text(json.dumps({**json.loads(Path(account[1]).read_text()), **of_server}))
        process = subprocess.Popen(
            [
                sys.executable, "-m", "mpesa_integrations.cli", command[0], "--account", str(own),
                *(["--json"] if as_json else []), *command[1:],
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until = time.monotonic() + 60
        while not server.requests and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    (request,) = server.requests
    if command[0] == "status":
        assert (process.returncode, out) == (1, "")
        assert "Aborted" in err
        return
    assert process.returncode == 8, err
    reference = json.loads(request.partition(b"\r\n\r\n")[2])["input_ThirdPartyReference"]
    if as_json:
        said = json.loads(out)
        assert (said["third_party_reference"], said["error"]["type"]) == (
            reference, "OutcomeUnknown",
        )  # fmt: skip
    else:
        assert f"mpesa status --account {own} {reference}" in err
        assert "Aborted" not in err


def test_wrong_usage_and_wrong_values_are_told(account: list[str]) -> None:
    assert _run("c2b", *account).exit_code == 2
    result = _run("c2b", *account, "--msisdn", "12", "--amount", "x", "--reference", "T", "--json")
    assert result.exit_code == 3
    assert set(json.loads(result.stdout)["error"]["fields"]) == {"msisdn", "amount"}
    missing = _run("c2b", *PAYMENT)
    assert missing.exit_code == 2
    assert "api_key" in missing.stderr
    assert "--account" in missing.stderr
    nowhere = _run("c2b", "--account", "/no/such/account.json", *PAYMENT)
    assert nowhere.exit_code == 2
    assert "/no/such/account.json" in nowhere.stderr


def test_settings_come_from_the_environment_and_options_win(mpesa_simulator: Simulator) -> None:
    config = mpesa_simulator.config
    environment = {
        "MPESA_API_KEY": config.api_key,
        "MPESA_PUBLIC_KEY": config.public_key,
        "MPESA_SERVICE_PROVIDER_CODE": config.service_provider_code,
        "MPESA_ENVIRONMENT": "local",
        "MPESA_HOST": str(config.host),
        "MPESA_PORT": str(config.port),
        "MPESA_VERIFY": str(config.verify),
    }
    assert _run("c2b", *PAYMENT, **environment).exit_code == 0
    assert _run("c2b", *PAYMENT, "--shortcode", "99999", **environment).exit_code == 3


def test_codes_prints_the_table() -> None:
    shown = _run("codes").stdout
    assert all(code in shown and row.meaning in shown for code, row in CODES.items())
    found = json.loads(_run("codes", "--json").stdout)
    assert found["INS-2006"] == {
        "http_status": 422, "meaning": "Insufficient balance", "kind": "failed",
        "advice": "add_money",
    }  # fmt: skip


def test_doctor_is_content_with_a_good_configuration(account: list[str]) -> None:
    result = _run("doctor", *account)
    assert result.exit_code == 0, result.output
    assert "accepts the API key" in result.stdout


def test_doctor_tells_every_wrong_setting(account: list[str]) -> None:
    result = _run(
        "doctor", *account, "--port", "0", "--timeout", "x", "--shortcode", "1", "--verify", "/no"
    )
    assert result.exit_code == 1
    for setting in ("port", "timeout", "service_provider_code", "verify"):
        assert f"problem  {setting}" in result.stdout
    nothing = _run("doctor", "--offline")
    assert nothing.exit_code == 1
    assert "problem  api_key" in nothing.stdout
    assert "problem  public_key" in nothing.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--api-key", "k" * 32], "INS-2"),
        (["--api-key", "k" * 31], "31 characters"),
        (["--shortcode", "99999"], "refuses the shortcode"),
        (["--verify", "true"], "certificate is not trusted"),
        (["--port", "1"], "refused"),
    ],
)
def test_doctor_says_what_the_gateway_finds_wrong(
    account: list[str], options: list[str], words: str
) -> None:
    result = _run("doctor", *account, *options)
    assert result.exit_code == 1
    assert words in result.stdout


@pytest.fixture
def running(
    mpesa_simulator: Simulator, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    state = directory_with_key(mpesa_simulator, tmp_path / "state")
    process = subprocess.Popen(
        [sys.executable, "-m", "mpesa_integrations.cli", "simulator", "--port", "0",
         "--state-dir", str(state)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (state / "account.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield process, state
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_of_its_own_process_serves_until_it_is_told_to_stop(
    running: tuple[subprocess.Popen[str], Path], number: int
) -> None:
    process, state = running
    account = json.loads((state / "account.json").read_text())
    assert _run("c2b", "--account", str(state / "account.json"), *PAYMENT).exit_code == 0
    config = MpesaConfig(
        api_key=account["api_key"],
        public_key=account["public_key"],
        service_provider_code=account["service_provider_code"],
        environment="local",
        host="localhost",
        port=int(account["base_url"].rpartition(":")[2]),
        verify=account["ca_file"],
        initiator_identifier=account["initiator_identifier"],
        security_credential=account["security_credential"],
    )
    with MpesaClient(config) as client:
        client.c2b(msisdn="841234567", amount=5, reference="T2")
    shown = json.loads(_run("simulator", "ledger", "--json", "--state-dir", str(state)).stdout)
    assert [t["amount"] for t in shown["transactions"]] == ["10.00", "5.00"]
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert account["base_url"] in out
    assert str(state / "account.json") in out
    assert f"{account['control_url']}/portal/" in out
    assert "sign in as" in out
    assert account["api_key"] not in out + err
    assert err == ""
    table = _run("simulator", "--state-dir", str(state), "ledger").stdout
    assert "Completed" in table


@pytest.mark.slow
def test_a_gateway_that_cannot_run_says_why(
    running: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    account = json.loads((running[1] / "account.json").read_text())
    port = account["base_url"].rpartition(":")[2]
    taken = _run("simulator", "--port", port, "--state-dir", str(tmp_path / "other"))
    assert taken.exit_code == 1
    assert port in taken.stderr
    wrong = _run(
        "simulator", "--port", "0", "--state-dir", str(tmp_path / "third"),
        "--response-url", "http://x",
    )  # fmt: skip
    assert wrong.exit_code == 1
    assert "https" in wrong.stderr
    nothing = _run("simulator", "ledger", "--state-dir", str(tmp_path / "fourth"))
    assert nothing.exit_code == 1
    assert "no ledger" in nothing.stderr


def test_help_lists_the_exit_codes() -> None:
    text = _run("--help").stdout
    assert all(f"  {number}  " in text for number in range(9))
