"""The commands `flask mpesa …`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask

from flask_mpesa import Mpesa
from mpesa_integrations import background
from mpesa_integrations.core.payments import queued
from mpesa_integrations.simulator import Simulator

from .conftest import flat_config


def test_the_commands(app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator) -> None:
    def run(*words: str) -> Any:
        return app.test_cli_runner().invoke(args=["mpesa", *words])

    checked = run("check")
    assert (checked.exit_code, checked.output) == (
        0, "ok       default: the gateway accepts the API key\n"
    )  # fmt: skip
    paid = run("c2b", "--msisdn", "84 123 4567", "--amount", "10", "--reference", "T1")
    assert paid.exit_code == 0, paid.output
    assert "25884•••4567" in paid.output
    record: Any = mpesa["default"].store.find(
        next(
            line.split()[-1]
            for line in paid.output.splitlines()
            if line.startswith("third party reference")
        )
    )
    assert run("status", record.transaction_id).exit_code == 0
    assert run("reverse", record.transaction_id, "--amount", "4").exit_code == 0
    refused = run("reverse", record.transaction_id, "--amount", "9")
    assert (refused.exit_code, "6.00" in refused.output) == (3, True)
    mpesa_simulator.scenarios.queue("insufficient_balance")
    assert run("c2b", "--msisdn", "841234567", "--amount", "1", "--reference", "T").exit_code == 5
    assert run("status", "NOSUCHTHING").exit_code == 8
    # rich 13.7 ends a progress bar that is not shown with an empty line.
    assert run("reconcile").output.strip() == "default: 0 asked"
    mpesa_simulator.scenarios.clear()
    mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
    assert run("c2b", "--msisdn", "841234567", "--amount", "1", "--reference", "T").exit_code == 8
    early = run("reconcile").output.strip()
    assert early.startswith("default: 0 asked; 1 not due yet, the ")
    assert 20 <= int(early.removesuffix(" s").split()[-1]) <= 30
    asked = run("reconcile", "--now").output.strip()
    assert asked == "default: 1 asked"
    for wrong in ("--batch=0", "--workers=-1", "--rate=0", "--rate=nan", "--every=0"):
        refused = run("reconcile", wrong)
        assert refused.exit_code == 3
        assert "Nothing was sent" in refused.output
    assert run("callback-url").exit_code == 2
    assert run("c2b", "--account", "x", "--msisdn", "1", "--amount", "1", "--reference", "T"
               ).exit_code == 2  # fmt: skip


def test_what_was_not_sent_in_time_is_counted(
    app: Flask, mpesa: Mpesa, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    with monkeypatch.context() as then:
        then.setattr(queued, "utc_now", lambda: long_ago)
        mpesa.c2b(msisdn="84 123 4567", amount="1", reference="T", send="worker")
    said = app.test_cli_runner().invoke(args=["mpesa", "reconcile"]).output.strip()
    assert said == "default: 0 asked, 1 not sent in time"


def test_what_is_doubtful_is_said_where_customers_come_and_by_no_command(
    mpesa: Mpesa, mpesa_simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator))
    mpesa.init_app(app)
    app.test_cli_runner().invoke(args=["routes"])
    assert app.test_cli_runner().invoke(args=["mpesa", "callbacks"]).exit_code == 0
    assert "config.doubtful" not in caplog.text
    checked = app.test_cli_runner().invoke(args=["mpesa", "check"])
    assert "uses the local gateway in production" in checked.output
    for _ in range(2):
        app.test_client().get("/")
    (line,) = [each for each in caplog.messages if each.startswith("config.doubtful")]
    assert "uses the local gateway in production" in line
    app.extensions["mpesa"].forget()


def test_payments_that_are_to_be_tasks_and_have_no_queue_are_told(
    mpesa: Mpesa,
    mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator, SEND="task"))
    mpesa.init_app(app)
    for is_set_up in (True, False):
        monkeypatch.setattr(background, "celery_is_set_up", lambda found=is_set_up: found)
        checked = app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"]).output
        assert ("problem  The SEND of the M-Pesa account 'default'" in checked) is not is_set_up
    for _ in range(2):
        app.test_client().get("/")
    assert caplog.text.count("config.doubtful The SEND of the M-Pesa account") == 1
    app.extensions["mpesa"].forget()


def test_a_status_that_cannot_be_looked_up_shows_no_number(
    app: Flask, mpesa: Mpesa, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(reference: str) -> None:
        raise RuntimeError(f"row 258841234567 of {reference}")

    monkeypatch.setattr(mpesa["default"].store, "find", broken)
    result = app.test_cli_runner().invoke(args=["mpesa", "status", "T1"])
    assert str(result.exception) == "row 25884•••4567 of T1"


def test_the_handlers_that_are_left(app: Flask, mpesa: Mpesa) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = app.test_cli_runner().invoke(args=["mpesa", *words])
        return done.exit_code, done.output

    fails = [True]

    @mpesa.handler("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        if fails:
            raise ValueError

    assert run("handlers") == (0, "")
    paid = mpesa.c2b(msisdn="84 123 4567", amount="1", reference="T1")
    (left,) = mpesa.unfinished_handlers()
    code, listed = run("handlers")
    assert code == 0
    for said in (left.event_id, paid.third_party_reference, "ship  1 tries, next try 20"):
        assert said in listed
    assert run("handlers", "--run-again", left.event_id) == (1, f"{left.event_id}: failed\n")
    store = mpesa["default"].store
    store.change_outbox_entry(left.event_id, {"given_up_at": paid.created_at})
    code, listed = run("handlers")
    assert (code, "waits for a person since 20" in listed) == (1, True)
    assert "problem  default: handlers that failed wait for a person, 1 of them" in run("check")[1]
    fails.clear()
    assert run("handlers", "--all") == (0, f"{left.event_id}: done\n")
    assert run("handlers", "--run-again", left.event_id) == (
        1, f"{left.event_id}: no handler is left to be run with this ID\n"
    )  # fmt: skip
    fails.append(True)
    mpesa.c2b(msisdn="84 123 4567", amount="1", reference="T1")
    mpesa._handlers._handlers.clear()
    code, listed = run("handlers")
    assert (code, "1 tries, no such handler, ValueError in ship" in listed) == (1, True)
    code, checked = run("check")
    assert (code, "no handler ship of payment_completed is registered here" in checked) == (1, True)


def test_the_callbacks_of_no_payment(app: Flask, mpesa: Mpesa) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = app.test_cli_runner().invoke(args=["mpesa", "callbacks", *words])
        return done.exit_code, done.output

    assert run() == (0, "")
    body = {
        "input_OriginalConversationID": "AG_1",
        "input_ThirdPartyReference": "NOBODYS",
        "input_ResultCode": "INS-0",
    }
    mpesa["default"].receive(json.dumps(body).encode())
    code, listed = run()
    assert (code, "NOBODYS  unmatched" in listed) == (1, True)
    key = listed.split()[1]
    assert run("--apply-again", key) == (1, f"default: {key}: unmatched\n")
    assert run("--apply-again", "999")[1].startswith("999: no callback with this ID")


def test_a_person_decides_by_command(app: Flask, mpesa: Mpesa, mpesa_simulator: Simulator) -> None:
    with app.app_context():
        mpesa_simulator.scenarios.queue("cut_before", delay=0)
        record = mpesa.c2b(msisdn="84 123 4567", amount=10, order="ORDER-7")
    run = app.test_cli_runner().invoke
    words = ["mpesa", "resolve", record.third_party_reference, "failed", "--by", "Ana"]
    decided = run(args=[*words, "--note", "not on the statement"])
    assert decided.exit_code == 0, decided.output
    assert "Decided by Ana: not on the statement" in decided.output
    again = run(args=[*words, "--note", "again"])
    assert again.exit_code == 3
    assert "which is final" in again.output
    unheard = run(args=["mpesa", "resolve", "NOSUCH", "failed", "--by", "Ana", "--note", "x"])
    assert (unheard.exit_code, "no payment has this" in unheard.output) == (3, True)


def test_a_payment_that_a_worker_is_to_send_is_well(app: Flask, mpesa: Mpesa) -> None:
    accounts = app.extensions["mpesa"]
    object.__setattr__(accounts["default"].settings, "send", "worker")
    words = ["mpesa", "c2b", "--msisdn", "84 123 4567", "--amount", "1", "--reference", "T"]
    done = app.test_cli_runner().invoke(args=words)
    assert (done.exit_code, "queued" in done.output) == (0, True)
