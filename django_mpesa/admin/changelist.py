"""Admin lists of a million rows: counted up to a bound, dated by their oldest and newest row."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import formats
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.errors import MpesaError

from ..accounts import mpesa
from ..times import local

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

LISTED = 5_000
"""How many rows a list pages through; who looks for more is better served by a search."""


class BoundedPaginator(_Paginator):
    """Pages through the first `LISTED` rows, since counting a million of them takes seconds."""

    @cached_property
    def _found(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: LISTED + 1].count())

    @cached_property
    def count(self) -> int:
        """How many rows there are, as far as they are listed."""
        return min(self._found, LISTED)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than are listed."""
        return self._found > LISTED


class BoundedChangeList(ChangeList):
    """A list whose date links come from its oldest and newest row, and not from reading all."""

    def date_links(self) -> dict[str, Any]:
        """The years, months or days to choose from, as `admin/date_hierarchy.html` takes them."""
        bounds = self._bounds()
        if bounds is None:
            return {}
        year, month, day = (self._chosen(part) for part in ("year", "month", "day"))
        if year and month and day:
            title = formats.date_format(date(year, month, day), "MONTH_DAY_FORMAT")
            choices = [{"title": capfirst(title)}]
            return {"back": self._link(date(year, month, 1), "month"), "choices": choices}
        if year and month:
            days = range(1, calendar.monthrange(year, month)[1] + 1)
            starts = [date(year, month, number) for number in days]
            return self._choices("day", starts, bounds, self._link(date(year, 1, 1), "year"))
        only_year = bounds[0].year == bounds[1].year
        if year or only_year:
            starts = [date(year or bounds[0].year, number, 1) for number in range(1, 13)]
            bounds = (bounds[0].replace(day=1), bounds[1])
            back = {"link": self._query(), "title": _("All dates")} if year else None
            return self._choices("month", starts, bounds, back)
        starts = [date(number, 1, 1) for number in range(bounds[0].year, bounds[1].year + 1)]
        return self._choices("year", starts, (starts[0], bounds[1]), None)

    def _bounds(self) -> tuple[date, date] | None:
        field = str(self.date_hierarchy)
        times = self.root_queryset.values_list(field, flat=True)
        oldest, newest = times.order_by(field).first(), times.order_by(f"-{field}").first()
        if oldest is None or newest is None:
            return None
        return local(oldest).date(), local(newest).date()

    def _chosen(self, part: str) -> int | None:
        value = self.params.get(f"{self.date_hierarchy}__{part}")
        return int(value) if value else None

    def _choices(
        self, part: str, starts: Iterable[date], bounds: tuple[date, date], back: Any
    ) -> dict[str, Any]:
        within = (start for start in starts if bounds[0] <= start <= bounds[1])
        return {"back": back, "choices": [self._link(start, part) for start in within]}

    def _link(self, start: date, part: str) -> dict[str, str]:
        if part == "year":
            return {"link": self._query(year=start.year), "title": str(start.year)}
        if part == "month":
            title = formats.date_format(start, "YEAR_MONTH_FORMAT")
            return {"link": self._query(year=start.year, month=start.month), "title": title}
        title = formats.date_format(start, "MONTH_DAY_FORMAT")
        link = self._query(year=start.year, month=start.month, day=start.day)
        return {"link": link, "title": capfirst(title)}

    def _query(self, **parts: int) -> str:
        chosen = {f"{self.date_hierarchy}__{part}": str(value) for part, value in parts.items()}
        return str(self.get_query_string(chosen, [f"{self.date_hierarchy}__"]))


def account_names(request: HttpRequest) -> list[str]:
    """The accounts' names; none, and the page says so, where an account loader cannot give them."""
    try:
        return list(mpesa)
    except MpesaError as error:
        messages.warning(request, str(error))
        return []


class AccountFilter(admin.SimpleListFilter):
    """By account: those of the MPESA setting, with no look through the rows for others."""

    title = _("account")
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name the accounts; also the chosen one alone, which else would choose nothing."""
        names = account_names(request) or [self.value() or ""]
        return [(name, name) for name in names if name]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the chosen account's rows."""
        return queryset.filter(account=self.value()) if self.value() else queryset
