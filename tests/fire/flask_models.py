"""The Flask shop's records in a fire run."""

from __future__ import annotations

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase

from flask_mpesa.records import CallbackLogMixin, NoticeMixin, Records, TransactionMixin

from .apps import DATABASES_OF

engine = create_engine(
    f"postgresql+psycopg://postgres@127.0.0.1/{DATABASES_OF['flask']}",
    pool_size=20,
    pool_pre_ping=True,
)


class Base(DeclarativeBase):
    pass


class Payment(TransactionMixin, Base):
    __tablename__ = "payment"


class PaymentCallback(CallbackLogMixin, Base):
    __tablename__ = "payment_callback"


class PaymentNotice(NoticeMixin, Base):
    __tablename__ = "payment_notice"


records = Records(engine, Payment, PaymentCallback, PaymentNotice)
