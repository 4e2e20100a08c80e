"""A Flask shop's records, as its author writes them: the tests', and those of the fire's shop."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase

from flask_mpesa.records import CallbackLogMixin, OutboxMixin, TransactionMixin


class Base(DeclarativeBase):
    pass


class Payment(TransactionMixin, Base):
    __tablename__ = "payment"


class PaymentCallback(CallbackLogMixin, Base):
    __tablename__ = "payment_callback"


class PaymentOutboxEntry(OutboxMixin, Base):
    __tablename__ = "payment_outbox_entry"
