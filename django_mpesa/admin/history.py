"""Admin pages of history, which is looked at and never edited: payments and callbacks alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from mpesa_integrations.core.payments.listings import searched_values

from .changelist import BoundedChangeList, BoundedPaginator

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _TabularInline = admin.TabularInline

_CLOSED = (
    "has_add_permission", "has_change_permission", "has_delete_permission", "add_view",
    "changeform_view", "delete_view", "save_form", "save_model", "save_formset", "save_related",
    "delete_model", "delete_queryset",
)  # fmt: skip


class HistoryInline(_TabularInline):
    """Rows of history on the page of what they belong to."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds to history."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes it."""
        return False


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

    def _page_of(self, row: Any) -> str:
        """The address of a row's own page.

        Raises:
            NoReverseMatch: the admin has none for its model.
        """
        options = row._meta
        name = f"{self.admin_site.name}:{options.app_label}_{options.model_name}_change"
        return reverse(name, args=[row.pk])

    def _linked(self, row: Any, text: object) -> str:
        """A text with a link to a row's own page, where the admin has one."""
        try:
            return format_html('<a href="{}">{}</a>', self._page_of(row), text)
        except NoReverseMatch:  # a site of the project's own, without it
            return str(text)

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
