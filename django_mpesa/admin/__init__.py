"""The admin of payments, callbacks and handlers: looked at, asked about, reversed and run again.

What each page does is in a module of this package; here they are put together and registered.
"""

from __future__ import annotations

from django.contrib import admin

from ..models import CallbackLog, OutboxEntry
from ..swapping import get_transaction_model
from .callbacks import CallbackLogAdmin
from .detail import CallbackInline, PaymentDetail
from .export import PaymentExport
from .handlers import HandlerAdmin, HandlerInline
from .history import HistoryAdmin
from .list import PaymentList
from .report import PaymentReport
from .resolution import PaymentResolution
from .reversal import PaymentReversal
from .status_query import StatusQueryAction
from .timeline import PaymentTimeline

__all__ = [
    "CallbackInline",
    "CallbackLogAdmin",
    "HandlerAdmin",
    "HandlerInline",
    "HistoryAdmin",
    "TransactionAdmin",
]


class TransactionAdmin(
    PaymentReport,
    PaymentExport,
    PaymentReversal,
    PaymentResolution,
    StatusQueryAction,
    PaymentTimeline,
    PaymentDetail,
    PaymentList,
):
    """Payments: found by what a customer or the statement names, asked about, reversed, counted."""

    actions = ("ask_gateway", "reverse", "export_chosen")


admin.site.register(get_transaction_model(), TransactionAdmin)
admin.site.register(CallbackLog, CallbackLogAdmin)
admin.site.register(OutboxEntry, HandlerAdmin)
