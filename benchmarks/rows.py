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
        response_code, response_description, conflict, created_at, updated_at, checks, metadata
        {columns})
    SELECT 'default', 'c2b', '{state}', 150, 0, 'MZN', '25884' || lpad(mod(n, 9999999)::text, 7, '0'),
        '', 'INVOICE 7', 'R' || n, 'AG_' || n, {transaction_id}, '', '', '',
        now() - n * interval '1 second', now() - n * interval '1 second' + interval '5 seconds',
        0, '{{}}' {values}
    FROM generate_series({first}, {last}) AS n
"""


def insert_payments(
    execute: Callable[[str], object],
    framework: str,
    last: int,
    *,
    first: int = 1,
    paid: bool = False,
) -> None:
    """Insert payments with the numbers from `first` to `last`, a second apart, the newest first.

    Args:
        execute: runs a statement.
        framework: whose table, `django` or `flask`.
        last: the number of the last.
        first: the number of the first.
        paid: completed, rather than pending.
    """
    table, columns, values = _TABLES[framework]
    statement = _INSERT.format(
        table=table,
        columns=columns,
        values=values,
        first=first,
        last=last,
        state="completed" if paid else "pending",
        transaction_id="'T' || n" if paid else "''",
    )
    execute(statement)
    execute(f"ANALYZE {table}")
