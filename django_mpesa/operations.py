"""Operations for a shop's own migrations: payments follow where the model of its orders goes.

How an order's payments are found, by its model's name, is in `order_keys`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import router
from django.db.migrations.operations.base import Operation
from django.db.models import Value
from django.db.models.functions import Concat, Substr

from .swapping import DEFAULT_MODEL

__all__ = ["RenameOrders"]
_COLUMNS = ("claimed_order_key", "order_key")


class RenameOrders(Operation):
    """Have the payments of a model's objects found by the model's new name.

    It stands beside `RenameModel`, or beside what moves the model to another app, in a migration
    that depends on `("django_mpesa", "0004_orders_and_handlers")`. Without it, the objects count as
    never paid. Where payments have a database of their own, it does its work there.

    Args:
        old: the model's name so far, with its app's label, as `shop.Order`.
        new: its name from now on.

    Raises:
        ValueError: one of them is without the app's label.
    """

    reduces_to_sql = False
    reversible = True
    atomic = True

    def __init__(self, old: str, new: str) -> None:
        for label in (old, new):
            if not all(label.split(".")) or label.count(".") != 1:
                raise ValueError(f"{label!r} must be app_label.ModelName")
        self.old = old
        self.new = new

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change no model: only rows."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Give the payments the new name.

        Raises:
            LookupError: the migration does not depend on the payments' own.
        """
        _rename(schema_editor.connection.alias, from_state, self.old, self.new)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Give them the old one again; raises as `database_forwards`."""
        _rename(schema_editor.connection.alias, from_state, self.new, self.old)

    def describe(self) -> str:
        """Say it to who runs `migrate`."""
        return f"Have payments of {self.old} found as {self.new}'s"


def _rename(alias: str, state: Any, old: str, new: str) -> None:
    model = _payments(state)
    if not router.allow_migrate_model(alias, model):
        return
    before, after = f"{old.lower()}:", f"{new.lower()}:"
    rows = model._base_manager.using(alias)
    for column in _COLUMNS:
        # Compared twice: SQLite's LIKE takes capitals for the same, and no index has a part.
        found = rows.annotate(kind=Substr(column, 1, len(before))).filter(
            **{"kind": before, f"{column}__startswith": before}
        )
        found.update(**{column: Concat(Value(after), Substr(column, len(before) + 1))})


def _payments(state: Any) -> Any:
    """The model of payments, as the migrations see it."""
    state.clear_delayed_apps_cache()
    try:
        return state.apps.get_model(getattr(settings, "MPESA_TRANSACTION_MODEL", DEFAULT_MODEL))
    except LookupError:
        raise LookupError(
            "The migration sees no model of payments: add to its dependencies "
            '("django_mpesa", "0004_orders_and_handlers"), or the migration that makes your own'
        ) from None
