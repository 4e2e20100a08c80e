"""What a type checker knows of the extension is so, too: `make types` reads these tests."""

from __future__ import annotations

import asyncio
from typing import Any

from flask import Flask
from typing_extensions import assert_type

from flask_mpesa import Mpesa
from flask_mpesa.records import Records
from mpesa_integrations.simulator import Simulator

from .conftest import PAYMENT, flat_config
from .models import Payment, PaymentCallback, PaymentOutboxEntry


def _app(simulator: Simulator) -> Flask:
    app = Flask("shop")
    app.config.update(flat_config(simulator), TESTING=True)
    return app


def test_the_calls_give_the_shops_own_payments(
    records: Records, mpesa_simulator: Simulator
) -> None:
    app = _app(mpesa_simulator)
    own = Records(records.engine, Payment, PaymentCallback, PaymentOutboxEntry)
    assert_type(own, Records[Payment])
    mpesa = Mpesa(app, records=own)
    assert_type(mpesa, Mpesa[Payment])
    with app.app_context():
        payment = mpesa.c2b(order="ORDER-7", **PAYMENT)
        assert_type(payment, Payment)
        assert type(payment) is Payment
        paid = mpesa["default"].paid("ORDER-7")
        assert_type(paid, Payment | None)
        assert type(paid) is Payment
        again = asyncio.run(_pay(mpesa))
        assert_type(again, Payment)
        assert again.id == payment.id
        mpesa["default"].close()


async def _pay(mpesa: Mpesa[Payment]) -> Payment:
    return await mpesa.ac2b(order="ORDER-7", **PAYMENT)


def test_an_extension_that_is_set_up_later_says_which_payments_it_will_give(
    records: Records, mpesa_simulator: Simulator
) -> None:
    app = _app(mpesa_simulator)
    mpesa = Mpesa[Payment]()
    assert_type(mpesa, Mpesa[Payment])
    mpesa.init_app(app, records=records)
    with app.app_context():
        assert_type(mpesa.c2b(**PAYMENT), Payment)
        mpesa["default"].close()


def _unsaid(mpesa: Mpesa) -> None:
    assert_type(mpesa, Mpesa[Any])
