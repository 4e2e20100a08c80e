"""The shops of a fire run, each as its framework's users write one; they note each signal."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery
from celery.signals import worker_process_init

from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.settings.client import settings_in_account_file
from tests.support.account import TOKEN

from . import quickstart
from .databases import url_of
from .notes import HANDLERS, SIGNALS, note
from .shops import SHOPS, Place

ACCOUNT: dict[str, Any] = {
    "CALLBACK_TOKEN": TOKEN,
    # A busy machine takes seconds to connect. A payment that got in though INS-16 denied it, and
    # was then not sent again for want of a connection, ends as a conflict: right, but counted here.
    "TIMEOUT": (6, 4),
    "RETRIES": 1,
    # Longer than any answer takes: what the gateway does not know by then, it never had.
    "NOT_FOUND_AFTER": 30,
    # Less than the database server is away at once: some are not sent in time.
    "SEND_WITHIN": 12,
}


SHIPPED, FETCHED = "shipped", "fetched back"
_PARCEL = "INSERT INTO fire_parcel (what, reference) VALUES (%s, %s)"
_HANDLER_FAILS = 0.05  # how often


class Shop(NamedTuple):
    """A shop in this process.

    Attributes:
        accounts: its accounts.
        wsgi: its pages and its callback endpoint.
        context: what a thread that calls them is in.
        make_tables: makes its tables in an empty database, and leaves no connection open.
        celery: its Celery app, if it has one.
    """

    accounts: Accounts[Any, Any]
    wsgi: Any
    context: Callable[[], AbstractContextManager[Any]]
    make_tables: Callable[[], None]
    celery: Celery | None = None


def make_shop(name: str, directory: Path, *, apply_callbacks: str = "inline") -> Shop:
    """The shop, set up against the run's gateway, database and broker."""
    return _MAKERS[name](directory / name, {**ACCOUNT, "APPLY_CALLBACKS": apply_callbacks})


def _set_up(celery: Celery, shop: Place) -> Celery:
    """A broker that is down is not waited for: what is to be done is in the rows."""
    celery.conf.update(
        broker_url=shop.broker,
        broker_connection_retry_on_startup=True,
        task_default_queue=shop.queue,
        beat_schedule={"mpesa": {"task": f"{shop.name}_mpesa.reconcile", "schedule": 2.0}},
    )
    celery.autodiscover_tasks([f"{shop.name}_mpesa"], force=True)
    celery.set_default()
    return celery


def _note_signals(signals: Any, directory: Path) -> None:
    """Have each signal noted."""
    for event in Event:

        def receive(
            sender: Any, transaction: Any, event_id: str, _event: Event = event, **rest: Any
        ) -> None:
            reference, amount = transaction.third_party_reference, transaction.amount
            note(directory, SIGNALS, f"{_event} {reference} {amount} {event_id}")

        getattr(signals, event.value).connect(receive, weak=False)


def _handle(shop: Any, directory: Path, write: Callable[[Any, str], None]) -> None:
    """Have what is paid shipped, and what is given back fetched back, by handlers that may fail.

    Args:
        shop: its accounts.
        write: notes what is done for a payment, in the transaction in which the handler is run.
    """

    def work(payment: Any, what: str) -> None:
        write(payment, what)
        if random.random() < _HANDLER_FAILS:
            note(directory, HANDLERS, f"{what} {payment.third_party_reference}")
            raise RuntimeError("the parcel fell down")

    for event, what in ((Event.PAYMENT_COMPLETED, SHIPPED), (Event.PAYMENT_REVERSED, FETCHED)):
        shop.handler(event.value, name=what)(lambda payment, what=what: work(payment, what))


def _django(directory: Path, account: dict[str, Any]) -> Shop:
    os.environ["FIRE_ACCOUNT"] = str(directory / "account.json")
    os.environ["FIRE_APPLY_CALLBACKS"] = account["APPLY_CALLBACKS"]
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.fire.django_settings"
    import django
    from django.core.wsgi import get_wsgi_application

    django.setup()
    from django.core.management import call_command
    from django.db import connection, connections

    from django_mpesa import mpesa, signals

    _note_signals(signals, directory)

    def write(payment: Any, what: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_PARCEL % ("%s", "%s"), [what, payment.third_party_reference])

    _handle(mpesa, directory, write)

    def make_tables() -> None:
        call_command("migrate", verbosity=0)
        connections.close_all()

    celery = _set_up(Celery("fire"), SHOPS["django"])
    return Shop(mpesa, get_wsgi_application(), nullcontext, make_tables, celery)


def _flask(directory: Path, account: dict[str, Any]) -> Shop:
    from flask import Flask
    from sqlalchemy import text
    from sqlalchemy.orm import object_session

    from flask_mpesa import Mpesa, signals
    from tests.flask.models import Base
    from tests.services.flask_brokers import make_celery

    from .flask_models import engine, records

    app = Flask("fire")
    found = settings_in_account_file(directory / "account.json")
    settings = {**{name.upper(): value for name, value in found.items()}, **account}
    app.config.update({f"MPESA_{name}": value for name, value in settings.items()})
    app.testing = True
    mpesa = Mpesa(app, records=records)
    _note_signals(signals, directory)

    def write(payment: Any, what: str) -> None:
        values = {"what": what, "reference": payment.third_party_reference}
        session = object_session(payment)
        assert session is not None
        session.execute(text(_PARCEL % (":what", ":reference")), values)

    _handle(mpesa, directory, write)
    celery = _set_up(make_celery(app), SHOPS["flask"])
    # What is pooled before Celery forks its processes must not be theirs, too.
    worker_process_init.connect(lambda **_: engine.dispose(close=False), weak=False)

    def make_tables() -> None:
        Base.metadata.create_all(engine)
        engine.dispose()

    return Shop(app.extensions["mpesa"], app, app.app_context, make_tables, celery)


def _quickstart(directory: Path, account: dict[str, Any]) -> Shop:
    from flask_mpesa import signals

    module = quickstart.load(directory, account, url_of(SHOPS["quickstart"].database))
    app = module.app
    _note_signals(signals, directory)

    def make_tables() -> None:  # the page's code has made them
        with app.app_context():
            module.db.engine.dispose()

    return Shop(app.extensions["mpesa"], app, app.app_context, make_tables)


_MAKERS = {"django": _django, "flask": _flask, "quickstart": _quickstart}
