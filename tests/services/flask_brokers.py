"""A Flask app and its Celery, set up as Flask's documentation has it, for tests' processes."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task
from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from flask_mpesa import Mpesa
from flask_mpesa.records import Records
from mpesa_integrations.core.settings.client import settings_in_account_file
from tests.flask.models import Base, Payment, PaymentCallback, PaymentOutboxEntry
from tests.support.account import TOKEN


def make_flask_app(database: str, account_file: str) -> Flask:
    """The shop, over a SQLite file."""
    engine = create_engine(
        f"sqlite:///{database}", poolclass=NullPool, connect_args={"timeout": 20}
    )
    Base.metadata.create_all(engine)
    app = Flask("celery-shop")
    found = settings_in_account_file(account_file)
    app.config.update({f"MPESA_{name.upper()}": value for name, value in found.items()})
    app.config.update(MPESA_CALLBACK_TOKEN=TOKEN, MPESA_APPLY_CALLBACKS="worker", TESTING=True)
    Mpesa(app, records=Records(engine, Payment, PaymentCallback, PaymentOutboxEntry))
    return app


def make_celery(app: Flask, broker: str | None = None, queue: str = "mpesa-test") -> Celery:
    """Celery whose tasks run in the app's context."""

    class ContextTask(Task):  # type: ignore[misc] # Celery is not typed
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with app.app_context():
                return self.run(*args, **kwargs)

    made = Celery("flask-tests", task_cls=ContextTask, broker=broker)
    made.conf.task_default_queue = queue
    made.conf.broker_connection_retry_on_startup = True
    made.autodiscover_tasks(["flask_mpesa"], force=True)
    made.set_default()
    made.set_current()
    return made


if "MPESA_TEST_FLASK_DATABASE" in os.environ:
    celery_app = make_celery(
        make_flask_app(os.environ["MPESA_TEST_FLASK_DATABASE"], os.environ["MPESA_TEST_ACCOUNT"]),
        os.environ["MPESA_TEST_BROKER"],
        os.environ["MPESA_TEST_QUEUE"],
    )
