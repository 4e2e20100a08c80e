"""The Flask shop's records in a fire run."""

from __future__ import annotations

from sqlalchemy import create_engine

from flask_mpesa.records import Records
from tests.flask.models import Payment, PaymentCallback, PaymentOutboxEntry

from .databases import url_of
from .shops import SHOPS

engine = create_engine(url_of(SHOPS["flask"].database), pool_size=20, pool_pre_ping=True)
records = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)
