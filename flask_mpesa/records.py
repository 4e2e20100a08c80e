"""The records' columns, for models on your own declarative base; SQLAlchemy 2.

class Payment(TransactionMixin, Base): ...
class PaymentCallback(CallbackLogMixin, Base): ...
class PaymentOutboxEntry(OutboxMixin, Base): ...

records = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)

What moves a record on is core's; how it is read and written is in `store`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

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
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Mapped, Mapper, attributes, mapped_column

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.masking import mask_msisdn
from mpesa_integrations.core.payments import tables
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES, State

from . import constraints
from .connections import own_engine, pool_size, refuse_shared_connection
from .protection import ProtectedColumns

if TYPE_CHECKING:
    from .store import SqlAlchemyStore

_BIG_ID = BigInteger().with_variant(Integer, "sqlite")
_MOMENT = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_EXACT = String(64).with_variant(
    mysql.VARCHAR(64, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
"""Text that is compared as it is, whatever the database's collation takes for the same."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _text(length: int) -> Any:
    return mapped_column(String(length), default="")


def _moment(**options: Any) -> Any:
    return mapped_column(_MOMENT, **options)


class _InUtc:
    """Gives aware times also on a database that keeps none."""


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
        """Whether what became of it is still to be learnt."""
        return State(self.state) in OPEN_STATES

    @property
    def is_paid(self) -> bool:
        """Whether the money moved and none of it was given back."""
        return State(self.state) is State.COMPLETED


class CallbackLogMixin(_InUtc):
    """A callback as it arrived, believed or not."""

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
    """A signal that is to be sent; the row goes once it was."""

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
    constraints.add_constraints(mapper, _INDEXES[TransactionMixin])


@event.listens_for(CallbackLogMixin, "after_mapper_constructed", propagate=True)
def _index_callbacks(mapper: Mapper[Any], model: type[Any]) -> None:
    constraints.add_indexes(mapper, _INDEXES[CallbackLogMixin])


@event.listens_for(OutboxMixin, "after_mapper_constructed", propagate=True)
def _index_outbox(mapper: Mapper[Any], model: type[Any]) -> None:
    constraints.add_indexes(mapper, _INDEXES[OutboxMixin])


class Records:
    """Where payments are recorded: a database, and your three models.

    Args:
        engine: the engine; or what gives it, where it is known later, as `lambda: db.engine`.
        transaction: your model with `TransactionMixin`.
        callback_log: your model with `CallbackLogMixin`.
        outbox: your model with `OutboxMixin`.
    """

    def __init__(
        self,
        engine: Engine | Callable[[], Engine],
        transaction: type[TransactionMixin],
        callback_log: type[CallbackLogMixin],
        outbox: type[OutboxMixin],
    ) -> None:
        self._engine = engine
        self._quiet: tuple[Engine, Engine] | None = None  # made once: it costs as much as a SELECT
        self.transaction = transaction
        self.callback_log = callback_log
        self.outbox = outbox

    @property
    def engine(self) -> Engine:
        """The engine, whose errors and log do not show what was to be written."""
        engine = self._given()
        if self._quiet is None or self._quiet[0] is not engine:
            quiet = engine.execution_options()
            quiet.hide_parameters = True
            self._quiet = (engine, quiet)
        return self._quiet[1]

    @property
    def library_engine(self) -> Engine:
        """The engine of the store: on connections of its own, the library's columns are written.

        Raises:
            ConfigurationError: yours has one connection for everybody.
        """
        return own_engine(self._given())

    def check(self) -> None:
        """Refuse an engine that payments cannot be recorded with; it connects to nothing.

        Raises:
            ConfigurationError: it has one connection for everybody.
        """
        refuse_shared_connection(self._given())

    def pool_size(self) -> int | None:
        """How many connections the app's pool has at the most; ours has as many. None: no limit."""
        return pool_size(self._given())

    def _given(self) -> Engine:
        return self._engine if isinstance(self._engine, Engine) else self._engine()

    def check_models(self) -> None:
        """Check what the models are to have in the database; the database is not asked.

        Raises:
            ConfigurationError: a model is not made with its mixin, or its table lacks what the
                guarantees stand on.
        """
        for model, mixin in (
            (self.transaction, TransactionMixin),
            (self.callback_log, CallbackLogMixin),
            (self.outbox, OutboxMixin),
        ):
            if not (isinstance(model, type) and issubclass(model, mixin)):
                raise ConfigurationError(
                    f"records: {model!r} is no model with {mixin.__name__}", setting="records"
                )
        for table in constraints.in_models(self):
            for fault in tables.faults(table):
                raise ConfigurationError(f"records: {fault.text}", setting="records")

    def store(self, account: str) -> SqlAlchemyStore:
        """One account's store."""
        from .store import SqlAlchemyStore

        return SqlAlchemyStore(account, self)
