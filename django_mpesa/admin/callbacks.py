"""The list of callbacks, the page of one, with its body, and *Apply again*."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import get_language
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.errors import CalledInTransaction
from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.readable_body import readable_body
from mpesa_integrations.core.payments.records import MAY_BE_APPLIED_AGAIN
from mpesa_integrations.core.payments.timeline import callback_story

from ..accounts import mpesa
from ..models import AbstractTransaction, CallbackLog, Verdict
from ..swapping import get_transaction_model
from ..times import moment_text
from .attention import CallbackAttentionFilter
from .changelist import AccountFilter
from .history import HistoryAdmin
from .pages import IN_TRANSACTION
from .rendering import preformatted, state_badge

APPLIED_AT_ONCE = 100
"""How many callbacks one action applies, while the browser waits."""
_PERHAPS = 10
"""How many payments a callback's page names that it may be of."""


class CallbackLogAdmin(HistoryAdmin):
    """Callbacks as they arrived."""

    list_display = ("received_at", "badge", "what_happened", "third_party_reference",
                    "remote_address")  # fmt: skip
    list_filter = (CallbackAttentionFilter, "verdict", AccountFilter)
    filtered_columns = ("attention", "verdict", "account", "received_at")
    search_fields = ("third_party_reference", "conversation_id")
    search_help_text = _("A whole third-party reference or conversation ID")
    date_hierarchy = "received_at"
    ordering = ("-received_at",)
    sortable_by = ("received_at",)
    fields = ("arrived", "badge", "what_happened", "account", "remote_address",
              "third_party_reference", "conversation_id", "transaction", "perhaps_of",
              "readable_body")  # fmt: skip
    readonly_fields = fields
    actions = ("apply_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Callbacks with their payments."""
        found: QuerySet[Any] = super().get_queryset(request).select_related("transaction")
        return found

    def has_apply_callbacks_permission(self, request: HttpRequest) -> bool:
        """Whether this person may have callbacks applied again."""
        return request.user.has_perm("django_mpesa.apply_callbacks")

    @admin.display(description=_("received"))
    def arrived(self, entry: CallbackLog) -> str:
        """When it came."""
        return moment_text(entry.received_at)

    @admin.display(description=_("what happened"))
    def what_happened(self, entry: CallbackLog) -> str:
        """What became of it, and in which order it came."""
        story = callback_story(entry.verdict, entry.received_at, entry.transaction, moment_text)
        return story.in_language(get_language())

    @admin.display(description=_("payments that it may be of"))
    def perhaps_of(self, entry: CallbackLog) -> str:
        """Where it has no payment, those that have one of its IDs, to be looked into."""
        if entry.transaction_id is not None:
            return "–"
        links = ((self._linked(found, found), found.account, found.get_state_display())
                 for found in _perhaps(entry))  # fmt: skip
        return format_html_join(", ", "{} ({}, {})", links) or "–"

    @admin.action(description=_("Apply again"), permissions=["apply_callbacks"])
    def apply_again(self, request: HttpRequest, queryset: QuerySet[CallbackLog]) -> None:
        """Have the chosen callbacks decided anew, the oldest first, and tell what came of them."""
        chosen = list(queryset.order_by("pk")[: APPLIED_AT_ONCE + 1])
        for entry in chosen[:APPLIED_AT_ONCE]:
            try:
                verdict = mpesa[entry.account].apply_callback_again(entry.pk)
            except CalledInTransaction:
                messages.error(request, IN_TRANSACTION)
                return
            except Exception as error:  # noqa: BLE001 - the others go on
                log_failure("callback.not_applied", error, account=entry.account)
                _tell(request, messages.ERROR, entry, type(error).__name__)
                continue
            if verdict is None:
                text = _now_("there is nothing to apply: it was, or it cannot be read")
                _tell(request, messages.INFO, entry, text)
                continue
            level = messages.WARNING if verdict in MAY_BE_APPLIED_AGAIN else messages.SUCCESS
            _tell(request, level, entry, Verdict(verdict.value).label)
            self.log_change(request, entry, _now_("Applied again: %s") % verdict)
        if len(chosen) > APPLIED_AT_ONCE:
            text = _now_("Only the first %d were applied.") % APPLIED_AT_ONCE
            messages.warning(request, text)

    @admin.display(description=_("verdict"))
    def badge(self, entry: CallbackLog) -> str:
        """The verdict, in its colour."""
        return state_badge(entry.verdict, entry.get_verdict_display())

    @admin.display(description=_("body"))
    def readable_body(self, entry: CallbackLog) -> str:
        """The body as text, without phone numbers and the account's secrets."""
        found = readable_body(bytes(entry.body), partial(mpesa.options, entry.account))
        return preformatted(found.in_language(get_language()))


def _perhaps(entry: CallbackLog) -> list[AbstractTransaction]:
    named = Q()
    for column in ("third_party_reference", "conversation_id"):
        if getattr(entry, column):
            named |= Q(**{column: getattr(entry, column)})
    return list(get_transaction_model()._default_manager.filter(named)[:_PERHAPS] if named else ())


def _tell(request: HttpRequest, level: int, entry: CallbackLog, outcome: object) -> None:
    text = _now_("Callback %(reference)s: %(outcome)s.")
    reference = entry.third_party_reference or entry.pk
    messages.add_message(request, level, text % {"reference": reference, "outcome": outcome})
