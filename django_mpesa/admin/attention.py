"""The filter *By attention needed*: what a person has to look at, and how much of it there is.

Each kind is found by an index, and counted no further than `COUNTED`: a list of a million payments
shows them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.errors import MpesaError
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES, State
from mpesa_integrations.core.payments.records import REJECTED

from ..accounts import mpesa
from ..models import CallbackLog, OutboxEntry

COUNTED = 99
"""How many of a kind are counted; of more the list says just that."""
LONG = timedelta(hours=1)
"""From what age on a payment of which nobody knows what became of it needs a person."""
_HANDLERS = 1_000
"""How many handlers that were given up lead to their payments."""
_KINDS = {
    "stuck": _("Stuck"),
    "conflict": _("Contradicted"),
    "unknown": _("Being checked for over an hour"),
    "handler": _("Handler given up"),
}
_ANY = "any"
_LABELS = {_ANY: _("Any of these"), **_KINDS}
_CALLBACKS = _("Callback without its payment")


def payments_of(kind: str) -> Q:
    """Which payments are of a kind that needs attention: a key of `_KINDS`."""
    if kind == "stuck":
        return Q(state__in=OPEN_STATES, stuck_at__isnull=False)
    if kind == "conflict":
        # Not `!=`, for which no database looks into an index.
        return Q(conflict__gt="", conflict_decided_at=None)
    if kind == "unknown":
        return Q(state=State.UNKNOWN, created_at__lt=timezone.now() - LONG)
    # As keys: a subselect beside an OR would be looked up for each payment that there is.
    given_up = OutboxEntry.objects.filter(given_up_at__isnull=False).exclude(handler="")
    keys = given_up.order_by("-given_up_at").values_list("transaction_id", flat=True)
    return Q(pk__in=set(keys[:_HANDLERS]))


def rejected_callbacks() -> QuerySet[CallbackLog]:
    """The callbacks that are of no payment, or that could not be applied."""
    rejected: QuerySet[CallbackLog] = CallbackLog.objects.filter(verdict__in=REJECTED)
    # An account loader that is away is told of by the filter by account.
    with suppress(MpesaError):
        # By account, since the index begins with it.
        rejected = rejected.filter(account__in=list(mpesa))
    return rejected


class AttentionFilter(admin.SimpleListFilter):
    """By why a person has to look at a payment; callbacks without one are a link to their list."""

    title = _("attention needed")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name the kinds, with how many payments are of each."""
        self._callbacks = _callbacks_link(request, model_admin)
        payments = model_admin.get_queryset(request).order_by()
        counts = {kind: counted(payments.filter(payments_of(kind))) for kind in _KINDS}
        return [(kind, f"{label}{counts.get(kind, '')}") for kind, label in _LABELS.items()]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """The kinds, and the way to the callbacks."""
        yield from super().choices(changelist)
        if self._callbacks is not None:
            yield self._callbacks

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the payments of the chosen kind."""
        chosen = self.value()
        if chosen != _ANY and chosen not in _KINDS:
            return queryset
        meant = Q()
        for kind in _KINDS if chosen == _ANY else (chosen,):
            meant |= payments_of(kind)
        found: QuerySet[Any] = queryset.filter(meant)
        return found


class CallbackAttentionFilter(admin.SimpleListFilter):
    """Callbacks that a person has to look at."""

    title = _("attention needed")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """One kind."""
        return [(_ANY, f"{_CALLBACKS}{counted(rejected_callbacks())}")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep those that are of no payment."""
        return queryset & rejected_callbacks() if self.value() == _ANY else queryset


def counted(rows: QuerySet[Any]) -> str:
    """How many rows there are, as in ` (12)` or ` (99+)`; empty where there is none."""
    count = rows.order_by()[: COUNTED + 1].count()
    return f" ({COUNTED}+)" if count > COUNTED else f" ({count})" if count else ""


def _callbacks_link(request: HttpRequest, model_admin: Any) -> dict[str, Any] | None:
    if not request.user.has_perm("django_mpesa.view_callbacklog"):
        return None
    page = reverse(f"{model_admin.admin_site.name}:django_mpesa_callbacklog_changelist")
    label = f"{_CALLBACKS}{counted(rejected_callbacks())}"
    return {"selected": False, "query_string": f"{page}?attention={_ANY}", "display": label}
