"""One account's database: transactions and connections, and rows handed out to one worker each.

What is in which table, the other modules of this package know.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any, TypeVar

from django.db import DatabaseError, connections, router, transaction
from django.db.models import F, Model, QuerySet

from mpesa_integrations.core.errors import CalledInEventLoop
from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.tables import Table
from mpesa_integrations.core.payments.wakeups import CHANNEL, Listening

from ..connections import disconnect, listen
from ..constraints import in_database
from ..isolation import bound_lock_waits, is_on_its_own, may_bound_lock_waits, run_isolated
from ..models import AbstractTransaction, CallbackLog, OutboxEntry
from ..protection import LibraryRecords
from ..swapping import get_transaction_model
from ..threads import run_in_thread
from ..times import aware

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Model)


class AccountDatabase:
    """The base of what the store does with each of its tables."""

    remedy = (
        "Run `manage.py makemigrations` and `manage.py migrate` for that database; "
        "`manage.py mpesa_check` tells whether that was all"
    )

    def __init__(self, account: str) -> None:
        self._account = account
        self._model = get_transaction_model()
        self.alias: str = router.db_for_write(self._model)
        # Always the database that is written to: a replica may not know yet what was just done.
        self._records = LibraryRecords[AbstractTransaction](self._model, using=self.alias)

    def isolated(self, call: Callable[[], _T], *, writes: bool = True) -> _T:
        """Run a call outside the caller's transaction; errors as `run_isolated`'s."""
        return run_isolated(self.alias, call, writes=writes)

    async def in_thread(self, call: Callable[[], _T]) -> _T:
        """Run it as `run_in_thread` does."""
        return await run_in_thread(call)

    def called_in_event_loop(self, problem: str) -> None:
        """Refuse it where Django's own ORM does, before that."""
        if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            raise CalledInEventLoop(f"Nothing was sent. {problem}")

    def tables(self) -> list[Table]:
        """Introspect the database."""
        return list(in_database(self.alias, self._model, (CallbackLog, OutboxEntry)))

    def disconnect(self) -> None:
        """Give the caller's connection back where nothing of the caller's is in it."""
        disconnect(self.alias)

    def listen(self) -> Listening | None:
        """Open a connection that listens, where the database is PostgreSQL."""
        return listen(self.alias)

    def aware(self, time: datetime) -> datetime:
        """As the project's USE_TZ and TIME_ZONE say."""
        return aware(time)

    @contextmanager
    def _atomic(self, *, bounded: bool = False) -> Iterator[None]:
        with transaction.atomic(using=self.alias):
            bound_lock_waits(self.alias, always=bounded)
            yield

    def _together(self, more: object, *, bounded: bool = False) -> AbstractContextManager[Any]:
        """One transaction for a statement and what more there is; alone, it commits itself.

        Args:
            more: whether there is more.
            bounded: whether a locked row is waited for only so long, where the server has no bound.
        """
        bounded = bounded and may_bound_lock_waits(self.alias)
        if more or bounded or is_on_its_own() or not connections[self.alias].get_autocommit():
            return self._atomic(bounded=bounded)
        return nullcontext()

    @property
    def _can_wake_workers(self) -> bool:
        """Whether the database tells them; else they look by themselves, now and then."""
        return connections[self.alias].vendor == "postgresql"

    def _wake_workers(self) -> None:
        """Have them look as soon as this transaction is committed."""
        with connections[self.alias].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, self._account])

    @property
    def _skips_locked(self) -> bool:
        """Whether the database can pass over rows that another has locked."""
        return bool(connections[self.alias].features.has_select_for_update_skip_locked)

    def _reading(self) -> AbstractContextManager[Any]:
        """A SELECT waits no longer than a write: the caller may have locked the whole table."""
        return self._atomic() if is_on_its_own() else nullcontext()

    def _claim(
        self, due: QuerySet[_M], column: str, until: datetime, limit: int, *, counted: bool = False
    ) -> list[_M]:
        """Claim due rows for this worker, without waiting for one that another is claiming.

        Only what is needed is read of them before that: a row that cannot be read would be in
        every worker's way for ever.

        Args:
            due: the rows, in the order in which they are claimed.
            column: the column that says when they are due.
            until: when they are due again, so that a worker that dies keeps none for ever.
            limit: how many at the most.
            counted: whether `attempts` goes up by one.
        """
        due_at = due.values_list("pk", column)
        if self._skips_locked:
            with self._atomic():
                found = list(due_at.select_for_update(skip_locked=True)[:limit])
                keys = [key for key, _ in found]
                if keys:
                    self._defer(due.model, column, until, counted, pk__in=keys)
        else:
            keys = [
                key
                for key, at in list(due_at[:limit])
                if self._defer(due.model, column, until, counted, **{"pk": key, column: at})
            ]
        return self._readable(self._rows(due.model), keys)

    def _defer(
        self, model: type[_M], column: str, until: datetime, counted: bool, **which: Any
    ) -> bool:
        """Write when rows are due again; whether there were any."""
        values: dict[str, Any] = {column: until}
        if counted:
            values["attempts"] = F("attempts") + 1
        return bool(self._rows(model).filter(**which).update(**values))

    def _rows(self, model: type[_M]) -> QuerySet[_M]:
        """A table's rows; payments by none of the shop's managers, which may leave some out."""
        found: Any = self._records if model is self._model else model._base_manager
        rows: QuerySet[_M] = found.using(self.alias)
        return rows

    def _readable(self, rows: QuerySet[_M], keys: Sequence[Any]) -> list[_M]:
        """Read rows in this order; one that cannot be read is logged, and keeps no other back."""
        try:
            found = rows.in_bulk(keys)
        except DatabaseError:
            raise  # it is not the row's fault
        except Exception:  # noqa: BLE001 - whatever a field's type makes of what is in a row
            found = {}
            for key in keys:
                try:
                    found |= rows.in_bulk([key])
                except Exception as error:  # noqa: BLE001
                    log_failure(
                        "store.row_not_read", error, table=rows.model._meta.db_table, pk=key
                    )
        return [found[key] for key in dict.fromkeys(keys) if key in found]
