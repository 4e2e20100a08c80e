"""The records' columns: mixins for models on your own declarative base.

The constraints of their tables are in `constraints`; who may write which column, in `protection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    String,
    event,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Mapper, attributes, mapped_column

from mpesa_integrations.core.masking import mask_msisdn
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES, State

from .constraints import add_constraints, add_indexes
from .protection import ProtectedColumns

_BIG_ID = BigInteger().with_variant(Integer, "sqlite")
_MOMENT = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_EXACT = String(64).with_variant(
    mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
"""Text that is compared as it is, whatever the database's collation takes for the same."""
_ATTRIBUTES = {"metadata": "metadata_"}
"""Columns whose names SQLAlchemy keeps for itself."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _text(length: int) -> Any:
    return mapped_column(String(length), default="")


def _moment(**options: Any) -> Any:
    return mapped_column(_MOMENT, **options)


class _InUtc:
    """Makes times aware, on a database that keeps no zone, too."""


@event.listens_for(_InUtc, "load", propagate=True)
@event.listens_for(_InUtc, "refresh", propagate=True)
def _make_aware(record: Any, context: Any, names: Any = None) -> None:
    for name, value in list(vars(record).items()):
        if isinstance(value, datetime) and value.tzinfo is None:
            attributes.set_committed_value(record, name, value.replace(tzinfo=timezone.utc))


class TransactionMixin(ProtectedColumns, _InUtc):
    """A payment's columns; constraints and indexes are put on the table, as the Django app's."""

    id: Mapped[int] = mapped_column(_BIG_ID, primary_key=True)
    account: Mapped[str] = mapped_column(String(40), default="default")
    operation: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(16), default=State.INITIATED.value)
    amount: Mapped[Decimal] = mapped_column(Numeric(14, 2))
    reversed_amount: Mapped[Decimal] = mapped_column(Numeric(14, 2), default=Decimal(0))
    currency: Mapped[str] = mapped_column(String(3), default="MZN")
    msisdn: Mapped[str] = _text(12)
    receiver_shortcode: Mapped[str] = _text(6)
    reference: Mapped[str] = _text(20)
    third_party_reference: Mapped[str] = mapped_column(String(20))
    conversation_id: Mapped[str] = _text(64)
    transaction_id: Mapped[str] = _text(64)
    claimed_transaction_id: Mapped[str | None] = mapped_column(_EXACT)
    """The transaction ID of a payment whose money moved: it belongs to this payment alone."""
    idempotency_key: Mapped[str | None] = mapped_column(String(100))
    response_code: Mapped[str] = _text(16)
    response_description: Mapped[str] = _text(255)
    conflict: Mapped[str] = _text(255)
    created_at: Mapped[datetime] = _moment(default=_now)
    updated_at: Mapped[datetime] = _moment(default=_now)
    next_check_at: Mapped[datetime | None] = _moment()
    checks: Mapped[int] = mapped_column(Integer, default=0)
    stuck_at: Mapped[datetime | None] = _moment()
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON, default=dict)

    original_id: Mapped[int | None] = mapped_column(_BIG_ID, index=True)
    """The payment that a reversal gives back; its foreign key is put on the table."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.third_party_reference} {self.state}>"

    @property
    def pk(self) -> int:
        """The primary key."""
        return self.id

    @property
    def masked_msisdn(self) -> str:
        """The phone number as anybody may see it."""
        return mask_msisdn(self.msisdn) if self.msisdn else ""

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to come."""
        return State(self.state) in OPEN_STATES

    @property
    def is_paid(self) -> bool:
        """Whether the money moved and none of it was given back."""
        return State(self.state) is State.COMPLETED


class CallbackLogMixin(_InUtc):
    """A callback as it arrived, whatever its verdict."""

    id: Mapped[int] = mapped_column(_BIG_ID, primary_key=True)
    account: Mapped[str] = mapped_column(String(40))
    received_at: Mapped[datetime] = _moment(default=_now)
    remote_address: Mapped[str | None] = mapped_column(String(39))
    body: Mapped[bytes] = mapped_column(
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    )
    conversation_id: Mapped[str] = _text(64)
    third_party_reference: Mapped[str] = _text(64)
    verdict: Mapped[str] = mapped_column(String(12))
    transaction_key: Mapped[int | None] = mapped_column(_BIG_ID, index=True)
    """The primary key of the payment that it was for."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime | None] = _moment()


class OutboxMixin(_InUtc):
    """An event that is to be dispatched; the row is deleted once it was."""

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account: Mapped[str] = mapped_column(String(40))
    event: Mapped[str] = mapped_column(String(20))
    transaction_key: Mapped[int] = mapped_column(_BIG_ID)
    due_at: Mapped[datetime] = _moment()
    attempts: Mapped[int] = mapped_column(Integer, default=0)


NoticeMixin = OutboxMixin
"""The mixin's name before the rows were called an outbox."""

_INDEXES: dict[type[Any], dict[str, tuple[str, ...]]] = {
    TransactionMixin: {
        "due": ("account", "next_check_at"),
        "transaction": ("transaction_id",),
        "conversation": ("conversation_id",),
        "named": ("reference",),
        "msisdn": ("msisdn",),
        "created": ("created_at",),
        "state": ("state", "created_at"),
    },
    CallbackLogMixin: {
        "verdict": ("account", "verdict", "received_at"),
        "received": ("received_at",),
        "conversation": ("conversation_id",),
        "reference": ("third_party_reference",),
    },
    OutboxMixin: {"due": ("account", "due_at")},
}


@event.listens_for(TransactionMixin, "after_mapper_constructed", propagate=True)
def _constrain(mapper: Mapper[Any], model: type[Any]) -> None:
    add_constraints(mapper, _INDEXES[TransactionMixin])


@event.listens_for(CallbackLogMixin, "after_mapper_constructed", propagate=True)
def _index_callbacks(mapper: Mapper[Any], model: type[Any]) -> None:
    add_indexes(mapper, _INDEXES[CallbackLogMixin])


@event.listens_for(OutboxMixin, "after_mapper_constructed", propagate=True)
def _index_outbox(mapper: Mapper[Any], model: type[Any]) -> None:
    add_indexes(mapper, _INDEXES[OutboxMixin])


@dataclass(frozen=True)
class Models:
    """An app's three models.

    Attributes:
        transaction: the payments', with `TransactionMixin`.
        callback_log: the callbacks', with `CallbackLogMixin`.
        outbox: the outbox entries', with `OutboxMixin`.
    """

    transaction: type[TransactionMixin]
    callback_log: type[CallbackLogMixin]
    outbox: type[OutboxMixin]

    def all(self) -> tuple[type[Any], ...]:
        """The models, the payments' first."""
        return self.transaction, self.callback_log, self.outbox


def as_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a record, as core names them, by the model's attributes.

    Members of an enumeration become the text that they stand for.
    """
    return {
        _ATTRIBUTES.get(name, name): getattr(value, "value", value)
        for name, value in values.items()
    }
