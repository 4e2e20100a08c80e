"""Django's test database: how it is made empty after a test that commits, and quick."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management.color import no_style
from django.db import connection, connections
from django.test import TransactionTestCase

_KEPT = {"django_content_type", "auth_permission"}
"""What the migrations fill. Django's own `flush` deletes these too, and makes them anew."""


def empty(self: Any) -> None:
    """Delete the rows of all tables but those that the migrations fill."""
    for alias in self._databases_names(include_mirrors=False):
        connection = connections[alias]
        found = connection.introspection.django_table_names(only_existing=True, include_views=False)
        tables = [name for name in found if name not in _KEPT]
        connection.ops.execute_sql_flush(_statements(connection, tables))


def _statements(connection: Any, tables: list[str]) -> list[str]:
    if connection.vendor != "postgresql":
        found: list[str] = connection.ops.sql_flush(no_style(), tables)
        return found
    # TRUNCATE makes new files of each table and index: of few rows, DELETE takes a hundredth of its
    # time. In any order, since Django's foreign keys are checked at the commit.
    deletions = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]
    return ["; ".join(deletions)]


def empty_quickly(patch: pytest.MonkeyPatch) -> None:
    """Have every test that commits end with `empty`: it takes a small part of `flush`'s time."""
    patch.setattr(TransactionTestCase, "_fixture_teardown", empty)


def commit_quickly() -> None:
    """Have nobody wait for PostgreSQL's disk in this database: it need not outlive a crash.

    What others see and what they wait for stays as it is. MariaDB has that for the server alone.
    """
    if connection.vendor != "postgresql":
        return
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    connection.close()  # those that are opened from now on have it
