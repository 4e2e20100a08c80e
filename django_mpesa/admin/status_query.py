"""The action that asks the gateway about the chosen payments."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mpesa_integrations.core.errors import CalledInTransaction
from mpesa_integrations.core.payments.lifecycle import AWAITED_STATES

from ..accounts import mpesa
from ..models import AbstractTransaction
from .pages import IN_TRANSACTION, PaymentPages
from .rendering import told_of

QUERIED_AT_ONCE = 100
"""How many payments one action asks the gateway about, while the browser waits."""


class StatusQueryAction(PaymentPages):
    """*Ask the gateway now*."""

    @admin.action(description=_("Ask the gateway now"), permissions=["view"])
    def ask_gateway(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Ask what became of the chosen payments that were sent and have no final result."""
        chosen = queryset.filter(state__in=AWAITED_STATES).order_by("-pk")
        found = list(chosen[: QUERIED_AT_ONCE + 1])
        failures: list[str] = []
        queried: list[AbstractTransaction] = []
        for record in found[:QUERIED_AT_ONCE]:
            try:
                queried.append(mpesa[record.account].check(record))
            except CalledInTransaction:
                messages.error(request, IN_TRANSACTION)
                return
            except Exception as error:  # noqa: BLE001 - the others go on
                reference = record.third_party_reference
                told = told_of(error, "payment.not_checked", third_party_reference=reference)
                failures.append(f"{reference}: {told}")
        _show_answers(request, queried, failures)
        if not found:
            nothing = _("There was nothing to ask: the result is final, or nothing was sent yet.")
            messages.info(request, nothing)
        if len(found) > QUERIED_AT_ONCE:
            text = _("Only the newest %d open payments were looked at.") % QUERIED_AT_ONCE
            messages.warning(request, text)


def _show_answers(
    request: HttpRequest, queried: list[AbstractTransaction], failures: list[str]
) -> None:
    if queried:
        still_open = sum(record.is_open for record in queried)
        text = ngettext(
            "The gateway was asked about %d payment.",
            "The gateway was asked about %d payments.",
            len(queried),
        ) % len(queried)
        if still_open:
            text += " " + _now_("Still without a final result: %d.") % still_open
        messages.info(request, text)
    if failures:
        text = ngettext(
            "%(count)d payment could not be asked about. %(first)s",
            "%(count)d payments could not be asked about. The first: %(first)s",
            len(failures),
        ) % {"count": len(failures), "first": failures[0]}
        messages.error(request, text)
