"""`mpesa.c2b()` with its record against an INSERT, the call by hand, and an UPDATE.

Each committed, by the same framework's own means, in the same table. Nobody listens to signals, or,
as `…_heard`, somebody does: then the signal is a row until it was sent, which the other has
nothing for. No connection to the database is kept while the gateway is waited for: without a pool
Django opens another one afterwards, which is most of `django_postgresql`. ratio = ours / by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import requests

from mpesa_integrations import MpesaConfig
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.settings.account import AccountSettings

from . import django_site, flask_site
from .by_hand import headers, parameters, url
from .gateway import gateway
from .measure import Result, compare

TARGET = 1.3
_HEARD = "heard"
_Call = Callable[[dict[str, str]], dict[str, str]]


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare a payment each."""
    with gateway() as config, requests.Session() as session:
        address, own_headers = url(config), headers(config)

        def call(body: dict[str, str]) -> dict[str, str]:
            answer: dict[str, str] = session.post(
                address,
                json=body,
                headers=own_headers,
                verify=config.verify,
                timeout=config.timeout,
            ).json()
            return answer

        for framework, databases in (
            (_django, ("sqlite", "postgresql", "postgresql_pool")),
            (_flask, ("sqlite", "postgresql")),
        ):
            for database in databases:
                yield from framework(database, config, call, rounds=2 if smoke else 200)


def _django(database: str, config: MpesaConfig, call: _Call, *, rounds: int) -> Iterator[Result]:
    with django_site.site(database):
        from django_mpesa.models import Transaction
        from django_mpesa.notifier import SignalNotifier
        from django_mpesa.protection import LibraryRecords, insert
        from django_mpesa.signals import payment_completed
        from django_mpesa.store import DjangoStore

        def by_hand() -> None:
            asked = parameters(config)
            row = Transaction(**_columns(asked))
            insert(row, store.alias)
            every.filter(pk=row.pk).update(**_answered(call(asked)))

        store, notifier = DjangoStore("default"), SignalNotifier(Transaction)
        every = LibraryRecords(Transaction).using(store.alias)
        payments: Any = Payments("default", AccountSettings(config=config), store, notifier)
        yield _compare("django", database, payments, by_hand, rounds)
        payment_completed.connect(_receive)
        yield _compare("django", f"{database}_{_HEARD}", payments, by_hand, rounds)
        payment_completed.disconnect(_receive)
        payments.client.close()


def _flask(database: str, config: MpesaConfig, call: _Call, *, rounds: int) -> Iterator[Result]:
    from flask import Flask
    from sqlalchemy import update
    from sqlalchemy.orm import Session

    from flask_mpesa.signals import payment_completed
    from mpesa_integrations.signals.notifier import Application, SignalNotifier
    from mpesa_integrations.sqlalchemy.protection import THE_LIBRARY
    from tests.flask.models import Payment

    with flask_site.engine(database) as engine:
        own = engine.execution_options(**THE_LIBRARY)

        def by_hand() -> None:
            asked = parameters(config)
            with Session(own) as session, session.begin():
                row = Payment(**_columns(asked))
                session.add(row)
                session.flush()
                key = row.id
            answered = _answered(call(asked))
            with Session(own) as session, session.begin():
                session.execute(update(Payment).where(Payment.id == key).values(**answered))

        store = flask_site.records(engine).store("default")
        app = Flask("shop")
        receiving = Application(sender=app, context=app.app_context, as_sync=app.ensure_sync)
        notifier = SignalNotifier(receiving, store)
        payments: Any = Payments("default", AccountSettings(config=config), store, notifier)
        yield _compare("flask", database, payments, by_hand, rounds)
        with payment_completed.connected_to(_receive):
            yield _compare("flask", f"{database}_{_HEARD}", payments, by_hand, rounds)
        payments.client.close()


def _compare(
    framework: str, variant: str, payments: Any, by_hand: Callable[[], None], rounds: int
) -> Result:
    return compare(
        f"recorded_c2b_vs_plain_insert.{framework}_{variant}",
        lambda: payments.c2b(msisdn="258841234567", amount="150.00", reference="INVOICE 7"),
        by_hand,
        rounds=rounds,
        target=None if variant.endswith(_HEARD) else TARGET,
    )


def _receive(sender: Any, **values: Any) -> None:
    pass


def _columns(asked: dict[str, str]) -> dict[str, Any]:
    return {
        "operation": "c2b",
        "state": "initiated",
        "amount": Decimal(asked["input_Amount"]),
        "msisdn": asked["input_CustomerMSISDN"],
        "reference": asked["input_TransactionReference"],
        "third_party_reference": asked["input_ThirdPartyReference"],
    }


def _answered(answer: dict[str, str]) -> dict[str, Any]:
    return {
        "state": "completed",
        "transaction_id": answer["output_TransactionID"],
        "conversation_id": answer["output_ConversationID"],
        "response_code": answer["output_ResponseCode"],
        "response_description": answer["output_ResponseDesc"],
    }
