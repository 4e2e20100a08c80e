"""A Django site with the app, on one of two databases at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from tests.django import settings as of_tests

from . import databases
from .gateway import OPTIONS

_DATABASES: dict[str, dict[str, Any]] = {
    "default": {},
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": databases.SQLITE_FILE,
    },
    "postgresql": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": databases.NAME,
        "HOST": databases.HOST,
        "USER": databases.USER,
        "CONN_MAX_AGE": None,
    },
    "postgresql_pool": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": databases.NAME,
        "HOST": databases.HOST,
        "USER": databases.USER,
        "OPTIONS": {"pool": True},
    },
}


class Router:
    """Sends all to the database that is being measured."""

    used = "sqlite"

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self.used

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return self.used


@contextlib.contextmanager
def site(database: str) -> Iterator[str]:
    """Set Django up on an empty database, one of `_DATABASES`; gives its alias."""
    if not settings.configured:
        values = {name: value for name, value in vars(of_tests).items() if name.isupper()}
        settings.configure(
            **{
                **values,
                "DEBUG": False,
                "DATABASES": _DATABASES,
                "DATABASE_ROUTERS": [Router()],
                "ROOT_URLCONF": "benchmarks.django_urls",
                "MPESA": {"default": OPTIONS},
            }
        )
        django.setup()
    Router.used = database
    with databases.empty_database(database):
        call_command("migrate", database=database, verbosity=0)
        try:
            yield database
        finally:
            connections.close_all()
            if database.endswith("_pool"):
                connections[database].close_pool()  # type: ignore[attr-defined]
