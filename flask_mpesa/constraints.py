"""The constraints and indexes of the records' tables, which a model of one's own cannot lose.

They are put on a table once its class is mapped, whatever the class says in `__table_args__`; so
`create_all()` and Alembic's autogenerate see them as any others. And what a database really has of
them is looked up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, Connection, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy import Table as SqlTable
from sqlalchemy import inspect as look_at
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.orm import Mapper

from mpesa_integrations.core.payments import tables
from mpesa_integrations.core.payments.lifecycle import State

if TYPE_CHECKING:
    from .records import Records

_STATES = ", ".join(f"'{state.value}'" for state in State)
_CHECKS = {
    "amount": "{amount} > 0",
    "reversed": "{reversed_amount} >= 0 AND {reversed_amount} <= {amount}",
    "state": "{state} IN (" + _STATES + ")",
}
_UNIQUE = dict(zip(("reference", "key", "claimed"), tables.UNIQUE, strict=True))
_IS_OURS = "mpesa_check"


def add_constraints(mapper: Mapper[Any], indexes: dict[str, tuple[str, ...]]) -> None:
    """Put what is missing on a table of payments.

    Args:
        mapper: the payments' model, just mapped.
        indexes: the columns of each index by the end of its name.
    """
    table = _own_table(mapper)
    if table is None:
        return
    columns = {name: mapper.columns[name] for name in mapper.columns.keys()}  # noqa: SIM118
    for name, condition in _CHECKS.items():
        text = condition.format(**{key: column.name for key, column in columns.items()})
        if not any(str(check.sqltext) == text for check in _checks(table)):
            check = CheckConstraint(text, name=f"{table.name}_{name}", info={_IS_OURS: True})
            table.append_constraint(check)
    held = set(_unique(table))
    for name, named in _UNIQUE.items():
        meant = [columns[column] for column in named]
        if frozenset(column.name for column in meant) not in held:
            table.append_constraint(UniqueConstraint(*meant, name=f"{table.name}_{name}"))
    refers = columns[tables.REVERSES]
    if not _refers_to_own(refers):
        table.append_constraint(ForeignKeyConstraint([refers], [table.primary_key.columns[0]]))
    add_indexes(mapper, indexes)


def add_indexes(mapper: Mapper[Any], indexes: dict[str, tuple[str, ...]]) -> None:
    """Put the indexes that are missing on a table; arguments as for `add_constraints`."""
    table = _own_table(mapper)
    if table is None:
        return
    held = {tuple(column.name for column in index.columns) for index in table.indexes}
    for name, named in indexes.items():
        columns = [mapper.columns[column] for column in named]
        if tuple(column.name for column in columns) not in held:
            Index(f"{table.name}_{name}", *columns)


def in_models(records: Records) -> Iterator[tables.Table]:
    """What the tables of the models are to have; no database is asked."""
    for model in (records.transaction, records.callback_log, records.outbox):
        mapper = look_at(model)
        table = mapper.local_table
        pays = model is records.transaction
        yield tables.Table(
            name=str(table),
            keeps_payments=pays,
            unique=_named(mapper, _unique(table)) if pays else None,
            refers=_referring(mapper) if pays else None,
        )


def in_database(records: Records, connection: Connection) -> Iterator[tables.Table]:
    """What the database has of the tables, by a few questions for each."""
    inspector = look_at(connection)
    for model in (records.transaction, records.callback_log, records.outbox):
        mapper: Any = look_at(model)
        table = mapper.local_table
        exists = inspector.has_table(table.name, schema=table.schema)
        if exists and model is records.transaction:
            yield _look_up(inspector, mapper, table)
        else:
            yield tables.Table(name=str(table), exists=exists)


def _look_up(inspector: Inspector, mapper: Mapper[Any], table: SqlTable) -> tables.Table:
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
    return tables.Table(
        name=str(table),
        keeps_payments=True,
        unique=_named(mapper, unique),
        refers=[_names(mapper).get(key, key) for key in keys],
        lacking=_lacking_checks(inspector, table, where),
    )


def _lacking_checks(inspector: Inspector, table: SqlTable, where: Any) -> list[str]:
    try:
        there = {check["name"] for check in inspector.get_check_constraints(**where)}
    except NotImplementedError:
        return []
    ours = [str(check.name) for check in _checks(table) if _IS_OURS in check.info]
    return [name for name in ours if name not in there]


def _own_table(mapper: Mapper[Any]) -> SqlTable | None:
    """The table of a class, unless that is its parent's, or no table at all."""
    table = mapper.local_table
    return table if isinstance(table, SqlTable) and mapper.inherits is None else None


def _checks(table: SqlTable) -> Iterator[CheckConstraint]:
    return (found for found in table.constraints if isinstance(found, CheckConstraint))


def _unique(table: Any) -> Iterator[frozenset[str]]:
    """The sets of columns that are unique together, by their names in the database."""
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield frozenset(column.name for column in constraint.columns)
    for index in table.indexes:
        if index.unique and not any(key.endswith("_where") for key in index.dialect_kwargs):
            yield frozenset(column.name for column in index.columns)


def _is_whole(index: Any) -> bool:
    """Whether an index keeps all rows apart."""
    options = index.get("dialect_options", {})
    return bool(index["unique"]) and not any(key.endswith("_where") for key in options)


def _referring(mapper: Mapper[Any]) -> list[str]:
    table = mapper.local_table
    own = (column for column in table.columns if _refers_to_own(column))
    return [mapper.get_property_by_column(column).key for column in own]


def _refers_to_own(column: Any) -> bool:
    """Whether it is a foreign key to its own table."""
    named = (key.target_fullname.rpartition(".")[0] for key in column.foreign_keys)
    return column.table.fullname in named


def _named(mapper: Mapper[Any], found: Iterable[frozenset[str]]) -> set[frozenset[str]]:
    """Sets of a database's columns by the names that the records have for them."""
    names = _names(mapper)
    return {frozenset(names.get(name, name) for name in columns) for columns in found}


def _names(mapper: Mapper[Any]) -> dict[str, str]:
    return {column.name: key for key, column in mapper.columns.items()}
