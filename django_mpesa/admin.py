"""The admin's view of payments and callbacks: history, to look at and to ask about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.errors import MpesaError

from .accounts import mpesa
from .models import AbstractTransaction, CallbackLog, State
from .store import get_transaction_model

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _TabularInline = admin.TabularInline

# Background and text, each pair with a contrast of more than 4.5 to 1.
_BADGES = {
    State.COMPLETED: ("#d1f0d9", "#0b5223"),
    State.FAILED: ("#f8d7da", "#6d1220"),
    State.CANCELLED: ("#e5e5e5", "#333333"),
    State.UNKNOWN: ("#ffe8b3", "#5c4000"),
    State.PENDING: ("#d6e6ff", "#0b3a75"),
    State.INITIATED: ("#d6e6ff", "#0b3a75"),
    State.REVERSED: ("#e9dcf7", "#432068"),
    State.PARTLY_REVERSED: ("#e9dcf7", "#432068"),
}


class _ReadOnly:
    """History is not edited."""

    def has_add_permission(self, *args: Any, **kwargs: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any, **kwargs: Any) -> bool:
        return False

    def has_delete_permission(self, *args: Any, **kwargs: Any) -> bool:
        return False


class CallbackInline(_ReadOnly, _TabularInline):
    """The callbacks of a payment."""

    model = CallbackLog
    extra = 0
    fields = ("received_at", "remote_address", "verdict", "conversation_id")
    readonly_fields = fields


class TransactionAdmin(_ReadOnly, _ModelAdmin):
    """Payments: found by what a customer or the statement names, asked about with one action."""

    list_display = ("created_at", "operation", "badge", "amount", "phone", "reference",
                    "transaction_id")  # fmt: skip
    list_filter = ("state", "operation", "account")
    search_fields = ("=third_party_reference", "=transaction_id", "=conversation_id", "=msisdn",
                     "=reference")  # fmt: skip
    date_hierarchy = "created_at"
    # A count of all rows takes seconds at a million of them.
    show_full_result_count = False
    list_select_related = False
    actions = ("ask_gateway",)
    inlines = (CallbackInline,)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All columns, with the phone number as this person may see it."""
        hidden = {"msisdn", "content_type", "object_id"}
        names = [field.name for field in self.model._meta.fields if field.name not in hidden]
        whole = request.user.has_perm(f"{self.model._meta.app_label}.view_full_msisdn")
        return ["msisdn" if whole else "phone", *names]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of them."""
        return self.get_fields(request, obj)

    @admin.display(description=_("state"), ordering="state")
    def badge(self, record: AbstractTransaction) -> str:
        """The state, in its colour."""
        background, text = _BADGES[State(record.state)]
        return format_html(
            '<span style="background:{};color:{};padding:2px 8px;border-radius:9px">{}</span>',
            background,
            text,
            record.get_state_display(),
        )

    @admin.display(description=_("phone number"))
    def phone(self, record: AbstractTransaction) -> str:
        """The phone number, masked."""
        return record.masked_msisdn

    @admin.action(description=_("Ask the gateway now"), permissions=["view"])
    def ask_gateway(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Ask what became of the chosen payments."""
        asked = 0
        for record in queryset:
            try:
                mpesa[record.account].check(record)
            except MpesaError as error:
                messages.error(request, f"{record.third_party_reference}: {error}")
            else:
                asked += 1
        if asked:
            messages.success(request, _("The gateway was asked about %d payments.") % asked)


class CallbackLogAdmin(_ReadOnly, _ModelAdmin):
    """Callbacks as they arrived."""

    list_display = ("received_at", "verdict", "third_party_reference", "remote_address")
    list_filter = ("verdict", "account")
    search_fields = ("=third_party_reference", "=conversation_id")
    date_hierarchy = "received_at"
    show_full_result_count = False
    fields = ("account", "received_at", "remote_address", "verdict", "third_party_reference",
              "conversation_id", "transaction")  # fmt: skip


admin.site.register(get_transaction_model(), TransactionAdmin)
admin.site.register(CallbackLog, CallbackLogAdmin)
