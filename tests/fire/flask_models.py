"""The Flask shop's records in a fire run."""

from __future__ import annotations

from sqlalchemy import create_engine

from flask_mpesa.records import Records
from tests.flask.models import Payment, PaymentCallback, PaymentOutboxEntry

from .apps import DATABASES_OF

engine = create_engine(
    f"postgresql+psycopg://postgres@127.0.0.1/{DATABASES_OF['flask']}",
    pool_size=20,
    pool_pre_ping=True,
)


records = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)
