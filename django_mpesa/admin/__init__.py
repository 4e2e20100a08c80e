"""The admin of payments and callbacks: history, to look at, to ask about and to reverse.

What each page does is in a module of this package; here they are put together and registered.
"""

from __future__ import annotations

from django.contrib import admin

from ..models import CallbackLog
from ..swapping import get_transaction_model
from .callbacks import CallbackLogAdmin
from .detail import CallbackInline, PaymentDetail
from .export import PaymentExport
from .history import HistoryAdmin
from .list import PaymentList
from .report import PaymentReport
from .reversal import PaymentReversal
from .status_query import StatusQueryAction

__all__ = ["CallbackInline", "CallbackLogAdmin", "HistoryAdmin", "TransactionAdmin"]


class TransactionAdmin(
    PaymentReport, PaymentExport, PaymentReversal, StatusQueryAction, PaymentDetail, PaymentList
):
    """Payments: found by what a customer or the statement names, asked about, reversed, counted."""

    actions = ("ask_gateway", "reverse")


admin.site.register(get_transaction_model(), TransactionAdmin)
admin.site.register(CallbackLog, CallbackLogAdmin)
