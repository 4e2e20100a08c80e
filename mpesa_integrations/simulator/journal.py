"""What the journal keeps of a call and of a callback: no secret, and no more than can be shown.

Phone numbers are kept whole, as in the ledger beside it; who may see them whole is for the pages.

Where it is kept is in `call_log`.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .answers import NOT_APPLICABLE
from .calls import Call, outcome_of
from .delivery import Delivery
from .endpoints import Endpoint
from .exchange import Answer, Request
from .masking import as_text, body_without_secrets, shorten, shorten_url, without_secrets
from .transactions import Transaction

CUT_BY_SCENARIO = "The connection was cut by a scenario"
"""What the journal says of a call that got no answer."""
_HEADERS = ("Content-Type", "Origin", "User-Agent")
_HEADER_KEPT = 300
_URL_KEPT = 2_000
_SENT_KEPT = 20_000


def call_entry(
    endpoint: Endpoint, request: Request, answer: Answer, *, at: datetime, seconds: float
) -> Call:
    """The journal's entry of a call.

    Args:
        at: when it began, aware UTC.
        seconds: how long the answer took.
    """
    parameters = sent_parameters(endpoint, request)
    fields = answer.fields
    code = fields.get("output_ResponseCode") or fields.get("output_ResultCode") or ""
    accepted = (
        endpoint.method != "GET"
        and code == "INS-0"
        and fields.get("output_TransactionID") == NOT_APPLICABLE
    )
    amount = parameters.get("input_Amount") or parameters.get("input_ReversalAmount")
    msisdn = parameters.get("input_CustomerMSISDN")
    return Call(
        at=at,
        kind="call",
        operation=endpoint.operation,
        code=code,
        outcome=outcome_of(code, accepted=accepted),
        http_status=None if answer.cut else answer.status,
        seconds=seconds,
        msisdn=_short_text(msisdn),
        amount=_readable_amount(amount),
        transaction_reference=_short_text(parameters.get("input_TransactionReference")),
        third_party_reference=_short_text(parameters.get("input_ThirdPartyReference")),
        sent=_sent_request(request, parameters),
        answered="" if answer.cut else body_without_secrets(answer.body.decode()),
        problem=CUT_BY_SCENARIO if answer.cut else "",
        conversation_id=answer.conversation_id,
    )


def callback_entry(delivery: Delivery, payment: Transaction) -> Call:
    """The journal's entry of an attempt to deliver a callback.

    Args:
        payment: whose result it is.
    """
    return Call(
        at=delivery.at,
        kind="callback",
        operation="callback",
        code=delivery.code,
        outcome=outcome_of(delivery.code),
        http_status=delivery.http_status,
        seconds=delivery.seconds,
        msisdn=payment.msisdn or "",
        amount=payment.amount,
        transaction_reference=payment.transaction_reference or "",
        third_party_reference=delivery.third_party_reference,
        problem=delivery.problem or "",
        sent=as_text(
            {
                "method": "POST",
                "url": shorten_url(delivery.url)[:_URL_KEPT],
                "headers": {"Content-Type": "application/json"},
                "parameters": without_secrets(delivery.body),
            }
        ),
        answered=body_without_secrets(delivery.answer),
        conversation_id=delivery.conversation_id,
        attempt=delivery.attempt,
        attempts=delivery.attempts,
    )


def sent_parameters(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    """The parameters as sent, also where the call was refused before they were looked at."""
    if endpoint.method == "GET":
        return dict(request.query)
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _sent_request(request: Request, parameters: dict[str, Any]) -> str:
    """The request as JSON; where it is too long to be read, without its parameters."""
    authorization = request.headers.get("authorization", "")
    scheme = "Bearer " if authorization.startswith("Bearer ") else ""
    headers = {"Authorization": f"{scheme}{shorten(authorization.removeprefix(scheme))}"}
    for name in _HEADERS:
        value = request.headers.get(name.lower())
        if value is not None:
            headers[name] = value[:_HEADER_KEPT]
    sent = {
        "method": request.method,
        "url": f"{request.address[:_URL_KEPT]}{request.path}",
        "headers": headers,
        "parameters": without_secrets(parameters),
    }
    text = as_text(sent)
    return text if len(text) <= _SENT_KEPT else as_text({**sent, "parameters": {"…": "…"}})


def _readable_amount(value: Any) -> Decimal | None:
    try:
        amount = Decimal(str(value)) if isinstance(value, (str, int, float)) else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() and abs(amount) < 10**15 else None


def _short_text(value: Any) -> str:
    return value[:50] if isinstance(value, str) else ""
