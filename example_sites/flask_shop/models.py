"""Payments, and what was ordered. Where an order stands is read from its payments' records."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timezone
from decimal import Decimal

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Numeric, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_mpesa import Mpesa
from flask_mpesa.records import CallbackLogMixin, OutboxMixin, Records, TransactionMixin

from .menu import Item


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Payment(TransactionMixin, db.Model):  # type: ignore[name-defined,misc]
    pass


class PaymentCallback(CallbackLogMixin, db.Model):  # type: ignore[name-defined,misc]
    pass


class PaymentOutboxEntry(OutboxMixin, db.Model):  # type: ignore[name-defined,misc]
    pass


mpesa = Mpesa(records=Records(lambda: db.engine, Payment, PaymentCallback, PaymentOutboxEntry))


class Order(db.Model):  # type: ignore[name-defined,misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[uuid.UUID] = mapped_column(unique=True, default=uuid.uuid4)
    """Its address: whoever has it may see the order."""
    total: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    in_kitchen_since: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(timezone.utc))
    lines: Mapped[list[OrderLine]] = relationship()

    @property
    def reference(self) -> str:
        """What the customer reads on the phone and on the statement."""
        return f"CAFE {self.id}"

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
