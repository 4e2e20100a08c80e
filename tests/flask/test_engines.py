"""Engines that payments cannot be recorded with are refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from flask_mpesa import Mpesa
from flask_mpesa.records import Records
from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.simulator import Simulator

from .conftest import flat_config
from .models import Base, Payment, PaymentCallback, PaymentOutboxEntry

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
_WORDS = "one connection for everybody.*half done would be committed.*tmp_path"


@pytest.fixture
def app(mpesa_simulator: Simulator) -> Iterator[Flask]:
    app = Flask("shop")
    app.config.update(flat_config(mpesa_simulator), TESTING=True)
    yield app
    if "mpesa" in app.extensions:
        app.extensions["mpesa"].forget()


def _records(engine: Any) -> Records:
    return Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
@pytest.mark.parametrize("options", [{}, {"poolclass": StaticPool}])
def test_a_database_in_memory_is_refused_when_the_app_is_set_up(
    app: Flask, url: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=_WORDS):
        Mpesa(app, records=_records(create_engine(url, **options)))
    assert "mpesa" not in app.extensions


def test_one_connection_for_everybody_is_refused_with_a_file_too(
    app: Flask, tmp_path: Path
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=StaticPool)
    with pytest.raises(ConfigurationError, match="StaticPool"):
        Mpesa(app, records=_records(engine))


@pytest.mark.parametrize("known", [True, False])
def test_one_of_flask_sqlalchemy_is_refused_before_anything_is_sent(
    app: Flask, mpesa_simulator: Simulator, known: bool
) -> None:
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db = SQLAlchemy(model_class=Base)
    mpesa = Mpesa(records=_records(lambda: db.engine))
    if known:
        db.init_app(app)
        with pytest.raises(ConfigurationError, match=_WORDS):
            mpesa.init_app(app)
        return
    mpesa.init_app(app)
    db.init_app(app)
    with app.app_context():
        with pytest.raises(ConfigurationError, match=_WORDS):
            mpesa.c2b(**PAYMENT)
        checked = app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"])
        assert (checked.exit_code, "problem  records: The payments'" in checked.output) == (1, True)
        db.engine.dispose()
    assert mpesa_simulator.ledger.transactions() == []


@pytest.mark.parametrize(("overflow", "code"), [(0, 1), (1, 0), (-1, 0)])
def test_a_pool_of_one_is_a_problem_that_check_mentions(
    app: Flask, tmp_path: Path, overflow: int, code: int
) -> None:
    engine: Engine = create_engine(
        f"sqlite:///{tmp_path / 'shop.db'}", pool_size=1, max_overflow=overflow
    )
    Base.metadata.create_all(engine)
    Mpesa(app, records=_records(lambda: engine))
    checked = app.test_cli_runner().invoke(args=["mpesa", "check", "--offline"])
    engine.dispose()
    assert (checked.exit_code, "max_overflow" in checked.output) == (code, bool(code))
