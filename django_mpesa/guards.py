"""Refuses SQL that would write the library's columns, at the columns themselves.

No manager, QuerySet or `save()` of a shop's can lose these guards. Which columns they are, core
says; what a record's own `save()` leaves out is in `protection`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import django
from django.db import models
from django.db.models.signals import pre_delete
from django.db.models.sql.compiler import SQLCompiler, SQLInsertCompiler, SQLUpdateCompiler

from mpesa_integrations.core.payments.ownership import (
    OWNED,
    refuse_deleting,
    refuse_making,
    refuse_writing,
)

_library_writes: ContextVar[bool] = ContextVar("mpesa_library_writes", default=False)


@contextmanager
def library_writes() -> Iterator[None]:
    """Let the library write its columns; outside of this, such SQL is refused."""
    token = _library_writes.set(True)
    try:
        yield
    finally:
        _library_writes.reset(token)


def guard_model(model: type[models.Model]) -> None:
    """Guard a model's columns of the library's, and its rows from being deleted."""
    for field in model._meta.local_concrete_fields:
        if field.name in OWNED:
            _guard(field)
    pre_delete.connect(_refuse_deletion, sender=model, dispatch_uid="django_mpesa.protection")


def _refuse(field: models.Field[Any, Any], compiler: SQLCompiler) -> None:
    """Refuse the SQL that would write a column of the library's."""
    if _library_writes.get():
        return
    if isinstance(compiler, SQLInsertCompiler):
        # A history table of a shop's has copies of the columns, and of their guards.
        if compiler.query.get_meta().concrete_model is not field.model:
            return
        raise refuse_making()
    if isinstance(compiler, SQLUpdateCompiler):
        query: Any = compiler.query
        if any(written == field for written, *_ in query.values):
            raise refuse_writing([field.name])


def _guard(field: models.Field[Any, Any]) -> None:
    """How a column is written into an INSERT or UPDATE: Django asks the field for each one."""
    name = "get_placeholder_sql" if django.VERSION >= (6, 1) else "get_placeholder"
    of_class = getattr(field, name, None)

    def placeholder(value: Any, compiler: SQLCompiler, connection: Any) -> str:
        _refuse(field, compiler)
        return of_class(value, compiler, connection) if of_class else "%s"

    def placeholder_sql(value: Any, compiler: SQLCompiler, connection: Any) -> Any:
        _refuse(field, compiler)
        if of_class:
            return of_class(value, compiler, connection)
        return compiler.compile(value) if hasattr(value, "as_sql") else ("%s", (value,))

    setattr(field, name, placeholder_sql if django.VERSION >= (6, 1) else placeholder)


def _refuse_deletion(sender: Any, **kwargs: Any) -> None:
    raise refuse_deleting()
