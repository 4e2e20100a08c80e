"""`reconcile` of 1 000 due payments in tables of 1 k to 1 M, on PostgreSQL with Django's records.

Time of a payment, and the most memory that Python took during the run. The gateway answers at once.
ratio = in the large table / in the smallest.
"""

from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from django.utils import timezone

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.settings.account import AccountSettings

from . import django_site
from .gateway import gateway
from .measure import Result, milliseconds
from .rows import insert_payments, make_schema, use_schema

TARGET = 1.3
_DUE = 1_000
_TABLES = (1_000, 10_000, 100_000, 1_000_000)


def run(*, smoke: bool) -> Iterator[Result]:
    """Reconcile each table in turn, round by round."""
    due, sizes, rounds = (20, (20, 200), 1) if smoke else (_DUE, _TABLES, 5)
    with gateway() as config, django_site.site("postgresql"):
        from django.db import connections

        from django_mpesa.models import Transaction
        from django_mpesa.notifier import SignalNotifier
        from django_mpesa.protection import LibraryRecords
        from django_mpesa.store import DjangoStore

        store, notifier = DjangoStore("default"), SignalNotifier(Transaction)
        payments: Any = Payments("default", AccountSettings(config=config), store, notifier)
        times: dict[int, list[float]] = {size: [] for size in sizes}
        peaks: dict[int, int] = {}
        with connections["postgresql"].cursor() as cursor:

            def make_due(size: int) -> None:
                use_schema(cursor.execute, f"rows_{size}")
                pending = LibraryRecords(Transaction).using("postgresql").filter(state="pending")
                pending.update(next_check_at=timezone.now())

            def reconcile() -> None:
                assert payments.reconcile().asked == due

            for size in sizes:
                make_schema(cursor.execute, f"rows_{size}")
                insert_payments(cursor.execute, "django", due)
                insert_payments(cursor.execute, "django", size, first=due + 1, paid=True)
                make_due(size)
                peaks[size] = _peak_kib(reconcile)
            for _ in range(rounds):
                for size in sizes:
                    make_due(size)
                    times[size].append(milliseconds(reconcile) / due)
        payments.client.close()
    for size in sizes:
        yield Result(
            name=f"reconcile_scaling.{size}",
            a_ms=statistics.median(times[size]),
            b_ms=statistics.median(times[sizes[0]]),
            target=TARGET,
            more={"rows": size, "peak_kib": peaks[size]},
        )


def _peak_kib(work: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        work()
        return round(tracemalloc.get_traced_memory()[1] / 1024)
    finally:
        tracemalloc.stop()
