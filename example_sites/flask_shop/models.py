"""Payments, and what was ordered. An order's status is moved only by signals of its payments."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum

from flask_babel import lazy_gettext as _
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String, or_, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_mpesa.records import CallbackLogMixin, OutboxMixin, TransactionMixin

from .menu import Item


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Payment(TransactionMixin, db.Model):  # type: ignore[name-defined,misc]
    """A payment's record, and which attempt to pay which order it is."""

    order_id: Mapped[int | None] = mapped_column(ForeignKey("order.id"), index=True)
    attempt: Mapped[int] = mapped_column(default=0)


class PaymentCallback(CallbackLogMixin, db.Model):  # type: ignore[name-defined,misc]
    pass


class PaymentOutboxEntry(OutboxMixin, db.Model):  # type: ignore[name-defined,misc]
    pass


class Status(str, Enum):
    NEW = "new"
    WAITING = "waiting"
    CHECKING = "checking"
    PAID = "paid"
    REFUSED = "refused"
    CANCELLED = "cancelled"


STATUS_NAMES = {
    Status.NEW: _("Not paid yet"),
    Status.WAITING: _("Waiting for your PIN"),
    Status.CHECKING: _("We are checking your payment"),
    Status.PAID: _("Paid"),
    Status.REFUSED: _("The payment was refused"),
    Status.CANCELLED: _("The payment was cancelled"),
}
OPEN = (Status.WAITING, Status.CHECKING)
"""A payment is under way, and no other may be begun."""


class Order(db.Model):  # type: ignore[name-defined,misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[uuid.UUID] = mapped_column(unique=True, default=uuid.uuid4)
    """Its address: whoever has it may see the order."""
    status: Mapped[str] = mapped_column(String(10), default=Status.NEW.value)
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    attempts: Mapped[int] = mapped_column(default=0)
    """Which attempt to pay the status is that of."""
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(timezone.utc))
    lines: Mapped[list[OrderLine]] = relationship()

    @property
    def reference(self) -> str:
        """What the customer reads on the phone and on the statement."""
        return f"CAFE {self.id}"

    @property
    def may_be_paid(self) -> bool:
        """Whether no money came, and none is on its way."""
        return self.status in (Status.NEW, Status.REFUSED, Status.CANCELLED)

    @property
    def payment(self) -> Payment | None:
        """The latest attempt's."""
        latest = select(Payment).filter_by(order_id=self.id, attempt=self.attempts)
        found: Payment | None = db.session.scalar(latest)
        return found

    @classmethod
    def place(cls, chosen: Iterable[tuple[Item, int]]) -> Order:
        """Write an order down."""
        lines = [
            OrderLine(name=item.name, price=item.price, quantity=quantity)
            for item, quantity in chosen
        ]
        order = cls(lines=lines, total=sum((line.amount for line in lines), Decimal(0)))
        db.session.add(order)
        db.session.commit()
        return order


class OrderLine(db.Model):  # type: ignore[name-defined,misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    quantity: Mapped[int]

    @property
    def amount(self) -> Decimal:
        return self.price * self.quantity


def move_order(payment: Payment, status: Status) -> bool:
    """Take in news of a payment; whether it changed its order.

    News may overtake each other, and come twice: each is one conditional UPDATE, which old news and
    news of an earlier attempt do not pass. It is on a connection of its own, so that whatever the
    caller's session holds stays the caller's to commit.
    """
    unpaid = update(Order).where(Order.id == payment.order_id, Order.status != Status.PAID.value)
    newer = Order.attempts < payment.attempt
    moved_on = (Order.attempts == payment.attempt) & Order.status.in_(OPEN)
    changed = unpaid.where(or_(newer, moved_on & (Order.status != status.value)))
    with db.engine.begin() as connection:
        result = connection.execute(changed.values(status=status.value, attempts=payment.attempt))
    return result.rowcount > 0
