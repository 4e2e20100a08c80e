"""From an answer's bytes to a result: what was said, and what that proves.

Nothing is guessed: what cannot be read, or does not fit, is `Kind.UNKNOWN`. PROTOCOL.md, "Answers".
"""

from __future__ import annotations

import json
from typing import Any

from .codes import Kind, ResponseCode
from .msisdn import mask_msisdns_in
from .operations import Operation
from .results import CustomerNameResult, Result, TransactionStatus, TransactionStatusResult
from .schemas import AnswerSchema

SUCCESS_STATUSES = (200, 201)
_EXCERPT = 2000
_ANSWER_SCHEMAS: dict[type[AnswerSchema], AnswerSchema] = {}


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
    except UnreadableBody:
        raise
    except (ValueError, RecursionError):
        raise UnreadableBody("is not JSON") from None
    if not isinstance(parsed, dict):
        raise UnreadableBody("is not a JSON object")
    if "\\u" in text and not _can_be_kept(parsed):
        raise UnreadableBody("holds characters that are no text")
    return parsed


def _can_be_kept(parsed: dict[str, Any]) -> bool:
    """Whether a database takes all of it: no zero character, no half of a surrogate pair."""
    written = json.dumps(parsed, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in written


def read_answer(
    operation: Operation,
    *,
    http_status: int,
    body: bytes,
    third_party_reference: str | None,
    elapsed: float = 0.0,
) -> Result:
    """Read the gateway's answer to a call; never raises for what a gateway may send.

    Args:
        operation: the operation that was called.
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
            description=f"The answer's body {error} (HTTP {http_status}, {len(body)} bytes)",
            kind=Kind.UNKNOWN,
            http_status=http_status,
            third_party_reference=third_party_reference,
            elapsed=elapsed,
            raw={"unreadable_body": body[:_EXCERPT].decode("utf-8", "replace")},
        )
    values = _schema(operation.answer_schema).load(raw)
    code, description = _code_and_description(values)
    kind, remark = _judge(operation, http_status, code, values, third_party_reference)
    extra: dict[str, Any] = {}
    if operation.result_type is TransactionStatusResult:
        word = values["transaction_status"]
        extra["transaction_status"] = TransactionStatus(word) if word else None
    elif operation.result_type is CustomerNameResult:
        extra["customer_name"] = values["customer_name"]
    return operation.result_type(
        code=code,
        description=remark or description,
        kind=kind,
        http_status=http_status,
        conversation_id=values["conversation_id"],
        transaction_id=values["transaction_id"],
        third_party_reference=third_party_reference or values["third_party_reference"],
        elapsed=elapsed,
        raw=raw,
        **extra,
    )


def result_code(text: str | None) -> ResponseCode | None:
    """Read a result code as callbacks and name queries write it, where `0` means `INS-0`."""
    if text is None:
        return None
    return ResponseCode.SUCCESS if text == "0" else ResponseCode(text)


def _code_and_description(values: dict[str, Any]) -> tuple[ResponseCode | None, str]:
    text, other = values["code"], values.get("result_code")
    code = ResponseCode(text) if text else result_code(other)
    description = values["description"] or values.get("result_description")
    if description is None:
        description = code.meaning if code else "The answer names no response code"
    return code, mask_msisdns_in(description)


def _judge(
    operation: Operation,
    http_status: int,
    code: ResponseCode | None,
    values: dict[str, Any],
    sent_reference: str | None,
) -> tuple[Kind, str | None]:
    """Decide what an answer proves, with a remark where that is not what its code says."""
    if code is None:
        return Kind.UNKNOWN, None
    if not operation.moves_money:
        return _judge_query(http_status, code)
    echo = values["third_party_reference"]
    if echo is not None and sent_reference is not None and echo != sent_reference:
        return Kind.UNKNOWN, f"The answer ({code}) names another request's reference"
    if code.kind is not Kind.SUCCESS:
        return code.kind, None
    if http_status not in SUCCESS_STATUSES:
        return Kind.UNKNOWN, f"The answer says {code}, but its HTTP status is {http_status}"
    if values["transaction_id"]:
        return Kind.SUCCESS, None
    if values["conversation_id"]:
        return Kind.ACCEPTED, None
    return Kind.UNKNOWN, f"The answer says {code}, but names no transaction or conversation"


def _judge_query(http_status: int, code: ResponseCode) -> tuple[Kind, str | None]:
    if code.kind is Kind.SUCCESS and http_status not in SUCCESS_STATUSES:
        return Kind.UNKNOWN, f"The answer says {code}, but its HTTP status is {http_status}"
    return code.kind, None


def _schema(schema: type[AnswerSchema]) -> AnswerSchema:
    # A schema copies its fields when it is made, which costs more than reading an answer does.
    found = _ANSWER_SCHEMAS.get(schema)
    if found is None:
        found = _ANSWER_SCHEMAS[schema] = schema()
    return found


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        for name, value in pairs:
            if result[name] != value:
                raise UnreadableBody("names a field twice, with different values")
    return result


def _refuse_constant(name: str) -> Any:
    raise UnreadableBody(f"holds {name}, which is not JSON")
