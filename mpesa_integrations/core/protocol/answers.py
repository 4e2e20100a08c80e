"""From an answer's bytes to a result: what was said, and what that proves.

Nothing is guessed: what cannot be read, or does not fit, is `Kind.UNKNOWN`.
Source: docs/protocol.md, "Answers".
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from ..masking import mask_msisdns_in
from .codes import GatewayCode, Kind
from .operations import Operation
from .results import CustomerNameResult, Result, TransactionStatus, TransactionStatusResult
from .schemas import reading

SUCCESS_STATUSES = (200, 201)
_REFUSING_STATUSES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_NO_MONEY_MOVED = frozenset(
    {Kind.FAILED, Kind.CANCELLED, Kind.VALIDATION, Kind.AUTHENTICATION, Kind.NOT_ACCEPTED}
)
_EXCERPT = 2000


class UnreadableBody(ValueError):  # noqa: N818 - a finding, not a fault
    """A body is not one unambiguous JSON object; the text says why."""


def read_json_object(body: bytes) -> dict[str, Any]:
    """Read a body that must be one JSON object, whatever a proxy or a stranger made of it.

    Args:
        body: the bytes as received.

    Raises:
        UnreadableBody: it is empty, not UTF-8, not JSON, not an object, nested too deep, names
            one field twice with different values, or holds characters that no database keeps.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableBody("is not UTF-8 text") from None
    if not text.strip():
        raise UnreadableBody("is empty")
    try:
        parsed = json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_refuse_constant)
        # Written out, it may be nested too deep although it was read.
        is_text = "\\u" not in text or _can_be_kept(parsed)
    except UnreadableBody:
        raise
    except (ValueError, RecursionError):
        raise UnreadableBody("is not JSON") from None
    if not isinstance(parsed, dict):
        raise UnreadableBody("is not a JSON object")
    if not is_text:
        raise UnreadableBody("holds characters that are no text")
    return parsed


