"""PostgreSQL and MariaDB as a fire run uses them; its processes are told which and where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.engine import URL


@dataclass(frozen=True)
class Database:
    """A kind of database server.

    Attributes:
        driver: SQLAlchemy's name of it.
        engine: Django's.
        user: who may do everything, without a password.
        port: where the machine's own server listens.
        first: a database that each server has.
        created, dropped: what is said after a database's name to create and to drop it.
        sessions: the query for the numbers of all sessions of `:name`.
        end: the statement that ends the session `:session`.
    """

    driver: str
    engine: str
    user: str
    port: int
    first: str
    created: str
    dropped: str
    sessions: str
    end: str
    query: Mapping[str, str] = field(default_factory=dict)


DATABASES = {
    "postgresql": Database(
        driver="postgresql+psycopg",
        engine="django.db.backends.postgresql",
        user="postgres",
        port=5432,
        first="postgres",
        created="",
        dropped="WITH (FORCE)",
        sessions="SELECT pid FROM pg_stat_activity WHERE datname = :name",
        end="SELECT pg_terminate_backend(:session)",
    ),
    "mariadb": Database(
        driver="mysql+mysqldb",
        engine="django.db.backends.mysql",
        user="root",
        port=3306,
        first="mysql",
        created="CHARACTER SET utf8mb4",
        dropped="",
        sessions="SELECT id FROM information_schema.processlist WHERE db = :name",
        end="KILL :session",
        query={"charset": "utf8mb4"},
    ),
}


def choose(name: str) -> None:
    """Tell this process, and those that it starts, which of DATABASES it is."""
    os.environ["FIRE_DATABASE"] = name


def choose_port(port: int) -> None:
    """Likewise, where its server listens, unless that is the machine's own."""
    os.environ["FIRE_DATABASE_PORT"] = str(port)


def chosen() -> Database:
    """The kind that was chosen."""
    return DATABASES[os.environ.get("FIRE_DATABASE", "postgresql")]


def url_of(name: str | None = None) -> URL:
    """The address of a database for SQLAlchemy; None: of one that is always there."""
    kind = chosen()
    port = int(os.environ.get("FIRE_DATABASE_PORT", kind.port))
    return URL.create(
        kind.driver, kind.user, None, "127.0.0.1", port, name or kind.first, kind.query
    )
