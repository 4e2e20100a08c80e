"""Many payments at once in a PostgreSQL table of either framework."""

from __future__ import annotations

from collections.abc import Callable

_TABLES = {
    "django": ("django_mpesa_transaction", ", object_id", ", ''"),
    "flask": ("payment", "", ""),
}
_INSERT = """
    INSERT INTO {table} (account, operation, state, amount, reversed_amount, currency, msisdn,
        receiver_shortcode, reference, third_party_reference, conversation_id, transaction_id,
        response_code, response_description, conflict, created_at, updated_at, checks, metadata,
        reversal_pending, order_key {columns})
    SELECT 'default', 'c2b', '{state}', 150, 0, 'MZN',
        '25884' || lpad(mod(n, 9999999)::text, 7, '0'), '', 'ORDER ' || n, 'R' || n, 'AG_' || n,
        {transaction_id}, '', '', '', moment, moment + interval '5 seconds', 0, '{{}}', 0, ''
        {values}
    FROM generate_series({first}, {last}) AS n,
        LATERAL (SELECT now() - interval '{days_ago} days' - n * interval '10 seconds') AS t(moment)
"""


def insert_payments(
    execute: Callable[[str], object],
    framework: str,
    last: int,
    *,
    first: int = 1,
    paid: bool = False,
    days_ago: int = 0,
) -> None:
    """Insert payments with the numbers from `first` to `last`, ten seconds apart, the newest first.

    Args:
        execute: runs a statement.
        framework: whose table, `django` or `flask`.
        last: the number of the last.
        first: the number of the first.
        paid: completed, rather than pending.
        days_ago: how long ago the numbers began.
    """
    table, columns, values = _TABLES[framework]
    statement = _INSERT.format(
        table=table,
        columns=columns,
        values=values,
        first=first,
        last=last,
        days_ago=days_ago,
        state="completed" if paid else "pending",
        transaction_id="'T' || n" if paid else "''",
    )
    execute(statement)
    execute(f"ANALYZE {table}")


def make_schema(execute: Callable[[str], object], name: str) -> None:
    """A schema with empty tables of the Django app's, like those of `public`, which it hides."""
    execute(f"CREATE SCHEMA {name}")
    for table in ("transaction", "callbacklog", "outboxentry"):
        model = f"django_mpesa_{table}"
        execute(f"CREATE TABLE {name}.{model} (LIKE public.{model} INCLUDING ALL)")
    use_schema(execute, name)


def use_schema(execute: Callable[[str], object], name: str) -> None:
    """Have the connection use a schema's tables from now on."""
    execute(f"SET search_path TO {name}, public")
