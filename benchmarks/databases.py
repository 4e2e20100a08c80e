"""Databases of a benchmark's own: both empty at its beginning, and gone at its end."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

HOST, USER = "127.0.0.1", "postgres"
NAME = f"mpesa_bench_{os.getpid()}"
SQLITE_FILE = Path(tempfile.gettempdir()) / f"{NAME}.sqlite3"


@contextlib.contextmanager
def empty_database(kind: str) -> Iterator[None]:
    """Make one; `kind` is `sqlite` (the file `SQLITE_FILE`) or `postgresql` (called `NAME`)."""
    if kind == "sqlite":
        try:
            yield
        finally:
            SQLITE_FILE.unlink(missing_ok=True)
        return
    with psycopg.connect(host=HOST, user=USER, dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {NAME}")
        try:
            yield
        finally:
            server.execute(f"DROP DATABASE {NAME} WITH (FORCE)")
