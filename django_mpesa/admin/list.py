"""The list of payments: its columns, filters and search."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .attention import AttentionFilter
from .changelist import AccountFilter
from .pages import PaymentPages


class PaymentList(PaymentPages):
    """Payments, found by what a customer or the statement names."""

    # What a payment is known by comes first, so that no screen is too narrow for it.
    list_display = ("created_at", "reference", "amount", "badge", "transaction_id", "phone",
                    "operation")  # fmt: skip
    list_filter = (AttentionFilter, "state", "operation", AccountFilter)
    filtered_columns = ("attention", "state", "operation", "account", "created_at")
    search_fields = ("third_party_reference", "transaction_id", "conversation_id", "msisdn",
                     "reference")  # fmt: skip
    search_help_text = _(
        "A whole reference, phone number, third-party reference, conversation or transaction ID"
    )
    date_hierarchy = "created_at"
    # By an index also where the list is of a period.
    ordering = ("-created_at",)
    sortable_by = ("created_at",)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The list, with links to the report and the export."""
        return super().changelist_view(request, {**(extra_context or {}), "has_report": True})

    def get_list_display(self, request: HttpRequest) -> Any:
        """The columns, with the phone number as this person may see it."""
        whole = self.has_full_msisdn_permission(request)
        return ["msisdn" if whole and name == "phone" else name for name in self.list_display]
