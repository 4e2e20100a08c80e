"""The page of one payment: all its columns, its reversals and its callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from ..models import AbstractTransaction, CallbackLog
from .pages import PaymentPages
from .rendering import json_text, preformatted

if TYPE_CHECKING:
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _TabularInline = admin.TabularInline


class CallbackInline(_TabularInline):
    """The callbacks of a payment."""

    model = CallbackLog
    extra = 0
    can_delete = False
    show_change_link = True
    fields = ("received_at", "remote_address", "verdict", "conversation_id")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds to history."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes it."""
        return False


class PaymentDetail(PaymentPages):
    """One payment, to look at."""

    change_form_template = "admin/django_mpesa/change_form.html"
    inlines = (CallbackInline,)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """All columns, those of a model of your own last."""
        phone = "msisdn" if self.has_full_msisdn_permission(request) else "phone"
        payment = ("badge", "operation", "amount", "reversed_amount", "currency", phone,
                   "receiver_shortcode", "reference", "original", "reversals")  # fmt: skip
        gateway = ("account", "third_party_reference", "conversation_id", "transaction_id",
                   "response_code", "response_description", "conflict")  # fmt: skip
        times = ("created_at", "updated_at", "next_check_at", "checks")
        shown = {*payment, *gateway, *times, "id", "state", "msisdn", "metadata", "content_type",
                 "object_id"}  # fmt: skip
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
        """What the payment is for."""
        return str(record.paid_for or "–")

    @admin.display(description=_("metadata"))
    def readable_metadata(self, record: AbstractTransaction) -> str:
        """The shop's own notes, phone numbers masked."""
        return preformatted(json_text(record.metadata))
