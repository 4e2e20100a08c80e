"""What a record tells its customer, over both stores and in an app without records."""

from __future__ import annotations

from typing import Any

import pytest

from flask_mpesa.memory_store import MemoryStore
from mpesa_integrations import State
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.simulator import Simulator

from .conftest import MakePayments
from .test_payments import PAYMENT, pending

__all__ = ["pending"]


@pytest.fixture(params=["database", "memory"])
def payments(request: pytest.FixtureRequest, make_payments: MakePayments) -> Payments[Any, Any]:
    return make_payments(store=MemoryStore("default") if request.param == "memory" else None)


def test_a_payments_record_speaks_both_languages(
    payments: Payments[Any, Any], mpesa_simulator: Simulator
) -> None:
    paid = payments.c2b(**PAYMENT)
    assert paid.customer_message() == "We have received 150.00 MZN. Thank you."
    assert paid.customer_message(None) == paid.customer_message("xx") == paid.customer_message()
    assert paid.customer_message("pt") == "Recebemos 150,00 MZN. Obrigado."
    back = payments.reverse(transaction_id=paid.transaction_id, amount=50)
    assert back.customer_message() == "We have given 50.00 MZN back to you."
    rest = payments.store.get(paid).customer_message("pt")
    assert rest == "Pagou 150,00 MZN. Desse valor, já lhe devolvemos 50,00 MZN."
    mpesa_simulator.scenarios.queue("wrong_pin")
    assert "the PIN was not right" in payments.c2b(**PAYMENT).customer_message("en")


def test_what_was_taken_in_and_then_failed_is_not_told_by_the_code_of_its_acceptance(
    payments: Payments[Any, Any], pending: Any
) -> None:
    assert pending.response_code == "INS-0"
    assert "type your M-Pesa PIN" in pending.customer_message()
    failed = payments.resolve(pending, State.FAILED, by="Ana", note="not on the statement")
    assert "the PIN was not typed in time" in failed.customer_message()
