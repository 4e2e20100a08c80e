"""The portal's database: its tables, brought up to date, and statements from any thread."""

from __future__ import annotations

import sqlite3
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    phone TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    activation_hash TEXT UNIQUE,
    activated_at TEXT
);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    recipient TEXT NOT NULL,
    link TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sent_request (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES user (id),
    at TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS token (
    hash TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES user (id),
    purpose TEXT NOT NULL,
    email TEXT NOT NULL,
    expires_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS phone_code (
    user_id INTEGER PRIMARY KEY REFERENCES user (id),
    phone TEXT NOT NULL,
    code TEXT NOT NULL,
    tries_left INTEGER NOT NULL,
    expires_at TEXT NOT NULL
);
"""
# Table -> columns that an older version's has not.
_ADDED = {
    "user": {
        "service_provider_code": "TEXT",
        "user_name": "TEXT",
        "name": "TEXT NOT NULL DEFAULT ''",
        "company": "TEXT NOT NULL DEFAULT ''",
        "phone_confirmed_at": "TEXT",
    },
    "message": {"user_id": "INTEGER", "kind": "TEXT NOT NULL DEFAULT 'activation'"},
}
_INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS user_service_provider_code ON user (service_provider_code);
CREATE UNIQUE INDEX IF NOT EXISTS user_user_name ON user (user_name);
"""


class Database:
    """A connection that threads share."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        path.chmod(0o600)
        self._db.executescript(_SCHEMA)
        for table, columns in _ADDED.items():
            there = {row["name"] for row in self._db.execute(f"PRAGMA table_info({table})")}
            for name, kind in columns.items():
                if name not in there:
                    self._db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        self._db.executescript(_INDEXES)

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a query."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, None if there is none."""
        found = self.rows(sql, *values)
        return found[0] if found else None

    def change(self, sql: str, *values: Any) -> int:
        """Carry out a statement, at once; gives how many rows it changed."""
        with self._lock:
            return self._db.execute(sql, values).rowcount

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._db.close()


def moment(later: timedelta = timedelta()) -> str:
    """Now, or so much later, as the tables have it: moments compare as their texts do."""
    return (datetime.now(timezone.utc) + later).isoformat()


def read_moment(text: str) -> datetime:
    """A moment of the tables, aware UTC."""
    return datetime.fromisoformat(text).astimezone(timezone.utc)
