"""What the journal keeps of a call and of a callback: no secret, no whole phone number.

Where it is kept is in `calls`.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from mpesa_integrations.core.masking import mask_msisdn

from .answers import NOT_APPLICABLE
from .calls import Call, outcome_of
from .delivery import Delivery
from .endpoints import Endpoint
from .exchange import Answer, Request
from .masking import shorten, shorten_url, shown_body, shown_parameters, shown_text

CUT_BY_SCENARIO = "The connection was cut by a scenario"
"""What the journal says of a call that got no answer."""
_HEADERS = ("Content-Type", "Origin", "User-Agent")


def call_entry(
    endpoint: Endpoint, request: Request, answer: Answer, *, at: datetime, seconds: float
) -> Call:
    """The journal's entry of a call.

    Args:
        at: when it began, aware UTC.
        seconds: how long the answer took.
    """
    parameters = _sent_parameters(endpoint, request)
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
        msisdn=mask_msisdn(msisdn) if isinstance(msisdn, str) else "",
        amount=_readable_amount(amount),
        transaction_reference=_short_text(parameters.get("input_TransactionReference")),
        third_party_reference=_short_text(parameters.get("input_ThirdPartyReference")),
        sent=_shown_request(request, parameters),
        answered="" if answer.cut else shown_body(answer.body.decode()),
        problem=CUT_BY_SCENARIO if answer.cut else "",
    )


def callback_entry(delivery: Delivery) -> Call:
    """The journal's entry of an attempt to deliver a callback."""
    return Call(
        at=delivery.at,
        kind="callback",
        operation="callback",
        code=delivery.code,
        outcome=outcome_of(delivery.code),
        http_status=delivery.http_status,
        seconds=delivery.seconds,
        third_party_reference=delivery.third_party_reference,
        problem=delivery.problem or "",
        sent=f"POST {shorten_url(delivery.url)}\n\n{shown_parameters(delivery.body)}",
        answered=shown_body(delivery.answer),
    )


def _sent_parameters(endpoint: Endpoint, request: Request) -> dict[str, Any]:
    """The parameters as sent, also where the call was refused before they were looked at."""
    if endpoint.method == "GET":
        return dict(request.query)
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _shown_request(request: Request, parameters: dict[str, Any]) -> str:
    authorization = request.headers.get("authorization", "")
    scheme = "Bearer " if authorization.startswith("Bearer ") else ""
    headers = {name: request.headers.get(name.lower()) for name in _HEADERS}
    lines = [
        f"{request.method} {request.address}{request.path}",
        f"Authorization: {scheme}{shorten(authorization.removeprefix(scheme))}",
        *(f"{name}: {shown_text(value)}" for name, value in headers.items() if value is not None),
        "",
        shown_parameters(parameters) if parameters else "(no parameters that can be read)",
    ]
    return "\n".join(lines)


def _readable_amount(value: Any) -> Decimal | None:
    try:
        amount = Decimal(str(value)) if isinstance(value, (str, int, float)) else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() and abs(amount) < 10**15 else None


def _short_text(value: Any) -> str:
    return shown_text(value[:50]) if isinstance(value, str) else ""
