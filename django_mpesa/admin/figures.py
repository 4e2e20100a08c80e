"""The figures of the report: how many payments there were in a period, and how they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import connections
from django.db.models import (
    Aggregate,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Q,
    QuerySet,
    Sum,
    Window,
)
from django.db.models.functions import RowNumber, TruncDate
from django.utils.formats import number_format
from django.utils.translation import gettext as _now_

from mpesa_integrations.core.payments.lifecycle import FINAL_STATES, MONEY_MOVED_STATES

from ..models import AbstractTransaction, Operation, State
from ..times import midnight

_MOVED = [state.value for state in MONEY_MOVED_STATES]
_FINAL = [state.value for state in FINAL_STATES]
# A later reversal changes `updated_at`, so it says when a payment ended only in these states.
_TIMED = (State.COMPLETED, State.FAILED, State.CANCELLED)
_By = tuple[str, ...]


@dataclass(kw_only=True)
class Row:
    """How the payments of a group did.

    Attributes:
        day: of the group; None for the whole period.
        operation: its label; empty for all of them together.
        account: likewise.
        total: how many payments were started.
        succeeded: in how many the money moved.
        decided: how many have their final result.
        amount: the money that moved, in meticais.
        given_back: what of that was given back.
        median: from created to the final result; None where no payment says.
    """

    day: date | None = None
    operation: str = ""
    account: str = ""
    total: int = 0
    succeeded: int = 0
    decided: int = 0
    amount: Decimal = Decimal(0)
    given_back: Decimal = Decimal(0)
    median: timedelta | None = None

    @property
    def undecided(self) -> int:
        """How many still wait for their result."""
        return self.total - self.decided

    @property
    def success_rate(self) -> float | None:
        """Per cent of the decided payments; None if there is none."""
        return 100 * self.succeeded / self.decided if self.decided else None

    @property
    def median_text(self) -> str:
        """The median for people."""
        return "–" if self.median is None else duration_text(self.median)

    def add(self, counted: dict[str, Any]) -> None:
        """Add a counted group to this one."""
        self.total += counted["total"]
        self.succeeded += counted["succeeded"]
        self.decided += counted["decided"]
        self.amount += counted["moved"] or 0
        self.given_back += counted["given_back"] or 0


@dataclass(frozen=True)
class Report:
    """How payments did over a period.

    Attributes:
        overall: all of them.
        totals: by operation and account.
        days: by day, operation and account, the newest day first.
        chart: what the chart shows, ready for JSON.
    """

    overall: Row
    totals: list[Row]
    days: list[Row]
    chart: dict[str, Any]


def make_report(
    model: type[AbstractTransaction], start: date, end: date, account: str = ""
) -> Report:
    """Make a report, by four queries whatever the number of payments.

    One counts by day, operation and account, of which the totals are added up; three find the
    median time, by the same, by operation and account, and of all. The database does each, and
    gives back no more than a row or two per group.

    Args:
        model: the model of payments.
        start: the first day, in the current time zone.
        end: the last day.
        account: an account's name; empty for all.
    """
    payments = _started_between(model, start, end)
    if account:
        payments = payments.filter(account=account)
    group, daily = ("operation", "account"), ("day", "operation", "account")
    counted = list(_count(payments, daily))
    overall = _rows(counted, (), _medians(payments, ()))
    return Report(
        overall=overall[0] if overall else Row(),
        totals=_rows(counted, group, _medians(payments, group)),
        days=_rows(counted, daily, _medians(payments, daily)),
        chart=_chart(counted, start, end),
    )


def duration_text(duration: timedelta) -> str:
    """Write a duration as `0.8 s`, `45 s`, `3 min 20 s` or `2 h 5 min`."""
    seconds = duration.total_seconds()
    if seconds < 10:
        return _now_("%s s") % number_format(round(seconds, 1), 1)
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return _now_("%d s") % rest
    hours, left = divmod(minutes, 60)
    if not hours:
        return _now_("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": rest}
    return _now_("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": left}


def _started_between(
    model: type[AbstractTransaction], start: date, end: date
) -> QuerySet[AbstractTransaction]:
    since, until = midnight(start), midnight(end + timedelta(days=1))
    payments: QuerySet[AbstractTransaction] = model._default_manager.order_by().filter(
        created_at__gte=since, created_at__lt=until
    )
    dated: QuerySet[AbstractTransaction] = payments.annotate(day=TruncDate("created_at"))
    return dated


def _count(payments: QuerySet[AbstractTransaction], by: _By) -> Iterable[dict[str, Any]]:
    moved = Q(state__in=_MOVED)
    counted: Iterable[dict[str, Any]] = payments.values(*by).annotate(
        total=Count("pk"),
        succeeded=Count("pk", filter=moved),
        decided=Count("pk", filter=Q(state__in=_FINAL)),
        moved=Sum("amount", filter=moved),
        given_back=Sum("reversed_amount"),
    )
    return counted


class _PercentileCont(Aggregate):
    """PostgreSQL's median, over all values of a group."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


