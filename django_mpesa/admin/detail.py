"""The page of one payment: all its columns, its reversals, callbacks and handlers to be run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from ..models import AbstractTransaction, CallbackLog, OutboxEntry
from .handlers import HandlerInline
from .history import HistoryInline
from .pages import PaymentPages
from .rendering import json_text, preformatted


class CallbackInline(HistoryInline):
    """The callbacks of a payment."""

    model = CallbackLog
    fields = ("received_at", "remote_address", "verdict", "conversation_id")
    readonly_fields = fields


class PaymentDetail(PaymentPages):
    """One payment, to look at."""

    change_form_template = "admin/django_mpesa/change_form.html"
    inlines = (CallbackInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """With the handlers that are still to be run, where there are any."""
        inlines = super().get_inlines(request, obj)
        left = OutboxEntry.objects.filter(transaction=obj).exclude(handler="")
        return [*inlines, HandlerInline] if obj is not None and left.exists() else inlines

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """All columns, those of a model of your own last."""
        phone = "msisdn" if self.has_full_msisdn_permission(request) else "phone"
        payment = ("badge", "operation", "amount", "reversed_amount", "reversal_pending",
                   "currency", phone, "receiver_shortcode", "order_key", "reference", "original",
                   "reversals")  # fmt: skip
        gateway = ("account", "third_party_reference", "conversation_id", "transaction_id",
                   "response_code", "response_description", "conflict",
                   "conflict_decided_at")  # fmt: skip
        times = ("created_at", "updated_at", "send_before", "next_check_at", "checks")
        shown = {*payment, *gateway, *times, "id", "state", "msisdn", "metadata", "content_type",
                 "object_id", "claimed_order_key", "claimed_transaction_id"}  # fmt: skip
        others = [field.name for field in self.opts.fields if field.name not in shown]
        return (
            (None, {"fields": payment}),
            (_("At the gateway"), {"fields": gateway}),
            (_("Times"), {"fields": times}),
            (_("In the shop"), {"fields": ("paid_for_object", "readable_metadata", *others)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of them."""
        return [
            name for _title, options in self.get_fieldsets(request) for name in options["fields"]
        ]

    @admin.display(description=_("reversals"))
    def reversals(self, record: Any) -> str:
        """The reversals of a payment, each with a link."""
        links = ((self._url("change", found.pk), found, found.get_state_display())
                 for found in record.reversals.order_by("pk"))  # fmt: skip
        return format_html_join(", ", '<a href="{}">{}</a> ({})', links) or "–"

    @admin.display(description=_("paid for"))
    def paid_for_object(self, record: AbstractTransaction) -> str:
        """What the payment is for, with a link where the admin has it."""
        found = record.paid_for
        return "–" if found is None else self._linked(found, found)

    @admin.display(description=_("metadata"))
    def readable_metadata(self, record: AbstractTransaction) -> str:
        """The shop's own notes, phone numbers masked."""
        return preformatted(json_text(record.metadata))
