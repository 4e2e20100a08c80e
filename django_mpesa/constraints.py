"""The constraints and indexes of the payments' table, which a model of one's own cannot lose.

They are put on a model once its class is made, whatever its Meta says; so `makemigrations` sees
them as any others. And what a database really has of them is looked up here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import django
from django.db import connections, models

from mpesa_integrations.core.payments import tables

_CONDITION = "condition" if django.VERSION >= (5, 1) else "check"


def check_constraint(*, condition: Any, name: str) -> models.CheckConstraint:
    """Make a check constraint; its `check` became `condition` in Django 5.1."""
    return models.CheckConstraint(**{_CONDITION: condition, "name": name})


def add_constraints(model: type[models.Model], abstract: type[models.Model]) -> None:
    """Put the constraints and indexes of an abstract model on one that inherits from it.

    Args:
        model: a model that was just prepared; one without a table of its own is left alone.
        abstract: the model whose Meta lists them.
    """
    options: Any = model._meta
    if options.proxy or any(issubclass(parent, abstract) for parent in options.parents):
        return
    names = {"app_label": options.app_label.lower(), "class": model.__name__.lower()}
    for constraint in abstract._meta.constraints:
        if not _holds(options, constraint):
            added = constraint.clone()
            added.name = constraint.name % names
            options.constraints = [*options.constraints, added]
            options.original_attrs["constraints"] = options.constraints
    for index in abstract._meta.indexes:
        if not any(own.fields == index.fields and not own.condition for own in options.indexes):
            added = index.clone()
            added.set_name_with_model(model)
            options.indexes = [*options.indexes, added]
            options.original_attrs["indexes"] = options.indexes


def in_model(model: type[models.Model]) -> tables.Table:
    """What a payments' model says of its table; no database is asked."""
    options: Any = model._meta
    keys: Any = (field for field in options.concrete_fields if isinstance(field, models.ForeignKey))
    return tables.Table(
        name=options.label,
        keeps_payments=True,
        unique={frozenset(fields) for fields in _unique(options)},
        refers=[key.attname for key in keys if key.related_model is model and key.db_constraint],
    )


def in_database(
    alias: str, payments: type[models.Model], others: Sequence[type[models.Model]]
) -> Iterator[tables.Table]:
    """What a database has of the tables, introspected by a few queries.

    Args:
        alias: the database.
        payments: the model of payments.
        others: the models that belong to it.
    """
    connection = connections[alias]
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor, include_views=True))
        for model in (payments, *others):
            name = model._meta.db_table
            known = not set("\"`'.") & set(name)  # as where a schema is written into it
            exists = not known or connection.introspection.identifier_converter(name) in there
            if exists and known and model is payments:
                found = connection.introspection.get_constraints(cursor, name)
                yield _look_up(model, found, connection)
            else:
                yield tables.Table(name=name, exists=exists)


def _look_up(model: type[models.Model], found: dict[str, Any], connection: Any) -> tables.Table:
    options = model._meta
    names = {field.column: field.attname for field in options.concrete_fields}
    unique, refers = set(), []
    for constraint in found.values():
        columns = [names.get(column, str(column)) for column in constraint["columns"]]
        if constraint["unique"] or constraint["primary_key"]:
            unique.add(frozenset(columns))
        if constraint["foreign_key"] and constraint["foreign_key"][0] == options.db_table:
            refers += columns
    features = connection.features
    longest = connection.ops.max_name_length()  # PostgreSQL cuts what is longer
    checks = (c.name for c in options.constraints if isinstance(c, models.CheckConstraint))
    lacking = [name for name in checks if name[:longest] not in found]
    return tables.Table(
        name=options.db_table,
        keeps_payments=True,
        unique=unique,
        refers=refers if features.can_introspect_foreign_keys else None,
        lacking=lacking if features.can_introspect_check_constraints else (),
    )


def _holds(options: Any, constraint: Any) -> bool:
    """Whether a model has a constraint, whatever it is called."""
    if isinstance(constraint, models.UniqueConstraint):
        return set(constraint.fields) in [set(fields) for fields in _unique(options)]
    condition = getattr(constraint, _CONDITION)
    return any(getattr(own, _CONDITION, None) == condition for own in options.constraints)


def _unique(options: Any) -> Iterator[Sequence[str]]:
    """The fields that are unique together in all rows."""
    yield from options.unique_together
    for constraint in options.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            partial = constraint.condition or constraint.expressions or constraint.deferrable
            if not partial:
                yield constraint.fields
