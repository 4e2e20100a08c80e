"""Checks of the payments' database: how it is used, and what its tables really have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Info, Warning
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.migrations.executor import MigrationExecutor

from mpesa_integrations.core.payments import tables

from .. import constraints
from ..models import AbstractTransaction, CallbackLog, OutboxEntry
from ..swapping import get_transaction_model


def check_database(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check that payments can be recorded where they are usually made; nothing is connected to."""
    alias = router.db_for_write(get_transaction_model())
    connection = connections[alias]
    options = connection.settings_dict
    atomic = [
        name
        for name, within in (
            ("ATOMIC_REQUESTS = True", options["ATOMIC_REQUESTS"]),
            ("AUTOCOMMIT = False", not options["AUTOCOMMIT"]),
        )
        if within
    ]
    marked = "django.db.transaction.non_atomic_requests"
    if alias != DEFAULT_DB_ALIAS:
        marked += f'(using="{alias}")'
    if connection.vendor == "sqlite" and atomic:
        return [
            Warning(
                f"With {atomic[0]} on SQLite, each M-Pesa call in a view that pays, gives back or "
                "asks is refused: what it does must be committed by itself, and SQLite has one "
                "writer at a time.",
                hint=f"Take it away, mark the views that do so with {marked}, or use PostgreSQL "
                "or MariaDB.",
                id="mpesa.W021",
            )
        ]
    if options["OPTIONS"].get("pool") and atomic:
        return [
            Info(
                f"With {atomic[0]}, each M-Pesa payment made in a view has, while it is recorded, "
                "one connection besides that of the pool.",
                hint="Let the server take more connections than the pools have, or mark the views "
                f"that pay with {marked}.",
                id="mpesa.I022",
            )
        ]
    return []


def check_tables(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check what the database really has, where `--database` says that it may be asked."""
    model = get_transaction_model()
    alias = router.db_for_write(model)
    if alias not in (databases or ()) or not issubclass(model, AbstractTransaction):
        return []
    there = list(constraints.in_database(alias, model, (CallbackLog, OutboxEntry)))
    if not any(table.exists for table in there) and _is_to_be_migrated(alias):
        return []  # the first migration, which has nothing to put right
    found = [fault for table in there for fault in tables.faults(table)]
    # `migrate` asks this, too, and must not be kept from putting it right.
    serious = bool(found) and not _is_to_be_migrated(alias)
    return [
        (Error if fault.serious and serious else Warning)(
            f"In the database {alias!r} {fault.text}.",
            hint="Run makemigrations and migrate; where both find nothing to do, a migration was "
            "edited: write one that adds what is missing.",
            obj=model,
            id="mpesa.E032" if fault.serious and serious else "mpesa.W032",
        )
        for fault in found
    ]


def _is_to_be_migrated(alias: str) -> bool:
    executor = MigrationExecutor(connections[alias])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