def _can_be_kept(parsed: Any) -> bool:
    """Whether a database takes all of it: no zero character, no half of a surrogate pair."""
    written = json.dumps(parsed, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in written


def read_answer(
    operation: Operation,
    codes: type[GatewayCode],
    *,
    http_status: int,
    body: bytes,
    third_party_reference: str | None,
    elapsed: float = 0.0,
) -> Result:
    """Read the gateway's answer to a call; never raises for what a gateway may send.

    Args:
        operation: the operation that was called.
        codes: the response codes of the market.
        http_status: HTTP status of the answer.
        body: the answer's bytes, whole.
        third_party_reference: the reference that was sent.
        elapsed: seconds the call took.

    Returns:
        A result of the operation's type; of kind unknown where the answer proves nothing.
    """
    try:
        raw = read_json_object(body)
    except UnreadableBody as error:
        return operation.result_type(
            code=None,
            description=f"The answer's body {error} (HTTP {http_status}, {len(body)} bytes)"
            + _likely_reason(http_status, body),
            kind=Kind.UNKNOWN,
            http_status=http_status,
            third_party_reference=third_party_reference,
            elapsed=elapsed,
            raw={"unreadable_body": body[:_EXCERPT].decode("utf-8", "replace")},
        )
    values = reading(operation.answer_schema).load(raw)
    other = codes.of_result(values.get("result_code"))
    code = codes(values["code"]) if values["code"] else other
    description = _description(values, code)
    kind, remark = _judge(operation, http_status, (code, other), values, third_party_reference)
    if _names_another(values, third_party_reference):
        # The IDs of another request are nothing to know this one by; they stay in `raw`.
        values = {**values, "conversation_id": None, "transaction_id": None}
    extra: dict[str, Any] = {}
    if operation.result_type is TransactionStatusResult:
        word = values["transaction_status"] or values["undocumented_status"]
        extra["transaction_status"] = TransactionStatus(word) if word else None
    elif operation.result_type is CustomerNameResult:
        extra["customer_name"] = values["customer_name"]
    return operation.result_type(
        code=code,
        description=mask_msisdns_in(f"{remark}: {description}" if remark else description),
        kind=kind,
        http_status=http_status,
        conversation_id=values["conversation_id"],
        transaction_id=values["transaction_id"],
        third_party_reference=third_party_reference or values["third_party_reference"],
        elapsed=elapsed,
        raw=raw,
        **extra,
    )


def contradiction(code: GatewayCode, transaction_id: str | None) -> str | None:
    """Why an answer or a callback that says that no money moved cannot be believed, or None."""
    if transaction_id and code.kind in _NO_MONEY_MOVED:
        return f"{code} says that no money moved, and yet the transaction {transaction_id} is named"
    return None


def _description(values: dict[str, Any], code: GatewayCode | None) -> str:
    said = values["description"] or values.get("result_description") or values["error"]
    if said is not None:
        return str(said)
    return code.meaning if code else "The answer names no response code"


def _judge(
    operation: Operation,
    http_status: int,
    said_codes: tuple[GatewayCode | None, GatewayCode | None],
    values: dict[str, Any],
    sent_reference: str | None,
) -> tuple[Kind, str | None]:
    """Decide what an answer proves, with a remark where that is not what its code says."""
    code, other = said_codes
    if _names_another(values, sent_reference):
        said = f"The answer ({code})" if code else "The answer"
        return Kind.UNKNOWN, f"{said} names another request's reference"
    if code is None:
        return _judge_without_code(http_status, values), None
    if other not in (None, code):
        return Kind.UNKNOWN, f"The answer names two codes, {code} and {other}"
    if code.kind is not Kind.UNKNOWN and not _fits(code, http_status):
        return Kind.UNKNOWN, f"The answer says {code}, but its HTTP status is {http_status}"
    if not operation.moves_money:
        return code.kind, None
    contradicting = contradiction(code, values["transaction_id"])
    if contradicting:
        return Kind.UNKNOWN, contradicting
    if code.kind is not Kind.SUCCESS:
        return code.kind, None
    if values["transaction_id"]:
        return Kind.SUCCESS, None
    if values["conversation_id"]:
        return Kind.ACCEPTED, None
    return Kind.UNKNOWN, f"The answer says {code}, but names no transaction or conversation"


def _judge_without_code(http_status: int, values: dict[str, Any]) -> Kind:
    """A bad key or session was seen to be answered so; anything else proves nothing."""
    refused = values["error"] and http_status in _REFUSING_STATUSES
    return Kind.AUTHENTICATION if refused and not values["transaction_id"] else Kind.UNKNOWN


def _names_another(values: dict[str, Any], sent_reference: str | None) -> bool:
    echo = values["third_party_reference"]
    return echo is not None and sent_reference is not None and echo != sent_reference


def _fits(code: GatewayCode, http_status: int) -> bool:
    """Whether an HTTP status goes with a code.

    A success has its own statuses. The others were seen with several, so that the code decides; but
    a server's error, which a front may have made of anything, only goes with a code that is
    documented with it.
    """
    if code.kind is Kind.SUCCESS:
        return http_status in SUCCESS_STATUSES
    return http_status == code.http_status or http_status // 100 in (2, 4)


def _likely_reason(http_status: int, body: bytes) -> str:
    """What an error page most likely means, where that is known."""
    if http_status != HTTPStatus.FORBIDDEN or not body.lstrip().startswith(b"<"):
        return ""
    return (
        ". Most likely the web firewall before the gateway refused the request, as it does where "
        "the User-Agent is missing or looks like a script's"
    )


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        for name, value in pairs:
            if result[name] != value:
                raise UnreadableBody("names a field twice, with different values")
    return result


def _refuse_constant(name: str) -> Any:
    raise UnreadableBody(f"holds {name}, which is not JSON")
