"""The gateway's asynchronous results, as a test sends them itself."""

from __future__ import annotations

from typing import Any

from mpesa_integrations.core.payments.endpoint import CallbackRequest, answer_callback
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.simulator import Simulator

from .account import TOKEN

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


def post_callback(
    accounts: Accounts[Any, Any], body: bytes, token: str = TOKEN, **changes: Any
) -> int:
    """Hand a body to the endpoint without a framework; the status that it answers.

    Args:
        accounts: whose callback it may be.
        body: the bytes.
        token: the secret part of the URL.
        changes: fields of the request with another value.
    """
    values = {
        "token": token,
        "content_type": "application/json",
        "content_length": str(len(body)),
        "remote_address": "127.0.0.1",
        "forwarded_for": "",
        "read": lambda limit: body[:limit],
        **changes,
    }
    return answer_callback(accounts, CallbackRequest(**values)).status
