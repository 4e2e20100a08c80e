"""The two shops of a fire run, each as its framework's users write one; they note each signal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery
from celery.signals import worker_process_init

from mpesa_integrations.core.payments.records import Event
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.settings.client import settings_in_account_file
from tests.support.account import TOKEN

# Of this run alone: `__main__` chooses them, its workers are told.
_RUN = os.environ.get("FIRE_RUN", "")
_FIRST_PORT = int(os.environ.get("FIRE_PORT", "11811"))
PORTS = {"django": _FIRST_PORT, "flask": _FIRST_PORT + 1}
BROKERS = {"django": "redis://127.0.0.1:6379/0", "flask": "amqp://127.0.0.1"}
QUEUES = {name: f"mpesa-fire{_RUN}-{name}" for name in BROKERS}
DATABASES_OF = {"django": f"mpesa_fire{_RUN}_django", "flask": f"mpesa_fire{_RUN}_flask"}
ACCOUNT: dict[str, Any] = {
    "CALLBACK_TOKEN": TOKEN,
    # A busy machine takes seconds to connect. A payment that got in though INS-16 denied it, and
    # was then not sent again for want of a connection, ends as a conflict: right, but counted here.
    "TIMEOUT": (6, 4),
    "RETRIES": 1,
    # Longer than any answer takes: what the gateway does not know by then, it never had.
    "NOT_FOUND_AFTER": 30,
}


class Shop(NamedTuple):
    """One framework's shop in this process.

    Attributes:
        accounts: its accounts.
        wsgi: its callback endpoint.
        celery: its Celery app.
        done: called by a thread at its end, and after an error.
    """

    accounts: Accounts[Any, Any]
    wsgi: Any
    celery: Celery
    done: Callable[[], None]


def make_shop(framework: str, directory: Path, *, apply_callbacks: str = "inline") -> Shop:
    """The shop, set up against the run's gateway, database and broker."""
    make = _django if framework == "django" else _flask
    return make(directory, {**ACCOUNT, "APPLY_CALLBACKS": apply_callbacks})


def _set_up(celery: Celery, framework: str) -> Celery:
    """A broker that is down is not waited for: what is to be done is in the rows."""
    celery.conf.update(
        broker_url=BROKERS[framework],
        broker_connection_retry_on_startup=True,
        task_default_queue=QUEUES[framework],
        beat_schedule={"mpesa": {"task": f"{framework}_mpesa.reconcile", "schedule": 1.0}},
    )
    celery.autodiscover_tasks([f"{framework}_mpesa"], force=True)
    celery.set_default()
    return celery


def make_tables(framework: str, directory: Path) -> None:
    """The shop's tables, in its empty database."""
    shop = make_shop(framework, directory)
    if framework == "django":
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
    else:
        from tests.flask.models import Base

        from .flask_models import engine

        Base.metadata.create_all(engine)
    shop.done()


def _note_signals(signals: Any, directory: Path) -> None:
    """Append a line per signal: short enough that lines of several processes do not mix."""
    file = os.open(directory / "signals.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for event in Event:

        def receive(
            sender: Any, transaction: Any, event_id: str, _event: Event = event, **rest: Any
        ) -> None:
            reference, amount = transaction.third_party_reference, transaction.amount
            os.write(file, f"{_event} {reference} {amount} {event_id}\n".encode())

        getattr(signals, event.value).connect(receive, weak=False)


def _django(directory: Path, account: dict[str, Any]) -> Shop:
    os.environ["FIRE_DIR"] = str(directory)
    os.environ["FIRE_APPLY_CALLBACKS"] = account["APPLY_CALLBACKS"]
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.fire.django_settings"
    import django
    from django.core.wsgi import get_wsgi_application

    django.setup()
    from django.db import connections

    from django_mpesa import mpesa, signals

    _note_signals(signals, directory / "django")
    celery = _set_up(Celery("fire"), "django")
    return Shop(mpesa, get_wsgi_application(), celery, connections.close_all)


def _flask(directory: Path, account: dict[str, Any]) -> Shop:
    from flask import Flask

    from flask_mpesa import Mpesa, signals
    from tests.services.flask_brokers import make_celery

    from .flask_models import engine, records

    app = Flask("fire")
    found = settings_in_account_file(directory / "flask" / "account.json")
    settings = {**{name.upper(): value for name, value in found.items()}, **account}
    app.config.update({f"MPESA_{name}": value for name, value in settings.items()})
    app.testing = True
    Mpesa(app, records=records)
    _note_signals(signals, directory / "flask")
    celery = _set_up(make_celery(app), "flask")
    # What is pooled before Celery forks its processes must not be theirs, too.
    worker_process_init.connect(lambda **_: engine.dispose(close=False), weak=False)
    return Shop(app.extensions["mpesa"], app, celery, engine.dispose)
