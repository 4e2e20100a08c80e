"""System checks: what is wrong with the settings is said at start, not at the first payment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.payments import tables
from mpesa_integrations.core.payments.registry import DEFAULT
from mpesa_integrations.core.settings.account import (
    AccountSettings,
    SettingsMessage,
    check_account,
    check_callback_tokens,
)

from . import constraints
from .accounts import account_options
from .models import AbstractTransaction, CallbackLog, OutboxEntry
from .routing import callback_path
from .swapping import get_transaction_model


def register_checks() -> None:
    """Register the checks; called once by the app."""
    register(check_accounts, "mpesa")
    register(check_database, "mpesa")
    register(check_models, "mpesa")
    register(check_tables, Tags.database)


def check_accounts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check the MPESA setting and what belongs to it."""
    accounts = account_options()
    if not isinstance(accounts, Mapping) or DEFAULT not in accounts:
        return [
            Error(
                "The MPESA setting has no account called 'default'.",
                hint='Set MPESA = {"default": {"API_KEY": …, "PUBLIC_KEY": …, '
                '"SERVICE_PROVIDER_CODE": …}}.',
                id="mpesa.E001",
            )
        ]
    found = {alias: _read(options) for alias, options in accounts.items()}
    usable = {alias: read for alias, read in found.items() if isinstance(read, AccountSettings)}
    return [
        *(message for alias, read in found.items() for message in _check_account(alias, read)),
        *map(_message, check_callback_tokens(usable)),
        *_check_url(usable),
    ]


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
    if connection.vendor == "sqlite" and atomic:
        return [
            Warning(
                f"With {atomic[0]} on SQLite, each M-Pesa payment made in a view is refused: it "
                "must be committed before it is sent, and SQLite has one writer at a time.",
                hint="Take it away, mark the views that pay with "
                "django.db.transaction.non_atomic_requests, or use PostgreSQL or MariaDB.",
                id="mpesa.W021",
            )
        ]
    if options["OPTIONS"].get("pool") and atomic:
        return [
            Info(
                f"With {atomic[0]}, each M-Pesa payment made in a view has, while it is recorded, "
                "one connection besides that of the pool.",
                hint="Let the server take more connections than the pools have, or mark the views "
                "that pay with django.db.transaction.non_atomic_requests.",
                id="mpesa.I022",
            )
        ]
    return []


def check_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check that the payments' model has what the guarantees stand on; no database is asked."""
    model = get_transaction_model()
    if not issubclass(model, AbstractTransaction):
        return [
            Error(
                f"MPESA_TRANSACTION_MODEL is {model._meta.label}, which is no model of payments.",
                hint="Let it inherit from django_mpesa.models.AbstractTransaction.",
                obj=model,
                id="mpesa.E030",
            )
        ]
    return [
        *(
            Error(
                f"{fault.text}.",
                hint="Leave the constraints of AbstractTransaction in the model's _meta, "
                "and its fields as they are.",
                obj=model,
                id="mpesa.E031",
            )
            for fault in tables.faults(constraints.in_model(model))
        ),
        *_check_fields(model),
        *_check_routes(model),
    ]


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


def _check_routes(model: type[AbstractTransaction]) -> Iterator[CheckMessage]:
    alias = router.db_for_write(model)
    for other in (CallbackLog, OutboxEntry):
        elsewhere = router.db_for_write(other)
        if elsewhere != alias:
            yield Error(
                f"Payments are written to the database {alias!r}, and {other._meta.label} to "
                f"{elsewhere!r}: they belong together in one transaction.",
                hint=f"Let DATABASE_ROUTERS send {other._meta.app_label} where "
                f"{model._meta.label} goes.",
                obj=other,
                id="mpesa.E034",
            )


def _check_fields(model: type[AbstractTransaction]) -> Iterator[CheckMessage]:
    """Fields may be put in place of the library's if they hold all that those do."""
    for needed in AbstractTransaction._meta.local_fields:
        try:
            field: Any = model._meta.get_field(needed.name)
        except FieldDoesNotExist:
            field = None
        if needed.primary_key or (field is not None and _holds_as_much(field, needed)):
            continue
        yield Error(
            f"The field {needed.name} of {model._meta.label} does not hold what the library "
            "writes into it.",
            hint="Leave it as AbstractTransaction has it.",
            obj=model,
            id="mpesa.E033",
        )


def _holds_as_much(field: Any, needed: Any) -> bool:
    length, enough = (getattr(f, "max_length", None) for f in (field, needed))
    return (
        isinstance(field, type(needed))
        and (field.null or not needed.null)
        and (enough is None or length is None or length >= enough)
    )


def _read(options: Mapping[str, Any]) -> AccountSettings | ConfigurationError:
    try:
        return AccountSettings.from_mapping(options)
    except ConfigurationError as error:
        return error


def _check_account(
    alias: str, found: AccountSettings | ConfigurationError
) -> Iterator[CheckMessage]:
    if isinstance(found, ConfigurationError):
        networks = found.setting in ("callback_networks", "trusted_proxies")
        yield Error(
            f"The M-Pesa account {alias!r} is not usable: {found}.",
            hint=f"Correct {found.setting.upper()} in MPESA[{alias!r}].",
            id="mpesa.E006" if networks else "mpesa.E002",
        )
        return
    yield from map(_message, check_account(alias, found, in_production=not settings.DEBUG))


def _message(problem: SettingsMessage) -> CheckMessage:
    level, letter = (Error, "E") if problem.serious else (Warning, "W")
    return level(problem.text, hint=problem.hint, id=f"mpesa.{letter}{problem.number:03}")


def _check_url(accounts: Mapping[str, AccountSettings]) -> Iterator[CheckMessage]:
    tokens = [found.config.callback_token for found in accounts.values()]
    token = next((token for token in tokens if token is not None), None)
    if token is None:
        return
    try:
        callback_path(token)
    except ConfigurationError as error:
        yield Warning(
            f"The callback URL of M-Pesa was not found: {error}.",
            hint='Add path("mpesa/", include("django_mpesa.urls")) to the urlpatterns. If it is '
            "routed in a way that cannot be found, name it in MPESA_CALLBACK_URL_NAME.",
            id="mpesa.W009",
        )