def _medians(payments: QuerySet[AbstractTransaction], by: _By) -> dict[tuple[Any, ...], timedelta]:
    """The median time from created to the final result, by group."""
    timed = payments.filter(state__in=_TIMED, conflict="").annotate(
        took=ExpressionWrapper(F("updated_at") - F("created_at"), output_field=DurationField())
    )
    if connections[payments.db].vendor != "postgresql":
        return _medians_by_row_number(timed, by)
    if not by:
        median = timed.aggregate(median=_PercentileCont("took"))["median"]
        return {(): median} if median is not None else {}
    found = timed.values(*by).annotate(median=_PercentileCont("took"))
    return {_key(row, by): row["median"] for row in found}


def _medians_by_row_number(timed: QuerySet[Any], by: _By) -> dict[tuple[Any, ...], timedelta]:
    """The one or two rows in the middle of each group, numbered by the database."""
    partition = [F(name) for name in by] or None
    middle = timed.annotate(
        number=Window(RowNumber(), partition_by=partition, order_by="took"),
        size=Window(Count("pk"), partition_by=partition),
    ).filter(number__gte=F("size") / 2.0, number__lte=F("size") / 2.0 + 1)
    groups: dict[tuple[Any, ...], list[timedelta]] = {}
    for row in middle.values(*by, "took"):
        groups.setdefault(_key(row, by), []).append(row["took"])
    return {key: sum(took, timedelta()) / len(took) for key, took in groups.items()}


def _rows(
    counted: list[dict[str, Any]], by: _By, medians: dict[tuple[Any, ...], timedelta]
) -> list[Row]:
    rows: dict[tuple[Any, ...], Row] = {}
    for group in counted:
        key = _key(group, by)
        rows.setdefault(key, Row(**dict(zip(by, key, strict=True)))).add(group)
    for key, row in rows.items():
        row.median = medians.get(key)
        row.operation = _label(row.operation)
    order: Callable[[Row], Any] = lambda row: (  # noqa: E731
        -row.day.toordinal() if row.day else 0, row.operation, row.account
    )  # fmt: skip
    return sorted(rows.values(), key=order)


def _key(row: dict[str, Any], by: _By) -> tuple[Any, ...]:
    return tuple(row[name] for name in by)


def _label(operation: str) -> str:
    return str(Operation(operation).label) if operation else ""


def _chart(counted: list[dict[str, Any]], start: date, end: date) -> dict[str, Any]:
    days = [start + timedelta(days=number) for number in range((end - start).days + 1)]
    totals = {
        (row.day, row.operation): row.total for row in _rows(counted, ("day", "operation"), {})
    }
    rates = {row.day: row.success_rate for row in _rows(counted, ("day",), {})}
    operations = [_label(name) for name in Operation.values]
    present = {operation for _day, operation in totals}
    return {
        "days": [day.isoformat() for day in days],
        "payments": [
            {"label": label, "counts": [totals.get((day, label), 0) for day in days]}
            for label in operations
            if label in present
        ],
        "success_rate": [rates.get(day) for day in days],
        "labels": {"payments": _now_("Payments"), "success_rate": _now_("Success rate, %")},
    }
