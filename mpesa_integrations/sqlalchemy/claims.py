"""Rows that are claimed: taken for one worker by putting off when they are due.

Which rows are due is in `payment_rows`, `callback_rows` and `outbox_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ..core.failures import log_failure
from .sessions import read, rows_changed

_SKIPS_LOCKED = {"mysql": (8, 0, 1), "mariadb": (10, 6)}
"""From which version on a database can pass over rows that another has locked."""


def claim(
    session: Session,
    due: Select[Any],
    column: Any,
    until: datetime,
    limit: int,
    *,
    by: Any = None,
    counted: bool = False,
) -> list[Any]:
    """Claim rows; nobody waits for a row that another is claiming.

    Only what is needed is read of them: a row that cannot be read would be in everybody's way for
    ever. So the rest is read once this is committed, with `read_claimed`.

    Args:
        session: a transaction.
        due: selects the rows that are due.
        column: the model's attribute that says when a row is due.
        until: when they are due again; nobody else is given them before.
        limit: how many at the most.
        by: what they are taken in the order of; None means `column`.
        counted: whether the row counts how often it was claimed, in `attempts`.

    Returns:
        The primary keys, in that order.
    """
    model = column.class_
    due_at: Select[Any] = due.with_only_columns(model.id, column)
    due_at = due_at.order_by(column if by is None else by, model.id).limit(limit)
    values: dict[str, Any] = {column.key: until}
    if counted:
        values["attempts"] = model.attempts + 1
    put_off = update(model).values(**values)
    if skips_locked(session, model):
        keys = list(session.scalars(due_at.with_for_update(skip_locked=True)))
        if keys:
            rows_changed(session, put_off.where(model.id.in_(keys)))
        return keys
    return [
        key
        for key, at in session.execute(due_at).all()
        if rows_changed(session, put_off.where(model.id == key, column == at))
    ]


def read_claimed(session: Session, model: Any, keys: Sequence[Any]) -> list[Any]:
    """Read rows in the order of their keys; one that cannot be read is logged and left out."""
    try:
        found = _by_key(session, model, keys)
    except DBAPIError:
        raise  # it is not the row's fault
    except Exception:  # noqa: BLE001 - whatever a column's type makes of what is in a row
        found = {}
        for key in keys:
            # Of a row whose loading failed, the session would give the half of it that it has.
            session.expunge_all()
            try:
                found |= _by_key(session, model, [key])
            except Exception as error:  # noqa: BLE001
                log_failure("store.row_not_read", error, table=model.__tablename__, pk=key)
    return [found[key] for key in keys if key in found]


def _by_key(session: Session, model: Any, keys: Sequence[Any]) -> dict[Any, Any]:
    if not keys:
        return {}
    rows = read(session, select(model).where(model.id.in_(keys)))
    return {row.id: row for row in rows}


def skips_locked(session: Session, model: Any) -> bool:
    """Whether the database can pass over rows that another has locked.

    Args:
        session: which may have a database for each model.
        model: the rows'.
    """
    dialect: Any = session.get_bind(model).dialect
    if dialect.name not in _SKIPS_LOCKED:
        return bool(dialect.name == "postgresql")
    session.connection(bind_arguments={"mapper": model})  # before, no version is known
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    version = getattr(dialect, "_mariadb_normalized_version_info", None)
    return bool((version or dialect.server_version_info) >= _SKIPS_LOCKED[name])
