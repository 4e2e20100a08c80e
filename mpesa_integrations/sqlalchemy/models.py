"""The records' columns: mixins for models on your own declarative base.

The constraints of their tables are in `constraints`; who may write which column, in `protection`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, cast

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
from sqlalchemy.orm import Mapped, MappedColumn, Mapper, attributes, mapped_column

from ..core.masking import mask_msisdn
from ..core.payments.customer_messages import customer_message
from ..core.payments.lifecycle import OPEN_STATES, State
from ..core.payments.orders import may_retry
from .constraints import add_constraints, add_indexes
from .protection import ProtectedColumns

if TYPE_CHECKING:
    # Type checkers have it without its being installed; a default needs Python 3.13 elsewhere.
    from typing_extensions import TypeVar

    # By name: mypy compares a protocol before it knows what a column gives.
    from ..core.payments.records import Record as _Record

    P = TypeVar("P", bound="TransactionMixin", default=Any)
else:
    from typing import TypeVar

    _Record = object

    P = TypeVar("P")

_BIG_ID = BigInteger().with_variant(Integer, "sqlite")
_MOMENT = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_ATTRIBUTES = {"metadata": "metadata_"}
"""Columns whose names SQLAlchemy keeps for itself."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _text(length: int) -> Any:
    return mapped_column(String(length), default="")


def _exact(length: int) -> Any:
    """Text that is compared as it is, whatever the database's collation takes for the same."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


def _moment(**options: Any) -> Any:
    return mapped_column(_MOMENT, **options)


def in_utc(moment: datetime) -> datetime:
    """A column's time, aware: a database keeps no zone, or gives that of its server."""
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


class _InUtc:
    """Has the library's times in UTC, and leaves the shop's as they are."""


@event.listens_for(_InUtc, "load", propagate=True)
@event.listens_for(_InUtc, "refresh", propagate=True)
def _make_aware(record: Any, context: Any, names: Any = None) -> None:
    now, model = vars(record), cast("Any", type(record))
    for name in _times(model):
        value = now.get(name)
        if isinstance(value, datetime) and (value.tzinfo is None or value.utcoffset()):
            attributes.set_committed_value(record, name, in_utc(value))


@cache
def _times(model: Any) -> Sequence[str]:
    """The columns of the library's that are times."""
    mixins = (base for base in model.__mro__ if _InUtc in base.__bases__)
    columns = [(n, c) for mixin in mixins for n, c in vars(mixin).items()]
    return [n for n, c in columns if isinstance(c, MappedColumn) and c.column.type is _MOMENT]


class TransactionMixin(ProtectedColumns, _InUtc, _Record):
    """A payment's columns; constraints and indexes are put on the table, as the Django app's."""

    id: Mapped[int] = mapped_column(_BIG_ID, primary_key=True)
    account: Mapped[str] = mapped_column(String(40), default="default")
    operation: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(16), default=State.INITIATED.value)
    amount: Mapped[Decimal] = mapped_column(Numeric(14, 2))
    reversed_amount: Mapped[Decimal] = mapped_column(Numeric(14, 2), default=Decimal(0))
    reversal_pending: Mapped[Decimal] = mapped_column(Numeric(14, 2), default=Decimal(0))
    """Meticais of the reversals whose outcome is open."""
    currency: Mapped[str] = mapped_column(String(3), default="MZN")
    msisdn: Mapped[str] = _text(12)
    receiver_shortcode: Mapped[str] = _text(6)
    reference: Mapped[str] = _text(20)
    third_party_reference: Mapped[str] = mapped_column(String(20))
    conversation_id: Mapped[str] = _text(64)
    transaction_id: Mapped[str] = _text(64)
    claimed_transaction_id: Mapped[str | None] = mapped_column(_exact(64))
    """The transaction ID of a payment whose money moved: it belongs to this payment alone."""
    idempotency_key: Mapped[str | None] = mapped_column(String(100))
    order_key: Mapped[str] = mapped_column(_exact(100), default="")
    claimed_order_key: Mapped[str | None] = mapped_column(_exact(100))
    """The order of a payment that is open or paid: no other payment of the order is."""
    response_code: Mapped[str] = _text(16)
    response_description: Mapped[str] = _text(255)
    conflict: Mapped[str] = _text(255)
    conflict_decided_at: Mapped[datetime | None] = _moment()
    """When a person decided what was contradictory."""
    created_at: Mapped[datetime] = _moment(default=_now)
    updated_at: Mapped[datetime] = _moment(default=_now)
    next_check_at: Mapped[datetime | None] = _moment()
    checks: Mapped[int] = mapped_column(Integer, default=0)
    send_before: Mapped[datetime | None] = _moment()
    """Of a payment that a worker sends: after this it is not sent any more."""
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
    def may_retry(self) -> bool:
        """Whether it did not go through, so that its order may be tried again."""
        return may_retry(self)

    @property
    def is_paid(self) -> bool:
        """Whether the money moved and none of it was given back."""
        return State(self.state) is State.COMPLETED

    def customer_message(self, language: str | None = "en") -> str:
        """What to tell the customer whose payment it is: where it stands, and what to do.

        Args:
            language: as `pt` or `pt-MZ`; one that there are no words in, or None, gives English.
        """
        return customer_message(self).in_language(language)


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
    """An event to send a signal of or to run a handler for; deleted once that is done."""

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account: Mapped[str] = mapped_column(String(40))
    event: Mapped[str] = mapped_column(String(20))
    transaction_key: Mapped[int] = mapped_column(_BIG_ID)
    handler: Mapped[str] = _text(200)
    sequence: Mapped[int] = mapped_column(Integer, default=0)
    """The order of a payment's events, among those that are still here."""
    due_at: Mapped[datetime] = _moment()
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    problem: Mapped[str] = _text(255)
    given_up_at: Mapped[datetime | None] = _moment()


NoticeMixin = OutboxMixin
"""The mixin's name before the rows were called an outbox."""

_INDEXES: dict[type[Any], dict[str, tuple[str, ...]]] = {
    TransactionMixin: {
        "due": ("account", "next_check_at"),
        "transaction": ("transaction_id",),
        "conversation": ("conversation_id",),
        "named": ("reference",),
        "ordered": ("order_key",),
        "msisdn": ("msisdn",),
        "created": ("created_at",),
        "state": ("state", "created_at"),
        "conflict": ("conflict",),
    },
    CallbackLogMixin: {
        "verdict": ("account", "verdict", "received_at"),
        "received": ("received_at",),
        "conversation": ("conversation_id",),
        "reference": ("third_party_reference",),
    },
    OutboxMixin: {"due": ("account", "due_at"), "payment": ("transaction_key",)},
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
