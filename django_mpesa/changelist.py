"""Admin lists of a million rows: counted up to a bound, searched by whole words, dated by range."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Any, NoReturn

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import formats
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.payments.listings import searched_values

from .accounts import mpesa
from .times import local

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    _ModelAdmin = admin.ModelAdmin
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


class AccountFilter(admin.SimpleListFilter):
    """By account: those of the MPESA setting, with no look through the rows for others."""

    title = _("account")
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name the accounts."""
        return [(alias, alias) for alias in mpesa]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the chosen account's rows."""
        return queryset.filter(account=self.value()) if self.value() else queryset


_CLOSED = (
    "has_add_permission", "has_change_permission", "has_delete_permission", "add_view",
    "changeform_view", "delete_view", "save_form", "save_model", "save_formset", "save_related",
    "delete_model", "delete_queryset",
)  # fmt: skip


class HistoryAdmin(_ModelAdmin):
    """History: looked at, never edited, however much of it there is.

    Raises:
        ImproperlyConfigured: a subclass, or a base that comes first in it, opens it.
    """

    change_list_template = "admin/django_mpesa/change_list.html"
    paginator = BoundedPaginator
    show_full_result_count = False
    list_select_related = False
    if hasattr(admin, "ShowFacets"):  # Django 5.0
        show_facets = admin.ShowFacets.NEVER
    filtered_columns: tuple[str, ...] = ()
    """What a list's address may filter by. Any other column would let masked numbers be guessed."""

    class Media:
        """The states' colours."""

        css = {"all": ("django_mpesa/admin.css",)}  # noqa: RUF012

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # As the class comes out, whichever of its bases said so.
        opened = [name for name in _CLOSED if getattr(cls, name) is not getattr(HistoryAdmin, name)]
        opened += ["list_editable"] if cls.list_editable else []
        if opened:
            raise ImproperlyConfigured(
                f"{cls.__name__} has a {opened[0]} of its own, and must not: payments are history, "
                "which nobody makes, changes or deletes by hand. Where a base class brings it, "
                "name django_mpesa's class first"
            )

    def has_add_permission(self, *args: Any, **kwargs: Any) -> bool:
        """Nobody adds to history."""
        return False

    def has_change_permission(self, *args: Any, **kwargs: Any) -> bool:
        """Nobody changes it."""
        return False

    def has_delete_permission(self, *args: Any, **kwargs: Any) -> bool:
        """Nobody deletes from it."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The list, named after what is in it."""
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One entry. Django's own title for it, "View …", is in English in Portuguese, too."""
        context = {"title": capfirst(self.opts.verbose_name), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Look at it; what is sent is refused, that of an inline, too."""
        if object_id is None or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return super().changeform_view(request, object_id, *args, **kwargs)

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """The actions, of which none deletes; from Django 6.1 on, those of a list or of a form."""
        where = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **where)
        return {name: action for name, action in actions.items() if name != "delete_selected"}

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise PermissionDenied

    add_view = delete_view = save_form = save_model = save_formset = _refuse
    save_related = delete_model = delete_queryset = _refuse

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """The list with bounded date links."""
        return BoundedChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Whether the list's address may have this filter."""
        return lookup.partition("__")[0] in self.filtered_columns

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search for a whole value, as typed or in capitals: what an index answers."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q()
        for column in self.get_search_fields(request):
            found |= Q(**{f"{column}__in": searched_values(str(column), term)})
        return queryset.filter(found), False
