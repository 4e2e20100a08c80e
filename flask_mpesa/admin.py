"""A view of payments for Flask-Admin: their columns, filters and badges, and two actions.

The actions query the gateway and reverse payments. That nothing else can be changed is held by
`history_view`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from flask import flash
from flask_admin.actions import action
from flask_admin.contrib.sqla.filters import BaseSQLAFilter
from flask_admin.form import SecureForm
from markupsafe import Markup

from mpesa_integrations.core.errors import MpesaError, ValidationError
from mpesa_integrations.core.payments.lifecycle import State

from .current import accounts_of_current_app
from .history_view import HistoryView, masked_notes

try:
    from flask_babel import Domain, format_datetime, format_decimal, get_locale
except ImportError:
    from flask_admin.babel import gettext, lazy_gettext, ngettext  # English as it stands

    def get_locale() -> str:
        """The language of the page."""
        return "en"

    def _moment(at: datetime) -> str:
        return f"{at:%Y-%m-%d %H:%M:%S %Z}"

    def _money(amount: Decimal) -> str:
        return f"{amount:,.2f}"

else:

    def _moment(at: datetime) -> str:
        # With the zone: an application that set none shows UTC, not what the shop's clock says.
        return f"{format_datetime(at, 'medium')} {format_datetime(at, 'z')}"

    def _money(amount: Decimal) -> str:
        return str(format_decimal(amount, "#,##0.00"))

    _texts = Domain(str(Path(__file__).parent / "translations"), domain="flask_mpesa")
    gettext, lazy_gettext, ngettext = _texts.gettext, _texts.lazy_gettext, _texts.ngettext

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
_STATES = {
    State.INITIATED: lazy_gettext("Started"),
    State.PENDING: lazy_gettext("Waiting"),
    State.UNKNOWN: lazy_gettext("Being checked"),
    State.COMPLETED: lazy_gettext("Paid"),
    State.FAILED: lazy_gettext("Failed"),
    State.CANCELLED: lazy_gettext("Cancelled"),
    State.PARTLY_REVERSED: lazy_gettext("Partly given back"),
    State.REVERSED: lazy_gettext("Given back"),
}
_OPERATIONS = {
    "c2b": lazy_gettext("Payment (C2B)"),
    "b2c": lazy_gettext("Payout (B2C)"),
    "b2b": lazy_gettext("Business payment (B2B)"),
    "reversal": lazy_gettext("Reversal"),
}
_LABELS = {
    "account": lazy_gettext("Account"),
    "amount": lazy_gettext("Amount"),
    "checks": lazy_gettext("Checks"),
    "conflict": lazy_gettext("Contradicting news"),
    "conversation_id": lazy_gettext("Conversation ID"),
    "created_at": lazy_gettext("Created"),
    "currency": lazy_gettext("Currency"),
    "metadata_": lazy_gettext("Metadata"),
    "msisdn": lazy_gettext("Phone number"),
    "next_check_at": lazy_gettext("Next check"),
    "operation": lazy_gettext("Operation"),
    "receiver_shortcode": lazy_gettext("Receiver"),
    "reference": lazy_gettext("Reference"),
    "response_code": lazy_gettext("Response code"),
    "response_description": lazy_gettext("Response"),
    "reversed_amount": lazy_gettext("Amount given back"),
    "state": lazy_gettext("State"),
    "stuck_at": lazy_gettext("Given to a person"),
    "third_party_reference": lazy_gettext("Third-party reference"),
    "transaction_id": lazy_gettext("Transaction ID"),
    "updated_at": lazy_gettext("Updated"),
}
_LIST = ("created_at", "operation", "state", "amount", "msisdn", "reference", "transaction_id")


def _badge(view: Any, context: Any, record: Any, name: str) -> Markup:
    background, text = _BADGES[State(record.state)]
    colours = f"background:{background};color:{text}"
    style = f"{colours};padding:2px 8px;border-radius:9px;white-space:nowrap"
    return Markup('<span style="{}">{}</span>').format(style, _STATES[State(record.state)])


def _error_text(error: MpesaError) -> str:
    """An error in the language of the page, as far as core has words for it."""
    if not isinstance(error, ValidationError):
        return str(error)
    messages = error.errors_in(str(get_locale()))
    return "; ".join(f"{argument}: {' '.join(texts)}" for argument, texts in messages.items())


def _amount(view: Any, context: Any, record: Any, name: str) -> str:
    return _money(getattr(record, name))


def _aligned(view: Any, context: Any, record: Any, name: str) -> Markup:
    return Markup('<div class="text-right">{}</div>').format(_money(getattr(record, name)))


def _wrapped(view: Any, context: Any, record: Any, name: str) -> Markup:
    return _breakable(getattr(record, name))


def _notes(view: Any, context: Any, record: Any, name: str) -> Markup | str:
    return _breakable(masked_notes(view, context, record, name))


def _breakable(text: str) -> Markup:
    # So that, on a phone, the page is not as wide as its longest reference.
    return Markup('<span style="overflow-wrap:anywhere">{}</span>').format(text)


class TransactionView(HistoryView):
    """Payments, to look at and to query; `is_accessible` says who may, as in any view of yours.

    Attributes:
        can_reverse: whether those who may see the view may reverse payments, too; True, False, or a
            property that decides by the user.
    """

    can_reverse = False
    # Actions move money: they need a token that only our own pages have.
    form_base_class = SecureForm
    column_list: Sequence[str] = _LIST
    column_labels: ClassVar[dict[str, Any]] = _LABELS
    column_default_sort = ("id", True)
    column_sortable_list: Sequence[str] = (
        "created_at", "operation", "state", "amount", "reference", "transaction_id"
    )  # fmt: skip
    column_searchable_list = ("third_party_reference", "transaction_id", "conversation_id",
                              "reference", "msisdn")  # fmt: skip
    column_filters: Sequence[str | BaseSQLAFilter] = (
        "state", "operation", "account", "created_at"
    )  # fmt: skip
    column_choices: ClassVar[dict[str, Any]] = {
        "state": [(state.value, name) for state, name in _STATES.items()],
        "operation": list(_OPERATIONS.items()),
    }
    column_formatters: ClassVar[dict[str, Any]] = {
        "state": _badge, "amount": _aligned
    }  # fmt: skip
    column_formatters_detail: ClassVar[dict[str, Any]] = {
        "state": _badge,
        "amount": _amount,
        "reversed_amount": _amount,
        "third_party_reference": _wrapped,
        "conversation_id": _wrapped,
        "transaction_id": _wrapped,
        "metadata_": _notes,
    }
    column_type_formatters: ClassVar[dict[Any, Any]] = {
        **HistoryView.column_type_formatters, datetime: lambda view, at, name: _moment(at)
    }  # fmt: skip
    column_type_formatters_detail = column_type_formatters
    column_details_exclude_list = ("idempotency_key", "claimed_transaction_id")

    def is_action_allowed(self, name: str) -> bool:
        """Reversals need a right of their own."""
        return super().is_action_allowed(name) and bool(name != "reverse" or self.can_reverse)

    def search_placeholder(self) -> str:
        """What is found: a whole value of one of these columns."""
        columns = super().search_placeholder() or ""
        return str(gettext("Whole values: %(columns)s", columns=columns))

    def _chosen(self, ids: Sequence[str]) -> Iterator[Any]:
        return filter(None, map(self.get_one, ids))

    @action(  # type: ignore[untyped-decorator]
        "ask_gateway",
        lazy_gettext("Ask the gateway now"),
        lazy_gettext("Ask the gateway what became of these payments?"),
    )
    def ask_gateway(self, ids: Sequence[str]) -> None:
        """Query the status of the chosen payments."""
        asked = 0
        for record in self._chosen(ids):
            try:
                accounts_of_current_app()[record.account].check(record)
            except MpesaError as error:
                flash(f"{record.third_party_reference}: {_error_text(error)}", "error")
            else:
                asked += 1
        if asked:
            message = ngettext(
                "The gateway was asked about %(num)d payment.",
                "The gateway was asked about %(num)d payments.",
                asked,
            )
            flash(message, "success")

    @action(  # type: ignore[untyped-decorator]
        "reverse",
        lazy_gettext("Give the money back"),
        lazy_gettext("Give back all that is left of these payments' money?"),
    )
    def reverse(self, ids: Sequence[str]) -> None:
        """Reverse what is left of the chosen payments, each once however often this is called.

        After a failed reversal of a payment, the next call makes another.
        """
        for record in self._chosen(ids):
            given = f"{record.third_party_reference}-{record.reversed_amount}"
            key = f"admin-{given}-{self._failed_reversals(record)}"
            try:
                reversal = accounts_of_current_app()[record.account].reverse(
                    transaction_id=record.transaction_id, idempotency_key=key
                )
            except MpesaError as error:
                flash(f"{record.third_party_reference}: {_error_text(error)}", "error")
            else:
                state = _STATES[State(reversal.state)]
                message = gettext("the reversal is now: %(state)s.", state=state)
                flash(f"{record.third_party_reference}: {message}", "info")

    def _failed_reversals(self, record: Any) -> int:
        ended = self.model.state.in_([State.FAILED.value, State.CANCELLED.value])
        of_it = self.get_query().filter(self.model.original_id == record.id, ended)
        return int(of_it.count())
