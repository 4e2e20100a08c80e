"""The constraints and indexes of the records' tables, which a model of one's own cannot lose.

They are put on a table once its class is mapped, whatever the class says in `__table_args__`; so
`create_all()` and Alembic's autogenerate see them as any others. Whether a table has them is
compared in `inspection`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy import Table as SqlTable
from sqlalchemy.orm import Mapper

from ..core.payments import tables
from ..core.payments.lifecycle import State

_STATES = ", ".join(f"'{state.value}'" for state in State)
_CHECKS = {
    "amount": "{amount} > 0",
    "reversed": "{reversed_amount} >= 0 AND {reversed_amount} <= {amount}",
    "state": "{state} IN (" + _STATES + ")",
}
_UNIQUE = dict(zip(("reference", "key", "claimed", "order"), tables.UNIQUE, strict=True))
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
    held = set(unique_columns(table))
    for name, named in _UNIQUE.items():
        meant = [columns[column] for column in named]
        if frozenset(column.name for column in meant) not in held:
            table.append_constraint(UniqueConstraint(*meant, name=f"{table.name}_{name}"))
    refers = columns[tables.REVERSES]
    if not refers_to_own_table(refers):
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


def own_checks(table: SqlTable) -> list[str]:
    """The names of the check constraints that `add_constraints` put on a table."""
    return [str(check.name) for check in _checks(table) if _IS_OURS in check.info]


def unique_columns(table: Any) -> Iterator[frozenset[str]]:
    """The sets of columns that are unique together, by their names in the database."""
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield frozenset(column.name for column in constraint.columns)
    for index in table.indexes:
        if index.unique and not any(key.endswith("_where") for key in index.dialect_kwargs):
            yield frozenset(column.name for column in index.columns)


def refers_to_own_table(column: Any) -> bool:
    """Whether it is a foreign key to its own table."""
    named = (key.target_fullname.rpartition(".")[0] for key in column.foreign_keys)
    return column.table.fullname in named


def _own_table(mapper: Mapper[Any]) -> SqlTable | None:
    """The table of a class, unless that is its parent's, or no table at all."""
    table = mapper.local_table
    return table if isinstance(table, SqlTable) and mapper.inherits is None else None


def _checks(table: SqlTable) -> Iterator[CheckConstraint]:
    return (found for found in table.constraints if isinstance(found, CheckConstraint))
