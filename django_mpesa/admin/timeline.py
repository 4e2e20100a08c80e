"""What happened to a payment, at the head of its page: core puts in order what is on record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch
from django.utils.translation import get_language

from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.payments.timeline import TimelineEntry, done_by_person, timeline

from ..models import AbstractTransaction, OutboxEntry
from ..times import moment_text
from .pages import PaymentPages

_SHOWN = 50
"""How many rows of a kind a page tells of, the newest."""


class PaymentTimeline(PaymentPages):
    """The page of a payment begins with what happened to it."""

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a payment, and what happened to it."""
        record = kwargs.get("obj")
        if record is not None:
            told = [self._shown(request, entry) for entry in _entries(record)]
            context = {**context, "timeline": told, "badge": self.badge(record)}
        return super().render_change_form(request, context, *args, **kwargs)

    def _shown(self, request: HttpRequest, entry: TimelineEntry) -> dict[str, Any]:
        return {
            "text": entry.text.in_language(get_language()),
            "at": entry.at and moment_text(entry.at),
            "said": entry.said,
            "row": entry.row,
            "url": entry.row and self._link_to(request, entry.row),
        }

    def _link_to(self, request: HttpRequest, row: Any) -> str | None:
        """The page of a row, if it has one that this person may see."""
        options = row._meta
        if not request.user.has_perm(f"{options.app_label}.view_{options.model_name}"):
            return None
        try:
            return self._page_of(row)
        except NoReverseMatch:  # a site of the project's own, without it
            return None


def _entries(record: Any) -> list[TimelineEntry]:
    left = OutboxEntry.objects.filter(transaction_id=record.pk).exclude(handler="")
    return timeline(
        record,
        moment=moment_text,
        market=MOZAMBIQUE,
        original=record.original,
        callbacks=_newest(record.callbacks),
        reversals=_newest(record.reversals),
        handlers=list(left.order_by("sequence", "due_at")[:_SHOWN]),
        more=_logged(record),
    )


def _newest(rows: Any) -> list[Any]:
    return sorted(rows.order_by("-pk")[:_SHOWN], key=lambda row: row.pk)


def _logged(record: AbstractTransaction) -> Iterator[TimelineEntry]:
    """What people did of it in the admin, as Django's own log has it."""
    kind = ContentType.objects.get_for_model(record)
    logged = LogEntry.objects.filter(content_type=kind, object_id=str(record.pk))
    for entry in logged.select_related("user").order_by("-action_time")[:_SHOWN]:
        who, said = entry.user.get_username(), entry.get_change_message()
        yield done_by_person(who, entry.action_time, said)
