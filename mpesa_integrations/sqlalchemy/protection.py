"""Keeps the library's columns from being written by anybody else; core lists them in `ownership`.

Three layers. Setting one of them on a payment that is on record raises. What a stale copy brings
along, as in `session.merge()`, is left out of the flush. And an INSERT, UPDATE or DELETE that would
still write one is refused before it is executed, by any session and engine, with the ORM or
without. SQL that is written as text is not parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Delete, Engine, Insert, Join, Table, Update, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, attributes, object_session

from ..core.payments.ownership import (
    OWNED,
    refuse_deleting,
    refuse_making,
    refuse_writing,
)

_LIBRARY = "mpesa_library_writes"
THE_LIBRARY: Mapping[str, Any] = {_LIBRARY: True}
"""The execution options of an engine through which the library writes, and nobody else."""
_models: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""The models of payments by their tables."""
_MISSING = object()


class ProtectedColumns:
    """A model some of whose columns only the library writes."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            ProtectedRecord: it is a column of the library's, of a payment that is on record, and
                the value is another.
        """
        if name in OWNED and attributes.instance_state(self).key is not None:
            if vars(self).get(name, _MISSING) == value or _is_on_record(self, name, value):
                return
            raise refuse_writing([name])
        super().__setattr__(name, value)


def _is_on_record(record: Any, name: str, value: Any) -> bool:
    """Whether a column that is not loaded has a value, as a form sets them after a commit."""
    if name in vars(record):
        return False
    try:
        return bool(getattr(record, name) == value)
    except SQLAlchemyError:  # it is in no session, or gone
        return False


@event.listens_for(ProtectedColumns, "instrument_class", propagate=True)
def _mark(mapper: Mapper[Any], model: type[Any]) -> None:
    table = mapper.local_table
    if isinstance(table, Table):
        _models.setdefault(table, model)


@event.listens_for(ProtectedColumns, "before_update", propagate=True)
def _leave_out(mapper: Mapper[Any], connection: Any, record: Any) -> None:
    """Leave the library's columns out of a flush; they are read again on the next access."""
    session = object_session(record)
    if session is None or _LIBRARY in connection.get_execution_options():
        return
    changed = [
        attribute.key
        for attribute in mapper.column_attrs
        if attribute.key in OWNED and attributes.get_history(record, attribute.key).has_changes()
    ]
    if changed:
        session.expire(record, changed)


@event.listens_for(Engine, "before_execute")
def _refuse(
    connection: Any, statement: Any, multiparams: Any, params: Any, options: Mapping[str, Any]
) -> None:
    """Refuse a statement that would write the library's columns."""
    if not isinstance(statement, (Insert, Update, Delete)) or _LIBRARY in options:
        return
    tables = [table for table in _tables(statement.table) if table in _models]
    if isinstance(statement, Update):
        named = set(_named(statement, tables, multiparams or [params]))
        if named:
            raise refuse_writing(named)
    elif tables:
        raise refuse_making() if isinstance(statement, Insert) else refuse_deleting()


def _tables(written: Any) -> Iterator[Any]:
    if isinstance(written, Join):
        yield from _tables(written.left)
        yield from _tables(written.right)
    else:
        yield written


def _named(
    statement: Update, tables: Sequence[Any], parameters: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """The library's columns that an UPDATE sets, in its own values or by its parameters."""
    ordered: Any = getattr(statement, "_ordered_values", None)  # SQLAlchemy 2.0
    for key in (*(statement._values or ()), *(name for name, _ in ordered or ())):
        of = [key.table] if hasattr(key, "table") else tables
        yield from _owned(getattr(key, "key", key), of)
    for values in parameters:
        for key in values:
            yield from _owned(key, tables)


def _owned(name: Any, tables: Sequence[Any]) -> Iterator[str]:
    for table in tables:
        model = _models.get(table)
        if model is not None and name in _names(model):
            yield _names(model)[name]


@cache
def _names(model: Any) -> dict[str, str]:
    """The library's columns of a model, and its key, by every name that a statement may use."""
    mapper = inspect(model)
    found = {}
    for attribute in mapper.column_attrs:
        columns = [column for column in attribute.columns if hasattr(column, "primary_key")]
        if attribute.key in OWNED or any(column.primary_key for column in columns):
            for name in (attribute.key, *(c.key for c in columns), *(c.name for c in columns)):
                found[name] = attribute.key
    return found
