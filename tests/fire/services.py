"""The databases and queues of a fire run, used without the library that is being tried."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery

from .apps import BROKERS, DATABASES_OF, QUEUES, make_tables

FRAMEWORKS = ("django", "flask")
_TABLES = {
    "django": ("django_mpesa_transaction", "django_mpesa_outboxentry", "django_mpesa_callbacklog"),
    "flask": ("payment", "payment_outbox_entry", "payment_callback"),
}
_OPEN = "state IN ('initiated', 'pending', 'unknown')"


def records_of(framework: str) -> list[Any]:
    """All records, read without the library that is being tried."""
    table = _TABLES[framework][0]
    with connect(DATABASES_OF[framework], row_factory=psycopg.rows.namedtuple_row) as connection:
        return connection.execute(f"SELECT *, id AS pk FROM {table} ORDER BY id").fetchall()


def make_due(framework: str) -> int:
    """Have everything that is open looked at now; how much that is."""
    payments, outbox, callbacks = _TABLES[framework]
    past = datetime.now(timezone.utc) - timedelta(hours=1)
    with connect(DATABASES_OF[framework]) as connection:
        left = 0
        for count, change in (
            (
                f"{payments} WHERE {_OPEN}",
                f"UPDATE {payments} SET next_check_at = %s WHERE {_OPEN}",
            ),
            (outbox, f"UPDATE {outbox} SET due_at = %s"),
            (
                f"{callbacks} WHERE verdict = 'received'",
                f"UPDATE {callbacks} SET received_at = %s, next_attempt_at = NULL "
                "WHERE verdict = 'received'",
            ),
        ):
            row = connection.execute(f"SELECT count(*) FROM {count}").fetchone()
            left += row[0] if row else 0
            connection.execute(change, [past])
    return left


def make_database(framework: str, directory: Path) -> None:
    """A new database with the shop's tables."""
    name = DATABASES_OF[framework]
    with connect("postgres") as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    make_tables(framework, directory)


def drop_databases() -> None:
    """Both shops' databases."""
    with connect("postgres") as connection:
        for name in DATABASES_OF.values():
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def drop_queues() -> None:
    """Both shops' queues at their brokers."""
    for framework, url in BROKERS.items():
        app = Celery(broker=url)
        with app.connection_for_write() as broker, broker.channel() as channel:
            app.amqp.queues[QUEUES[framework]].bind(channel).delete()


def connect(database: str, **options: Any) -> psycopg.Connection[Any]:
    """A connection to PostgreSQL that commits each statement."""
    return psycopg.connect(
        host="127.0.0.1", user="postgres", dbname=database, autocommit=True, **options
    )
