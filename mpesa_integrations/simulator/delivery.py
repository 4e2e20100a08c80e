"""One result posted to the account's response URL, and whether the answer is as required.

docs/protocol.md, "Answers". When results are posted, and how often, is in `callbacks`.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mpesa_integrations.core.markets.mozambique.codes import ResponseCode

from .transactions import Transaction

_TIMEOUT = 10.0
_MAX_ACKNOWLEDGEMENT = 64 * 1024
_ANSWER_KEPT = 2000

ANSWER_PROBLEMS = {
    "none": "The endpoint gave no answer",
    "status": "The endpoint must answer HTTP 200; it answered",
    "json": "The endpoint's answer is not JSON",
    "object": "The endpoint's answer is not a JSON object",
    "fields": "The endpoint's answer is wrong or missing in",
}
"""What can be wrong with an answer; what is no sentence of these follows after a colon."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One attempt to deliver a callback.

    Attributes:
        http_status: what the endpoint answered, None when it did not.
        problem: what is wrong with the answer, in words; None when it is what the gateway requires.
        at: aware UTC.
        url: where it was sent to.
        body: what was sent.
        answer: the beginning of what the endpoint answered, as text.
        seconds: how long the answer took.
        attempt: the first is 1.
        attempts: how many are made at the most.
    """

    third_party_reference: str
    conversation_id: str
    code: str
    http_status: int | None
    problem: str | None
    at: datetime
    url: str = field(repr=False)  # has the callback's token in it
    body: Mapping[str, str]
    answer: str
    seconds: float
    attempt: int = 1
    attempts: int = 1

    @property
    def acknowledged(self) -> bool:
        """Whether the endpoint answered as the gateway requires."""
        return self.problem is None


def result_body(transaction: Transaction) -> dict[str, str]:
    """What is posted of a transaction's result; docs/protocol.md, "Answers"."""
    code = transaction.code or "INS-0"
    return {
        "input_OriginalConversationID": transaction.conversation_id,
        "input_ThirdPartyReference": transaction.third_party_reference,
        "input_TransactionID": transaction.transaction_id or "N/A",
        "input_ResultCode": "0" if code == "INS-0" else code,
        "input_ResultDesc": ResponseCode(code).meaning,
    }


def post_result(
    url: str, transaction: Transaction, *, attempt: int = 1, attempts: int = 1
) -> Delivery:
    """Post a transaction's result to a response URL once, and check the answer.

    The endpoint's certificate is not verified: on a laptop it is self-signed. The real gateway
    would refuse such an endpoint.

    Args:
        attempt: which attempt this is, from 1.
        attempts: how many there will be if none is acknowledged.
    """
    body = result_body(transaction)
    at = datetime.now(timezone.utc)
    started = time.monotonic()
    status, answer, problem = _post(urlsplit(url), body)
    return Delivery(
        third_party_reference=transaction.third_party_reference,
        conversation_id=transaction.conversation_id,
        code=transaction.code or "INS-0",
        http_status=status,
        problem=problem,
        at=at,
        url=url,
        body=body,
        answer=answer.decode("utf-8", "replace")[:_ANSWER_KEPT],
        seconds=time.monotonic() - started,
        attempt=attempt,
        attempts=attempts,
    )


def _any_certificate() -> ssl.SSLContext:
    """TLS that takes whatever certificate the endpoint has, so it reads none that are trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _post(url: SplitResult, body: dict[str, str]) -> tuple[int | None, bytes, str | None]:
    connection = http.client.HTTPSConnection(
        url.hostname or "", url.port, timeout=_TIMEOUT, context=_any_certificate()
    )
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request("POST", target, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read(_MAX_ACKNOWLEDGEMENT)
    except (OSError, http.client.HTTPException) as error:
        return None, b"", f"{ANSWER_PROBLEMS['none']}: {type(error).__name__}"
    finally:
        connection.close()
    return response.status, answer, check_acknowledgement(response.status, answer, body)


def check_acknowledgement(status: int, answer: bytes, sent: dict[str, str]) -> str | None:
    """Say what is wrong with an endpoint's answer to a callback; None if nothing is."""
    if status != 200:
        return f"{ANSWER_PROBLEMS['status']}: HTTP {status}"
    try:
        fields: Any = json.loads(answer)
    except (ValueError, RecursionError):
        return ANSWER_PROBLEMS["json"]
    if not isinstance(fields, dict):
        return ANSWER_PROBLEMS["object"]
    required = {
        "output_OriginalConversationID": sent["input_OriginalConversationID"],
        "output_ThirdPartyConversationID": sent["input_ThirdPartyReference"],
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
    }
    wrong = [name for name, value in required.items() if fields.get(name) != value]
    return f"{ANSWER_PROBLEMS['fields']}: {', '.join(wrong)}" if wrong else None
