"""The databases and queues of a fire run, used without the library that is being tried."""

from __future__ import annotations

import contextlib
import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from celery import Celery
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from .apps import make_shop
from .databases import chosen, url_of
from .shops import SHOPS, Place

# The age at which what the gateway does not know was never sent; asked earlier, it decides nothing.
_DECIDED_AFTER = timedelta(seconds=65)
_OPEN = "state IN ('queued', 'initiated', 'pending', 'unknown')"


def records_of(shop: Place) -> list[Any]:
    """All records, read without the library that is being tried."""
    table = shop.tables[0]
    with connect(shop.database) as connection:
        return list(connection.execute(text(f"SELECT *, id AS pk FROM {table} ORDER BY id")))


def parcels_of(shop: Place) -> dict[str, list[str]]:
    """What its handlers have done for each payment, by its reference, in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    with connect(shop.database) as connection:
        for row in connection.execute(text("SELECT what, reference FROM fire_parcel ORDER BY id")):
            found[row.reference].append(row.what)
    return found


def shipped_orders_of(shop: Place) -> Counter[str]:
    """How many parcels the page's handler has made for each order."""
    with connect(shop.database) as connection:
        return Counter(row.order for row in connection.execute(text("SELECT * FROM parcel")))


def hasten(shop: Place) -> None:
    """Have payments of a minute ago asked about now: somebody waits before the page."""
    now = datetime.now(timezone.utc)
    old = f"{_OPEN} AND created_at < :before AND next_check_at < :leases"
    change = f"UPDATE {shop.tables[0]} SET next_check_at = :now WHERE {old}"
    with connect(shop.database) as connection:
        values = {"now": now, "before": now - _DECIDED_AFTER, "leases": now + timedelta(minutes=5)}
        connection.execute(text(change), values)


def make_due(shop: Place) -> int:
    """Have everything that is open looked at now; how much that is."""
    payments, outbox, callbacks = shop.tables
    past = datetime.now(timezone.utc) - timedelta(hours=1)
    with connect(shop.database) as connection:
        left = 0
        for count, change in (
            (
                f"{payments} WHERE {_OPEN}",
                f"UPDATE {payments} SET next_check_at = :past WHERE {_OPEN}",
            ),
            (outbox, f"UPDATE {outbox} SET due_at = :past"),
            (
                f"{callbacks} WHERE verdict = 'received'",
                f"UPDATE {callbacks} SET received_at = :past, next_attempt_at = NULL "
                "WHERE verdict = 'received'",
            ),
        ):
            left += connection.execute(text(f"SELECT count(*) FROM {count}")).scalar_one()
            connection.execute(text(change), {"past": past})
    return left


def drop_connection(rng: random.Random) -> bool:
    """Hang up on one of the shops' connections; False where none was left."""
    with connect() as connection:
        found = [
            session
            for shop in SHOPS.values()
            for session in connection.scalars(text(chosen().sessions), {"name": shop.database})
        ]
        with contextlib.suppress(OperationalError):  # MariaDB's word for one that has just ended
            if found:
                connection.execute(text(chosen().end), {"session": rng.choice(found)})
                return True
    return False


def make_database(shop: Place, directory: Path) -> None:
    """A new database with the shop's tables.

    Args:
        directory: the run's.
    """
    with connect() as connection:
        _drop(connection, shop.database)
        connection.execute(text(f"CREATE DATABASE {shop.database} {chosen().created}"))
    make_shop(shop.name, directory).make_tables()
    with connect(shop.database) as connection:
        columns = "id SERIAL, what VARCHAR(20), reference VARCHAR(20)"
        connection.execute(text(f"CREATE TABLE fire_parcel ({columns})"))


def drop_databases() -> None:
    """Those of all shops."""
    with connect() as connection:
        for shop in SHOPS.values():
            _drop(connection, shop.database)


def _drop(connection: Connection, name: str) -> None:
    connection.execute(text(f"DROP DATABASE IF EXISTS {name} {chosen().dropped}"))


def drop_queues() -> None:
    """Those of all shops, at their brokers."""
    for shop in SHOPS.values():
        if shop.broker is None:
            continue
        app = Celery(broker=shop.broker)
        with app.connection_for_write() as broker, broker.channel() as channel:
            app.amqp.queues[shop.queue].bind(channel).delete()


def connect(database: str | None = None) -> Connection:
    """A connection that commits each statement; None: to a database that is always there."""
    engine = create_engine(url_of(database), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    return engine.connect()
