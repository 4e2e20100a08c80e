"""The gateway's asynchronous results: read from a request's bytes, and acknowledged.

Whether a callback may be believed and what it changes is not decided here.
Source: docs/protocol.md, "Answers".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..masking import mask_msisdns_in
from .answers import UnreadableBody, contradiction, read_json_object
from .codes import GatewayCode, Kind
from .market import Market
from .schemas import reading

MAX_BODY = 64 * 1024
"""Bytes: a callback has some 300. More than this is not from the gateway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """An asynchronous result.

    Attributes:
        conversation_id: the conversation ID that the call was answered with.
        third_party_reference: the reference of the request.
        transaction_id: the transaction, None where no money moved.
        code: the result code, with `0` read as `INS-0`.
        description: the gateway's words, MSISDNs masked.
        kind: what the code proves, if the callback is genuine; unknown where it contradicts itself.
        raw: the callback's own fields, unknown ones included.
    """

    conversation_id: str
    third_party_reference: str
    transaction_id: str | None
    code: GatewayCode
    description: str
    kind: Kind
    raw: Mapping[str, Any] = field(repr=False)


def read_callback(body: bytes, market: Market) -> Callback:
    """Read an asynchronous result.

    Args:
        body: the request's bytes.
        market: whose gateway calls.

    Raises:
        UnreadableBody: it is not a JSON object, is over 64 KiB, or lacks what every callback has:
            conversation ID, third-party reference and result code.
    """
    if len(body) > MAX_BODY:
        raise UnreadableBody(f"has {len(body)} bytes, more than the {MAX_BODY} a callback may have")
    raw = read_json_object(body)
    schema = reading(market.callback_schema)
    values = schema.load(raw)
    code = market.codes.of_result(values["code"])
    if code is None:
        raise UnreadableBody("has no input_ResultCode")
    for name in ("conversation_id", "third_party_reference"):
        if values[name] is None:
            raise UnreadableBody(f"has no {schema.fields[name].data_key}")
    contradicting = contradiction(code, values["transaction_id"])
    description = values["description"] or code.meaning
    return Callback(
        conversation_id=values["conversation_id"],
        third_party_reference=values["third_party_reference"],
        transaction_id=values["transaction_id"],
        code=code,
        description=mask_msisdns_in(
            f"{contradicting}: {description}" if contradicting else description
        ),
        kind=Kind.UNKNOWN if contradicting else code.kind,
        raw=raw,
    )


def acknowledgement(callback: Callback) -> dict[str, str]:
    """The JSON body that acknowledges a callback; to be sent with HTTP 200."""
    return {
        "output_OriginalConversationID": callback.conversation_id,
        "output_ThirdPartyConversationID": callback.third_party_reference,
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
    }
