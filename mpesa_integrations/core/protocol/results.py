"""What a call gives back: frozen, typed results. Reading an answer's bytes is in `answers`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .codes import GatewayCode, Kind
from .words import Word


class TransactionStatus(Word):
    """`output_ResponseTransactionStatus` of a status query; unknown words become members too."""

    COMPLETED = "Completed"
    PENDING = "Pending"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    FAILED = "Failed"

    @classmethod
    def _missing_(cls, value: object) -> TransactionStatus | None:
        for member in cls:
            if isinstance(value, str) and member.value.lower() == value.lower():
                return member
        return super()._missing_(value)

    @property
    def known(self) -> bool:
        """Whether the word is one the gateway documents."""
        return self.value in type(self)._value2member_map_


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The gateway's answer to one call.

    Attributes:
        code: the response code, of the market's own; None when the answer could not be read.
        description: the gateway's words (MSISDNs masked), or why the answer could not be read.
        kind: what the answer proves.
        conversation_id: as `AG_20180206_00005e7dccc6da08efa8`; None where the gateway said `N/A`.
        transaction_id: as `4XDF12345`; None until the money moved.
        third_party_reference: the reference of the request.
        http_status: HTTP status of the answer.
        raw: the answer's own fields, unknown ones included. May hold personal data: not in `repr`.
        elapsed: seconds from sending to the answer's last byte, retries included.
    """

    code: GatewayCode | None
    description: str
    kind: Kind
    http_status: int
    conversation_id: str | None = None
    transaction_id: str | None = None
    third_party_reference: str | None = None
    elapsed: float = 0.0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransactionStatusResult(Result):
    """The answer to a status query.

    Attributes:
        transaction_status: where the transaction stands; None when the gateway said `N/A`
            or nothing, which it also says of a transaction it does not know.
    """

    transaction_status: TransactionStatus | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerNameResult(Result):
    """The answer to a customer name query.

    Attributes:
        customer_name: the name as the gateway gives it, partly masked (`Jo*n Sm**h`).
    """

    customer_name: str | None = field(default=None, repr=False)
