"""What users of the gateway saw, and what becomes of a payment that meets it.

docs/protocol.md, "Seen in practice": each through the client alone, and on record in every store.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from mpesa_integrations import (
    AuthenticationError,
    MpesaClient,
    MpesaError,
    OutcomeUnknown,
    PaymentDeclined,
)
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter

from .backends import Backend
from .conftest import Heard, MakePayments

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


class Seen(NamedTuple):
    """What happens, and what is right.

    Attributes:
        error: what the client raises; None where all goes well.
        says: is in the error's text and in the record.
        state: the payment's, once the call has returned.
        booked: how the gateway's ledger has it in the end; empty where it never got in.
        found: the payment's state, once reconcile has asked.
        settings: of the client.
    """

    scenario: str
    error: type[MpesaError] | None
    says: str
    state: str
    booked: str
    found: str
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed


SCRIPT = {"user_agent": "python-requests/2.32.5"}
SEEN = (
    Seen("front_403", OutcomeUnknown, "User-Agent", "unknown", "", "unknown"),
    Seen("strict_front", OutcomeUnknown, "User-Agent", "unknown", "", "unknown", SCRIPT),
    Seen("strict_front", None, "processed", "completed", "Completed", "completed"),
    Seen("front_504_then_paid", OutcomeUnknown, "HTTP 504", "unknown", "Completed", "completed"),
    Seen(
        "front_504_then_cancelled", OutcomeUnknown, "HTTP 504", "unknown", "Cancelled", "cancelled"
    ),
    Seen("output_error", AuthenticationError, "Invalid API Key", "failed", "", "failed"),
    Seen(
        "output_error_but_paid", OutcomeUnknown, "Invalid API Key", "unknown", "Completed",
        "completed",
    ),
    Seen("declined_with_200", PaymentDeclined, "Insufficient", "failed", "Failed", "failed"),
    Seen("declined_with_400", PaymentDeclined, "Insufficient", "failed", "Failed", "failed"),
    Seen("declined_with_408", PaymentDeclined, "Insufficient", "failed", "Failed", "failed"),
)  # fmt: skip
each = pytest.mark.parametrize(
    "seen", SEEN, ids=[f"{seen.scenario}{'-script' * bool(seen.settings)}" for seen in SEEN]
)


@each
def test_the_client_says_what_it_proves(mpesa_simulator: Simulator, seen: Seen) -> None:
    mpesa_simulator.scenarios.queue(seen.scenario, operation="c2b", delay=0)
    with MpesaClient(replace(mpesa_simulator.config, retries=3, **seen.settings)) as client:
        if seen.error is None:
            assert client.c2b(**PAYMENT).transaction_id
        else:
            with pytest.raises(seen.error, match=seen.says):
                client.c2b(**PAYMENT)
    mpesa_simulator.callbacks.drain()
    assert [entry.status for entry in mpesa_simulator.ledger.transactions()] == (
        [seen.booked] if seen.booked else []
    )


@each
def test_a_recorded_payment_is_right_at_once_and_once_reconcile_has_asked(
    make_payments: MakePayments, backend: Backend, mpesa_simulator: Simulator, seen: Seen
) -> None:
    mpesa_simulator.scenarios.queue(seen.scenario, operation="c2b", delay=0)
    payments = make_payments(retries=3, **seen.settings)
    record = payments.c2b(**PAYMENT)
    assert record.state == seen.state
    assert seen.says in record.response_description
    mpesa_simulator.callbacks.drain()
    backend.make_due()
    payments.reconcile()
    (kept,) = backend.records()
    assert kept.state == seen.found
    assert mpesa_simulator.calls.count(CallFilter(operation="c2b")) == 1  # never sent again
    booked = [(entry.status, entry.amount) for entry in mpesa_simulator.ledger.transactions()]
    assert booked == ([(seen.booked, kept.amount)] if seen.booked else [])


@pytest.mark.parametrize(
    ("scenario", "state"),
    [("front_504_then_paid", "completed"), ("front_504_then_cancelled", "cancelled")],
)
def test_a_callback_after_the_front_gave_up_has_the_gateway_asked_at_once(
    payments: Payments[Any, Any], backend: Backend, heard: Heard, mpesa_simulator: Simulator,
    scenario: str, state: str,
) -> None:  # fmt: skip
    mpesa_simulator.response_url = "https://127.0.0.1:18997/nobody"
    mpesa_simulator.callbacks.retry_delays = ()
    mpesa_simulator.scenarios.queue(scenario, operation="c2b", delay=0)
    record = payments.c2b(**PAYMENT)
    assert record.state == "unknown"
    delivery = mpesa_simulator.callbacks.wait(record.third_party_reference)
    body = json.dumps(dict(delivery.body)).encode()
    assert payments.receive(body, remote_address="127.0.0.1")[0] == 200
    # No answer named the payment's conversation, so the callback alone proves nothing.
    assert backend.records()[0].state == "unknown"
    assert payments.reconcile().asked == 1
    assert backend.records()[0].state == state
    assert heard.names == ["initiated", "unknown", state]
