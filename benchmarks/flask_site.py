"""A Flask app with recorded payments, on one of two databases."""

from __future__ import annotations

import contextlib
import hmac
import json
from collections.abc import Iterator

from flask import Flask, abort, request
from sqlalchemy import URL, create_engine, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from flask_mpesa import Mpesa
from flask_mpesa.records import Records
from mpesa_integrations.sqlalchemy.protection import THE_LIBRARY
from tests.flask.models import Base, Payment, PaymentCallback, PaymentOutboxEntry

from . import databases
from .by_hand import acknowledgement
from .gateway import OPTIONS, TOKEN

_URLS = {
    "sqlite": URL.create("sqlite", database=str(databases.SQLITE_FILE)),
    "postgresql": URL.create(
        "postgresql+psycopg", databases.USER, None, databases.HOST, None, databases.NAME
    ),
}


@contextlib.contextmanager
def engine(database: str) -> Iterator[Engine]:
    """An engine of an empty database, `sqlite` or `postgresql`, with the records' tables."""
    with databases.empty_database(database):
        made = create_engine(_URLS[database], pool_size=40)
        Base.metadata.create_all(made)
        try:
            yield made
        finally:
            made.dispose()


def records(of: Engine) -> Records:
    """The records for the extension."""
    return Records(of, Payment, PaymentCallback, PaymentOutboxEntry)


def app(of: Engine) -> Flask:
    """An app with the extension, and a callback view as one writes it without."""
    made = Flask("shop")
    made.config.update({f"MPESA_{name}": value for name, value in OPTIONS.items()}, TESTING=True)
    Mpesa(made, records=records(of))

    own = of.execution_options(**THE_LIBRARY)

    @made.post("/bare/<token>/")
    def bare(token: str) -> dict[str, str]:
        if not hmac.compare_digest(token, TOKEN):
            abort(404)
        body = request.get_data()
        said = json.loads(body)
        with Session(own) as session, session.begin():
            session.add(
                PaymentCallback(
                    account="default",
                    body=body,
                    conversation_id=said["input_OriginalConversationID"],
                    third_party_reference=said["input_ThirdPartyReference"],
                    verdict="applied",
                )
            )
            session.execute(
                update(Payment)
                .where(
                    Payment.account == "default",
                    Payment.third_party_reference == said["input_ThirdPartyReference"],
                    Payment.conversation_id == said["input_OriginalConversationID"],
                    Payment.state == "pending",
                )
                .values(
                    state="completed",
                    transaction_id=said["input_TransactionID"],
                    response_code=said["input_ResultCode"],
                    response_description=said["input_ResultDesc"],
                )
            )
        return acknowledgement(said)

    return made
