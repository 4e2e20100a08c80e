"""SQLite that does not wait for the disk: no test is about a machine that loses its power."""

from __future__ import annotations

from typing import Any


def through_django() -> None:
    """Have each connection that Django makes from now on be such."""
    from django.db.backends.signals import connection_created

    connection_created.connect(_made_by_django)


def through_sqlalchemy() -> None:
    """Have each connection that SQLAlchemy makes from now on be such."""
    from sqlalchemy import Engine, event

    if not event.contains(Engine, "connect", _made_by_sqlalchemy):
        event.listen(Engine, "connect", _made_by_sqlalchemy)


def _made_by_django(connection: Any, **kwargs: Any) -> None:
    if connection.vendor == "sqlite":
        connection.connection.execute("PRAGMA synchronous = OFF")


def _made_by_sqlalchemy(connection: Any, record: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous = OFF")
