"""`flask mpesa worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from flask_mpesa import Mpesa
from flask_mpesa.records import Records
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import accepted_payment, callback_body
from tests.support.signals import sigterm_once

from .conftest import PAYMENT, flat_config, post_callback
from .models import Payment


@pytest.mark.slow
def test_it_works_until_a_signal_comes(
    records: Records, mpesa: Mpesa, mpesa_simulator: Simulator, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator, APPLY_CALLBACKS="worker"))
    mpesa.init_app(app)  # for which a local gateway in production is doubtful
    app.testing = True
    with app.app_context():
        record = accepted_payment(mpesa, mpesa_simulator, **PAYMENT)
    assert post_callback(app, callback_body(record)).status_code == 200

    def is_completed() -> bool:
        with Session(records.engine) as session:
            return session.scalars(select(Payment.state)).one() == "completed"

    assert not is_completed()
    assert "config.doubtful" not in caplog.text
    with sigterm_once(is_completed):
        words = ["mpesa", "worker", f"--health-file={tmp_path / 'health.json'}"]
        done = app.test_cli_runner().invoke(args=words)
    assert done.exit_code == 0, done.output
    assert "ending, since SIGTERM came" in done.output
    assert caplog.text.count("config.doubtful the M-Pesa account 'default' uses the local") == 1
    assert not (tmp_path / "health.json").exists()
    app.extensions["mpesa"].forget()


def test_what_makes_no_sense_is_refused(app: Flask) -> None:
    def run(*words: str) -> Any:
        return app.test_cli_runner().invoke(args=["mpesa", "worker", *words])

    for option in (
        "--concurrency=0", "--concurrency=-1", "--rate=0", "--batch=0", "--poll=0",
        "--stop-within=-1",
    ):  # fmt: skip
        refused = run(option)
        assert (refused.exit_code, "must be" in refused.output) == (3, True)
    assert run("--account=nobody").exit_code == 2


def test_without_records_there_is_nothing_to_do(mpesa_simulator: Simulator) -> None:
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    with pytest.warns(UserWarning, match="no records"):
        Mpesa(app)
    done = app.test_cli_runner().invoke(args=["mpesa", "worker"])
    assert (done.exit_code, "this app has no records" in done.output) == (2, True)
