"""The gateway's asynchronous results, as a test sends them itself."""

from __future__ import annotations

from typing import Any

from mpesa_integrations.simulator import Simulator

ASYNC_URL = "https://127.0.0.1:18997/nobody"
"""An asynchronous response URL at which nobody is."""
TRANSACTION_ID = "4XDF12345"


def accepted_payment(payments: Any, simulator: Simulator, **payment: Any) -> Any:
    """Make a C2B payment that the gateway accepts, and whose callback never comes by itself."""
    simulator.response_url = ASYNC_URL
    simulator.scenarios.queue("callback_never", operation="c2b")
    record = payments.c2b(**payment)
    assert record.state == "pending"
    simulator.callbacks.drain()
    return record


def callback_body(record: Any, code: str = "0", **changes: str) -> dict[str, str]:
    """The body of a callback about a payment.

    Args:
        record: the payment.
        code: the result's; `0` names a transaction.
        changes: fields with another value.
    """
    return {
        "input_OriginalConversationID": record.conversation_id,
        "input_ThirdPartyReference": record.third_party_reference,
        "input_TransactionID": TRANSACTION_ID if code == "0" else "N/A",
        "input_ResultCode": code,
        "input_ResultDesc": "said the callback",
        **changes,
    }
