"""The records' tables as the models declare them, and as a database has them.

Both are given in core's terms, and core says what is missing. What is to be there is put on the
models' tables in `constraints`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection
from sqlalchemy import Table as SqlTable
from sqlalchemy import inspect as look_at
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.orm import Mapper

from ..core.payments.tables import Table
from .constraints import own_checks, refers_to_own_table, unique_columns
from .models import Models


def declared_tables(models: Models) -> Iterator[Table]:
    """The tables as the models declare them; no database is asked."""
    for model in models.all():
        mapper: Any = look_at(model)
        table = mapper.local_table
        keeps_payments = model is models.transaction
        yield Table(
            name=str(table),
            keeps_payments=keeps_payments,
            unique=_by_attribute(mapper, unique_columns(table)) if keeps_payments else None,
            refers=_referring(mapper) if keeps_payments else None,
        )


def existing_tables(models: Models, connection: Connection) -> Iterator[Table]:
    """The tables as the database has them, by a few queries for each."""
    inspector = look_at(connection)
    for model in models.all():
        mapper: Any = look_at(model)
        table = mapper.local_table
        exists = inspector.has_table(table.name, schema=table.schema)
        if exists and model is models.transaction:
            yield _existing_payments(inspector, mapper, table)
        else:
            yield Table(name=str(table), exists=exists)


def _existing_payments(inspector: Inspector, mapper: Mapper[Any], table: SqlTable) -> Table:
    where: Any = {"table_name": table.name, "schema": table.schema}
    found: list[Any] = [
        *(unique["column_names"] for unique in inspector.get_unique_constraints(**where)),
        *(index["column_names"] for index in inspector.get_indexes(**where) if _is_whole(index)),
        inspector.get_pk_constraint(**where)["constrained_columns"],
    ]
    unique = (frozenset(names) for names in found if None not in names)  # None: an expression
    keys = [
        name
        for key in inspector.get_foreign_keys(**where)
        if key["referred_table"] == table.name
        for name in key["constrained_columns"]
    ]
    return Table(
        name=str(table),
        keeps_payments=True,
        unique=_by_attribute(mapper, unique),
        refers=[_attributes(mapper).get(key, key) for key in keys],
        lacking=_lacking_checks(inspector, table, where),
    )


def _lacking_checks(inspector: Inspector, table: SqlTable, where: Any) -> list[str]:
    try:
        there = {check["name"] for check in inspector.get_check_constraints(**where)}
    except NotImplementedError:
        return []
    return [name for name in own_checks(table) if name not in there]


def _is_whole(index: Any) -> bool:
    """Whether an index keeps all rows apart."""
    options = index.get("dialect_options", {})
    return bool(index["unique"]) and not any(key.endswith("_where") for key in options)


def _referring(mapper: Mapper[Any]) -> list[str]:
    table = mapper.local_table
    own = (column for column in table.columns if refers_to_own_table(column))
    return [mapper.get_property_by_column(column).key for column in own]


def _by_attribute(mapper: Mapper[Any], found: Iterable[frozenset[str]]) -> set[frozenset[str]]:
    """Sets of a database's columns by the names of the model's attributes."""
    names = _attributes(mapper)
    return {frozenset(names.get(name, name) for name in columns) for columns in found}


def _attributes(mapper: Mapper[Any]) -> dict[str, str]:
    return {column.name: key for key, column in mapper.columns.items()}
