"""The list of handlers that are still to be run, the page of one, and *Run again*."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mpesa_integrations.core.payments.handler_runs import Ran

from ..accounts import mpesa
from ..models import OutboxEntry
from .changelist import AccountFilter
from .history import HistoryAdmin, HistoryInline
from .rendering import state_badge, told_of

RUN_AT_ONCE = 100
"""How many handlers one action runs, while the browser waits."""
_WAITS = {
    "attempt": _("Waits for its next attempt"),
    "person": _("Waits for a person"),
    "handler": _("No such handler"),
}
_COLOURS = {"attempt": "pending", "person": "failed", "handler": "unknown"}
_RAN = {
    Ran.DONE: _("done"),
    Ran.FAILED: _("failed again"),
    Ran.WAITS: _("waits for the handler of an earlier event"),
    Ran.MISSING: _("no such handler"),
    Ran.UNDER_WAY: _("under way"),
}


class WaitsFilter(admin.SimpleListFilter):
    """By what a handler waits for."""

    title = _("state")
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name what there is to wait for."""
        return list(_WAITS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those that wait for the chosen thing."""
        known = Q(pk__in=())
        for event, handler in mpesa.handlers.known():
            known |= Q(event=event, handler=handler)
        which = {
            "attempt": known & Q(given_up_at=None),
            "person": known & Q(given_up_at__isnull=False),
            "handler": ~known,
        }
        chosen = self.value()
        return queryset.filter(which[chosen]) if chosen in which else queryset


class WaitingHandler:
    """How a handler that is still to be run is shown."""

    @admin.display(description=_("state"))
    def waits(self, entry: OutboxEntry) -> str:
        """What it waits for, in its colour."""
        if mpesa.handlers.find(entry.event, entry.handler) is None:
            found = "handler"
        else:
            found = "attempt" if entry.given_up_at is None else "person"
        return state_badge(_COLOURS[found], str(_WAITS[found]))


class HandlerInline(WaitingHandler, HistoryInline):
    """The handlers of a payment that are still to be run."""

    model = OutboxEntry
    fields = ("event", "handler", "waits", "attempts", "problem")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Handlers, and not the signals that are to be sent."""
        found: QuerySet[Any] = super().get_queryset(request).exclude(handler="")
        return found


class HandlerAdmin(WaitingHandler, HistoryAdmin):
    """Handlers that are still to be run; those that are done are not here any more."""

    list_display = ("handler", "waits", "payment", "problem", "attempts", "event", "due_at")
    list_filter = (WaitsFilter, AccountFilter)
    filtered_columns = ("waits", "account")
    search_fields = ("transaction__third_party_reference", "handler")
    search_help_text = _("A whole third-party reference or handler's name")
    ordering = ("due_at",)
    sortable_by = ("due_at",)
    fields = ("handler", "waits", "payment", "event", "account", "attempts", "problem", "due_at",
              "given_up_at")  # fmt: skip
    readonly_fields = fields
    actions = ("run_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Handlers, and not the signals that are to be sent."""
        handlers = super().get_queryset(request).exclude(handler="")
        found: QuerySet[Any] = handlers.select_related("transaction")
        return found

    def has_run_handlers_permission(self, request: HttpRequest) -> bool:
        """Whether this person may have handlers run."""
        return request.user.has_perm("django_mpesa.run_handlers")

    @admin.display(description=_("payment"))
    def payment(self, entry: OutboxEntry) -> str:
        """The payment's reference, with a link."""
        return self._linked(entry.transaction, entry.transaction.third_party_reference)

    @admin.action(description=_("Run again"), permissions=["run_handlers"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[OutboxEntry]) -> None:
        """Run the chosen handlers now, and tell what came of them."""
        chosen = list(queryset.order_by("sequence", "due_at")[: RUN_AT_ONCE + 1])
        done = 0
        for entry in chosen[:RUN_AT_ONCE]:
            try:
                ran = mpesa[entry.account].run_again(entry.pk) or Ran.DONE
            except Exception as error:  # noqa: BLE001 - the others go on
                about = {"handler": entry.handler, "event_id": entry.pk}
                _tell(request, messages.ERROR, entry, told_of(error, "handler.not_run", **about))
                continue
            if ran is Ran.DONE:
                done += 1
            else:
                _tell(request, messages.WARNING, entry, _RAN[ran])
        if done:
            text = ngettext("%d handler was run.", "%d handlers were run.", done) % done
            messages.success(request, text)
        if len(chosen) > RUN_AT_ONCE:
            text = _now_("Only the first %d were run.") % RUN_AT_ONCE
            messages.warning(request, text)


def _tell(request: HttpRequest, level: int, entry: OutboxEntry, outcome: object) -> None:
    text = _now_("Handler %(handler)s: %(outcome)s.")
    shown = {"handler": entry.handler, "outcome": str(outcome).rstrip(".")}
    messages.add_message(request, level, text % shown)
