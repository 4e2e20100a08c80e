from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blinker import NamedSignal
from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from flask_mpesa import Mpesa, signals
from flask_mpesa.records import Records
from mpesa_integrations.simulator import Simulator
from tests.support import hasty_sqlite
from tests.support.account import TOKEN, account_settings
from tests.support.hearing import hearing

from .models import Base, Payment, PaymentCallback, PaymentOutboxEntry

hasty_sqlite.through_sqlalchemy()
SIGNALS = {name: value for name, value in vars(signals).items() if isinstance(value, NamedSignal)}
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
Heard = list[tuple[str, Any]]


def flat_config(simulator: Simulator, **changes: Any) -> dict[str, Any]:
    """The same as the default account's MPESA_… keys."""
    return {f"MPESA_{k}": v for k, v in account_settings(simulator, **changes).items()}


def event_names(heard: Heard) -> list[str]:
    """The events of the payments' signals, without their prefix."""
    return [name.removeprefix("payment_") for name, _ in heard]


def post_callback(app: Flask, body: Any, token: str = TOKEN, **options: Any) -> Any:
    options.setdefault("content_type", "application/json")
    data = body if isinstance(body, bytes) else json.dumps(body)
    return app.test_client().post(f"/mpesa/callback/{token}/", data=data, **options)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    engine = create_engine(
        f"sqlite:///{tmp_path / 'records.sqlite3'}",
        poolclass=NullPool,
        connect_args={"timeout": 20},
    )
    Base.metadata.create_all(engine)
    return Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)


@pytest.fixture
def mpesa(records: Records) -> Mpesa:
    return Mpesa(records=records)


@pytest.fixture
def app(mpesa: Mpesa, mpesa_simulator: Simulator) -> Iterator[Flask]:
    """An app whose default account is the local gateway's, inside its context."""
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    mpesa.init_app(app)
    with app.app_context():
        yield app
    app.extensions["mpesa"].forget()


@pytest.fixture
def session(records: Records) -> Iterator[Session]:
    """The shop's own session on the same database."""
    with Session(records.engine) as session:
        yield session


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any]]]:
    """The signals that were sent, with the state that the record had then."""
    with hearing(SIGNALS) as found:
        yield found
