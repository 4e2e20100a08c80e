"""A view for Flask-Admin of the handlers that are still to be run, with an action to run them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from flask import flash
from flask_admin.actions import action
from flask_admin.contrib.sqla import ModelView
from flask_admin.form import SecureForm
from markupsafe import Markup

from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.handler_runs import Ran

from .admin import TransactionView, badge, lazy_gettext, ngettext
from .admin_texts import error_text
from .current import accounts_of_current_app
from .history_view import PaymentsRowsView, payment_reference

_ATTEMPT = (lazy_gettext("Waits for its next attempt"), "#d6e6ff", "#0b3a75")
_PERSON = (lazy_gettext("Waits for a person"), "#f8d7da", "#6d1220")
_MISSING = (lazy_gettext("No such handler"), "#ffe8b3", "#5c4000")
_RAN = {
    Ran.FAILED: lazy_gettext("failed again"),
    Ran.WAITS: lazy_gettext("waits for the handler of an earlier event"),
    Ran.MISSING: lazy_gettext("no such handler"),
    Ran.UNDER_WAY: lazy_gettext("under way"),
}


def _waits(view: Any, context: Any, entry: Any, name: str) -> Markup:
    if accounts_of_current_app().handlers.find(entry.event, entry.handler) is None:
        return badge(*_MISSING)
    return badge(*(_ATTEMPT if entry.given_up_at is None else _PERSON))


class HandlerView(PaymentsRowsView, ModelView):  # type: ignore[misc] # Flask-Admin is not typed
    """Handlers that are still to be run, to look at; those that are done are not here any more.

    Attributes:
        can_run_again: whether those who may see the view may run them, too; True, False, or a
            property that decides by the user.
    """

    can_run_again: Any = False
    # Actions run what moves goods: they need a token that only our own pages have.
    form_base_class: type[Any] = SecureForm
    column_list: Sequence[str] = (
        "handler", "given_up_at", "transaction_key", "problem", "attempts", "event", "due_at"
    )  # fmt: skip
    column_details_list: Sequence[str] = (*column_list, "account", "sequence", "id")
    column_labels: ClassVar[dict[str, Any]] = {
        "account": lazy_gettext("Account"),
        "attempts": lazy_gettext("Attempts"),
        "due_at": lazy_gettext("Next attempt"),
        "event": lazy_gettext("Event"),
        "given_up_at": lazy_gettext("State"),
        "handler": lazy_gettext("Handler"),
        "problem": lazy_gettext("Problem"),
        "sequence": lazy_gettext("Order"),
        "transaction_key": lazy_gettext("Payment"),
    }
    column_default_sort: Any = "due_at"
    column_sortable_list: Sequence[str] = ("handler", "given_up_at", "event", "due_at")
    column_filters: Sequence[str] = ("given_up_at", "handler", "event", "account")
    column_formatters: ClassVar[dict[str, Any]] = {
        "given_up_at": _waits, "transaction_key": payment_reference
    }  # fmt: skip
    column_formatters_detail: ClassVar[dict[str, Any]] = column_formatters
    column_type_formatters: ClassVar[dict[Any, Any]] = TransactionView.column_type_formatters
    column_type_formatters_detail: ClassVar[dict[Any, Any]] = column_type_formatters

    def get_query(self) -> Any:
        """Handlers, and not the signals that are to be sent."""
        return super().get_query().filter(self.model.handler != "")

    def is_action_allowed(self, name: str) -> bool:
        """To run them needs a right of its own."""
        return super().is_action_allowed(name) and bool(name != "run_again" or self.can_run_again)

    @action(  # type: ignore[untyped-decorator]
        "run_again", lazy_gettext("Run again"), lazy_gettext("Run these handlers now?")
    )
    def run_again(self, ids: Sequence[str]) -> None:
        """Run the chosen handlers now, and tell what came of them."""
        done = 0
        for entry in filter(None, map(self.get_one, ids)):
            name, event_id = entry.handler, entry.id
            try:
                ran = accounts_of_current_app()[entry.account].run_again(event_id) or Ran.DONE
            except Exception as error:  # noqa: BLE001 - the others go on
                log_failure("handler.not_run", error, handler=name, event_id=event_id)
                flash(f"{name}: {error_text(error)}", "error")
                continue
            if ran is Ran.DONE:
                done += 1
            else:
                flash(f"{name}: {_RAN[ran]}", "error")
        if done:
            flash(ngettext("%(num)d handler was run.", "%(num)d handlers were run.", done))
