"""A transaction of the ledger as a value: read from a row, and written out as JSON can hold it.

What becomes of one is in `ledger`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """One transaction of the ledger.

    Attributes:
        operation: `c2b`, `b2c`, `b2b` or `reversal`.
        payer: MSISDN or shortcode the money comes from.
        payee: MSISDN or shortcode the money goes to.
        amount: meticais.
        reversed_amount: meticais given back so far.
        status: `Pending`, `Completed`, `Failed`, `Cancelled` or `Expired`.
        code: the response code it ended with, None while pending.
        original_transaction_id: of a reversal, the transaction that it gives back.
        created_at: aware UTC.
        settled_at: aware UTC, None while pending.
    """

    operation: str
    third_party_reference: str
    transaction_reference: str | None
    conversation_id: str
    transaction_id: str | None
    payer: str
    payee: str
    amount: Decimal
    reversed_amount: Decimal
    status: str
    code: str | None
    original_transaction_id: str | None
    created_at: datetime
    settled_at: datetime | None

    @property
    def msisdn(self) -> str | None:
        """The customer's number, None where no customer takes part."""
        return next((name for name in (self.payer, self.payee) if len(name) == 12), None)

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Transaction:
        """Read a row of the ledger, joined with the ID of its original."""
        return cls(
            operation=row["operation"],
            third_party_reference=row["third_party_reference"],
            transaction_reference=row["transaction_reference"],
            conversation_id=row["conversation_id"],
            transaction_id=row["transaction_id"],
            payer=row["payer"],
            payee=row["payee"],
            amount=to_meticais(row["centavos"]),
            reversed_amount=to_meticais(row["reversed_centavos"]),
            status=row["status"],
            code=row["code"],
            original_transaction_id=row["original_transaction_id"],
            created_at=datetime.fromisoformat(row["created_at"]),
            settled_at=_time(row["settled_at"]),
        )

    def as_json(self) -> dict[str, Any]:
        """Everything, with amounts as text and times as ISO 8601 in UTC."""
        return {
            "operation": self.operation,
            "third_party_reference": self.third_party_reference,
            "transaction_reference": self.transaction_reference,
            "conversation_id": self.conversation_id,
            "transaction_id": self.transaction_id,
            "payer": self.payer,
            "payee": self.payee,
            "msisdn": self.msisdn,
            "amount": f"{self.amount:.2f}",
            "reversed_amount": f"{self.reversed_amount:.2f}",
            "status": self.status,
            "code": self.code,
            "original_transaction_id": self.original_transaction_id,
            "created_at": self.created_at.isoformat(),
            "settled_at": self.settled_at.isoformat() if self.settled_at else None,
        }


def to_centavos(amount: Decimal) -> int:
    """An amount as the ledger keeps it."""
    return int(amount * 100)


def to_meticais(centavos: int) -> Decimal:
    """An amount as people and the gateway write it."""
    return Decimal(centavos).scaleb(-2)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
