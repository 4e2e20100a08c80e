"""A view of payments for Flask-Admin: their columns, filters and badges, actions and files.

What can be done with one of them is in `payment_pages`. That nothing else can be changed is held by
`history_view`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar

from flask import Response, flash, redirect, stream_with_context
from flask_admin.actions import action
from flask_admin.contrib.sqla import ModelView
from flask_admin.contrib.sqla.filters import BaseSQLAFilter
from flask_admin.form import SecureForm
from markupsafe import Markup
from sqlalchemy.orm import object_session
from werkzeug.utils import secure_filename

from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.lifecycle import AWAITED_STATES, State
from mpesa_integrations.core.payments.listings import csv_lines

from .admin_texts import (
    error_text,
    exported_moment,
    exported_money,
    gettext,
    lazy_gettext,
    moment,
    money,
    ngettext,
    point,
    zone,
)
from .current import accounts_of_current_app
from .history_view import masked_notes
from .payment_pages import PaymentPages

__all__ = ["TransactionView", "badge", "gettext", "lazy_gettext", "ngettext"]

# Background and text, each pair with a contrast of more than 4.5 to 1.
_BADGES = {
    State.COMPLETED: ("#d1f0d9", "#0b5223"),
    State.FAILED: ("#f8d7da", "#6d1220"),
    State.CANCELLED: ("#e5e5e5", "#333333"),
    State.UNKNOWN: ("#ffe8b3", "#5c4000"),
    State.PENDING: ("#d6e6ff", "#0b3a75"),
    State.QUEUED: ("#e5e5e5", "#333333"),
    State.INITIATED: ("#d6e6ff", "#0b3a75"),
    State.REVERSED: ("#e9dcf7", "#432068"),
    State.PARTLY_REVERSED: ("#e9dcf7", "#432068"),
}
_STATES = {
    State.QUEUED: lazy_gettext("Queued"),
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
    "conflict_decided_at": lazy_gettext("Contradiction decided"),
    "conversation_id": lazy_gettext("Conversation ID"),
    "created_at": lazy_gettext("Created"),
    "currency": lazy_gettext("Currency"),
    "metadata_": lazy_gettext("Metadata"),
    "msisdn": lazy_gettext("Phone number"),
    "next_check_at": lazy_gettext("Next check"),
    "operation": lazy_gettext("Operation"),
    "receiver_shortcode": lazy_gettext("Receiver"),
    "order_key": lazy_gettext("Shop's order"),
    "original_reference": lazy_gettext("Reverses the reference"),
    "original_transaction_id": lazy_gettext("Reverses the transaction"),
    "reference": lazy_gettext("Reference"),
    "response_code": lazy_gettext("Response code"),
    "response_description": lazy_gettext("Response"),
    "reversal_pending": lazy_gettext("Amount being given back"),
    "reversed_amount": lazy_gettext("Amount given back"),
    "send_before": lazy_gettext("To be sent by"),
    "state": lazy_gettext("State"),
    "stuck_at": lazy_gettext("Given to a person"),
    "third_party_reference": lazy_gettext("Third-party reference"),
    "transaction_id": lazy_gettext("Transaction ID"),
    "updated_at": lazy_gettext("Updated"),
}
EXPORT_BATCH = 2_000
"""Payments in memory at a time."""
_LIST = ("created_at", "operation", "state", "amount", "msisdn", "reference", "transaction_id")


def badge(label: object, background: str, text: str) -> Markup:
    """A word with colours, as `#d1f0d9`."""
    colours = f"background:{background};color:{text}"
    style = f"{colours};padding:2px 8px;border-radius:9px;white-space:nowrap"
    return Markup('<span style="{}">{}</span>').format(style, label)


def _badge(view: Any, context: Any, record: Any, name: str) -> Markup:
    state = State(record.state)
    return badge(_STATES[state], *_BADGES[state])


def _amount(view: Any, context: Any, record: Any, name: str) -> str:
    return money(getattr(record, name))


def _aligned(view: Any, context: Any, record: Any, name: str) -> Markup:
    return Markup('<div class="text-right">{}</div>').format(money(getattr(record, name)))


def _wrapped(view: Any, context: Any, record: Any, name: str) -> Markup:
    return _breakable(getattr(record, name))


def _notes(view: Any, context: Any, record: Any, name: str) -> Markup | str:
    return _breakable(masked_notes(view, context, record, name))


def _breakable(text: str) -> Markup:
    # So that, on a phone, the page is not as wide as its longest reference.
    return Markup('<span style="overflow-wrap:anywhere">{}</span>').format(text)


def _original(name: str) -> Callable[..., str]:
    """A formatter for a column of the payment that a reversal gives back."""

    def of_original(view: Any, context: Any, record: Any, _name: str) -> str:
        session: Any = object_session(record)
        found = session.get(view.model, record.original_id) if record.original_id else None
        return "" if found is None else str(getattr(found, name))

    return of_original


class TransactionView(PaymentPages, ModelView):  # type: ignore[misc] # Flask-Admin is not typed
    """Payments, to look at and to query; `is_accessible` says who may, as in any view of yours."""

    can_export = True
    # Actions move money: they need a token that only our own pages have.
    form_base_class: type[Any] = SecureForm
    column_list: Sequence[str] = _LIST
    column_labels: ClassVar[dict[str, Any]] = _LABELS
    column_default_sort: Any = ("id", True)
    column_sortable_list: Sequence[str] = (
        "created_at", "operation", "state", "amount", "reference", "transaction_id"
    )  # fmt: skip
    column_searchable_list: Sequence[str] = (
        "third_party_reference", "transaction_id", "conversation_id", "reference", "msisdn"
    )  # fmt: skip
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
        "reversal_pending": _amount,
        "third_party_reference": _wrapped,
        "conversation_id": _wrapped,
        "transaction_id": _wrapped,
        "metadata_": _notes,
    }
    column_type_formatters: ClassVar[dict[Any, Any]] = {
        **ModelView.column_type_formatters, datetime: lambda view, at, name: moment(at)
    }  # fmt: skip
    column_type_formatters_detail: ClassVar[dict[Any, Any]] = column_type_formatters
    column_export_list: Sequence[str] = (
        "id", "created_at", "updated_at", "account", "operation", "state", "amount",
        "reversed_amount", "currency", "msisdn", "receiver_shortcode", "reference", "order_key",
        "third_party_reference", "conversation_id", "transaction_id", "original_reference",
        "original_transaction_id", "response_code", "response_description", "conflict",
    )  # fmt: skip
    column_formatters_export: ClassVar[dict[str, Any]] = {
        "original_reference": _original("third_party_reference"),
        "original_transaction_id": _original("transaction_id"),
        "time_zone": lambda view, context, record, name: zone(record.created_at),
    }
    column_type_formatters_export: ClassVar[dict[Any, Any]] = {
        type(None): lambda view, value, name: "",
        datetime: lambda view, at, name: exported_moment(at),
        Decimal: lambda view, amount, name: exported_money(amount),
    }
    column_details_exclude_list: Sequence[str] = (
        "idempotency_key", "claimed_transaction_id", "claimed_order_key"
    )  # fmt: skip

    def is_action_allowed(self, name: str) -> bool:
        """Reversals need a right of their own; so do files, by Flask-Admin's `can_export`."""
        rights = {"reverse": "can_reverse", "export_chosen": "can_export"}
        allowed = name not in rights or bool(getattr(self, rights[name]))
        return super().is_action_allowed(name) and allowed

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
        chosen = [r for r in self._chosen(ids) if State(r.state) in AWAITED_STATES]
        if not chosen:
            flash(
                gettext("There was nothing to ask: the result is final, or nothing was sent yet."),
                "info",
            )
        for record in chosen:
            reference = record.third_party_reference
            try:
                accounts_of_current_app()[record.account].check(record)
            except Exception as error:  # noqa: BLE001 - the others go on
                log_failure("payment.not_checked", error, third_party_reference=reference)
                flash(f"{reference}: {error_text(error)}", "error")
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
        "reverse", lazy_gettext("Give the money back…")
    )
    def reverse(self, ids: Sequence[str]) -> Any:
        """Go to the page on which one payment's reversal is confirmed."""
        if len(ids) == 1:
            return redirect(self.get_url(".reverse_view", id=ids[0]))
        flash(gettext("Payments are given back one at a time: choose just one."), "error")
        return None

    @action("export_chosen", lazy_gettext("Export as CSV"))  # type: ignore[untyped-decorator]
    def export_chosen(self, ids: Sequence[str]) -> Response:
        """The chosen payments, as CSV."""
        return self._as_file(self._chosen(ids))

    def state_name(self, record: Any) -> Any:
        """A payment's state in words."""
        return _STATES[State(record.state)]

    def _export_csv(self, return_url: str) -> Response:
        """What the list's filters and search find, the newest first, as CSV."""
        return self._as_file(islice(self._found(), self.export_max_rows or None))

    def _found(self) -> Iterator[Any]:
        """Read it a batch at a time, as many as there may be, each with what it gives back."""
        chosen = self._get_list_extra_args()
        _, query = self.get_list(
            0, None, None, chosen.search, chosen.filters, execute=False, page_size=0
        )
        model = self.model
        query = query.order_by(None).order_by(model.id.desc())
        batch = query.limit(EXPORT_BATCH).all()
        while batch:
            keys = {record.original_id for record in batch if record.original_id is not None}
            # Referred to, so that the session does not forget them before they are looked at.
            originals = keys and self.get_query().filter(model.id.in_(keys)).all()
            yield from batch
            last = batch[-1].id
            del originals, batch
            batch = query.filter(model.id < last).limit(EXPORT_BATCH).all()

    def _as_file(self, records: Iterable[Any]) -> Response:
        def lines() -> Iterator[str]:
            columns = [*self._export_columns, ("time_zone", gettext("Time zone"))]
            before_cents = point()
            yield "\ufeff" + csv_lines([[str(title) for _name, title in columns]], before_cents)
            for record in records:
                cells = (self.get_export_value(record, name) for name, _title in columns)
                yield csv_lines([cells], before_cents)

        name = secure_filename(self.get_export_name(export_type="csv"))
        return Response(
            stream_with_context(lines()),
            mimetype="text/csv",
            headers={"Content-Disposition": f"attachment; filename={name}"},
        )
