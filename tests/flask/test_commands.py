"""The commands `flask mpesa …`."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_mpesa import Mpesa
from mpesa_integrations.simulator import Simulator


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
    assert run("reconcile").output.strip() == "default: 0 asked, 0 told, 0 callbacks decided"
    for wrong in ("--batch=0", "--workers=-1", "--rate=0", "--rate=nan", "--every=0"):
        refused = run("reconcile", wrong)
        assert refused.exit_code == 3
        assert "Nothing was sent" in refused.output
    assert run("callback-url").exit_code == 2
    assert run("c2b", "--account", "x", "--msisdn", "1", "--amount", "1", "--reference", "T"
               ).exit_code == 2  # fmt: skip


def test_a_status_that_cannot_be_looked_up_shows_no_number(
    app: Flask, mpesa: Mpesa, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(reference: str) -> None:
        raise RuntimeError(f"row 258841234567 of {reference}")

    monkeypatch.setattr(mpesa["default"].store, "find", broken)
    result = app.test_cli_runner().invoke(args=["mpesa", "status", "T1"])
    assert str(result.exception) == "row 25884•••4567 of T1"
