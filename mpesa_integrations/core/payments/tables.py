"""Which constraints the records' tables must have, and what could happen without them.

How a model or a database is inspected is the framework's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import ConfigurationError

UNIQUE = {
    ("third_party_reference", "account"): "two payments could have one third-party reference",
    ("account", "idempotency_key"): "one idempotency key could charge a customer twice",
    ("account", "claimed_transaction_id"): "one transaction of the gateway could pay twice",
    ("account", "operation", "claimed_order_key"): "one order could be paid twice",
}
"""The columns that are unique together, and what could happen if they were not."""
REVERSES = "original_id"
"""The column that refers to the payment which a reversal gives back."""
NOT_MIGRATED = ("no such table", "no such column")
"""How SQLite begins an error that no time mends, though by its class the database may be away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What is there of a table, in a model or in a database; columns by the records' names.

    Attributes:
        name: as a person knows it.
        exists: whether there is one.
        keeps_payments: whether it is the payments' table; of the others nothing more is asked.
        unique: the sets of columns that are unique together; None where that cannot be told.
        refers: the columns that refer to this very table; None likewise.
        lacking: the names of check constraints that are not there.
    """

    name: str
    exists: bool = True
    keeps_payments: bool = False
    unique: Collection[frozenset[str]] | None = None
    refers: Collection[str] | None = None
    lacking: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What a table lacks.

    Attributes:
        text: the table, what is missing, and what that could lead to.
        serious: whether a payment could be made twice, or not be recorded: none is sent then.
    """

    text: str
    serious: bool


class HasTables(Protocol):
    """What can say which tables it has: a store."""

    remedy: str
    """What to do where a table lacks something: a sentence without its full stop."""

    def tables(self) -> Sequence[Table]:
        """What the database has of the records' tables now."""


def faults(table: Table) -> Iterator[Fault]:
    """Say what a table lacks, the worst first."""
    if not table.exists:
        yield Fault(text=f"the table {table.name} is not there", serious=True)
        return
    if not table.keeps_payments:
        return
    for columns, otherwise in UNIQUE.items():
        if table.unique is not None and frozenset(columns) not in table.unique:
            named = ", ".join(columns)
            text = f"{table.name} has no unique constraint on ({named}): {otherwise}"
            yield Fault(text=text, serious=True)
    if table.refers is not None and REVERSES not in table.refers:
        text = f"{table.name} has no foreign key from {REVERSES} to itself"
        yield Fault(text=f"{text}: a reversal could lose its payment", serious=False)
    for name in table.lacking:
        text = f"{table.name} has no check constraint {name}"
        yield Fault(text=f"{text}: the database would not notice a wrong amount", serious=False)


def faults_in_database(store: HasTables) -> list[Fault]:
    """Say what the tables of a store lack in its database, looking at it now."""
    return [fault for table in store.tables() for fault in faults(table)]


def not_migrated(error: BaseException) -> ConfigurationError:
    """Make our error for one that begins with `NOT_MIGRATED`."""
    text = f"The database of the payments is not migrated: {error}"
    return ConfigurationError(text, setting="records")


def require_tables(store: HasTables) -> None:
    """Refuse to pay with tables in which a payment could be made twice.

    Raises:
        ConfigurationError: naming the table and what it lacks. Nothing was sent.
    """
    serious = [fault.text for fault in faults_in_database(store) if fault.serious]
    if serious:
        raise ConfigurationError(
            f"Nothing was sent. In the database of the payments {'; '.join(serious)}. "
            f"{store.remedy}",
            setting="records",
        )
