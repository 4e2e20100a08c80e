"""A view for Flask-Admin of the callbacks as they arrived, with an action to decide them anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from flask import flash
from flask_admin.actions import action
from flask_admin.contrib.sqla import ModelView
from flask_admin.form import SecureForm
from markupsafe import Markup

from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.readable_body import readable_body
from mpesa_integrations.core.payments.records import MAY_BE_APPLIED_AGAIN, Verdict
from mpesa_integrations.core.payments.timeline import callback_story

from .admin import TransactionView, badge
from .admin_texts import error_text, gettext, language, lazy_gettext, moment
from .current import accounts_of_current_app
from .history_view import PaymentsRowsView, payment_of, payment_reference, read_anew

_VERDICTS = {
    Verdict.RECEIVED: lazy_gettext("Received"),
    Verdict.APPLIED: lazy_gettext("Applied"),
    Verdict.REPEATED: lazy_gettext("Known before"),
    Verdict.EARLY: lazy_gettext("Early"),
    Verdict.UNCONFIRMED: lazy_gettext("Not confirmed"),
    Verdict.CONFLICT: lazy_gettext("Contradicts"),
    Verdict.UNMATCHED: lazy_gettext("No such payment"),
    Verdict.MISMATCHED: lazy_gettext("Another conversation"),
    Verdict.UNREADABLE: lazy_gettext("Unreadable"),
    Verdict.FAILED: lazy_gettext("Could not be applied"),
}
_GOOD, _BAD, _OPEN = ("#d1f0d9", "#0b5223"), ("#f8d7da", "#6d1220"), ("#d6e6ff", "#0b3a75")
_COLOURS = {
    Verdict.APPLIED: _GOOD,
    Verdict.REPEATED: _GOOD,
    Verdict.RECEIVED: _OPEN,
    Verdict.EARLY: _OPEN,
    Verdict.UNCONFIRMED: _OPEN,
}


def _badge(view: Any, context: Any, entry: Any, name: str) -> Markup:
    verdict = Verdict(entry.verdict)
    return badge(_VERDICTS[verdict], *_COLOURS.get(verdict, _BAD))


def _story(view: Any, context: Any, entry: Any, name: str) -> str:
    story = callback_story(entry.verdict, entry.received_at, payment_of(entry), moment)
    return story.in_language(language())


def _body(view: Any, context: Any, entry: Any, name: str) -> Markup:
    """The body as text, without phone numbers and the account's secrets."""
    options = partial(accounts_of_current_app().options, entry.account)
    text = readable_body(bytes(entry.body), options).in_language(language())
    style = "white-space:pre-wrap;overflow-wrap:anywhere"
    return Markup('<pre style="{}">{}</pre>').format(style, text)


class CallbackView(PaymentsRowsView, ModelView):  # type: ignore[misc] # Flask-Admin is not typed
    """Callbacks as they arrived, to look at.

    Attributes:
        can_apply_again: whether those who may see the view may have callbacks decided anew; True,
            False, or a property that decides by the user.
    """

    can_apply_again: Any = False
    # Actions may move payments on: they need a token that only our own pages have.
    form_base_class: type[Any] = SecureForm
    column_list: Sequence[str] = (
        "received_at", "verdict", "what_happened", "third_party_reference", "remote_address"
    )  # fmt: skip
    column_details_list: Sequence[str] = (
        "received_at", "verdict", "what_happened", "account", "remote_address",
        "third_party_reference", "conversation_id", "transaction_key", "body",
    )  # fmt: skip
    column_labels: ClassVar[dict[str, Any]] = {
        "account": lazy_gettext("Account"),
        "body": lazy_gettext("Body"),
        "conversation_id": lazy_gettext("Conversation ID"),
        "received_at": lazy_gettext("Received"),
        "remote_address": lazy_gettext("From"),
        "third_party_reference": lazy_gettext("Third-party reference"),
        "transaction_key": lazy_gettext("Payment"),
        "verdict": lazy_gettext("Verdict"),
        "what_happened": lazy_gettext("What happened"),
    }
    column_default_sort: Any = ("id", True)
    column_sortable_list: Sequence[str] = ("received_at",)
    column_searchable_list: Sequence[str] = ("third_party_reference", "conversation_id")
    column_filters: Sequence[str] = ("verdict", "account", "received_at")
    column_choices: ClassVar[dict[str, Any]] = {
        "verdict": [(verdict.value, name) for verdict, name in _VERDICTS.items()]
    }
    column_formatters: ClassVar[dict[str, Any]] = {"verdict": _badge, "what_happened": _story}
    column_formatters_detail: ClassVar[dict[str, Any]] = {
        **column_formatters, "transaction_key": payment_reference, "body": _body
    }  # fmt: skip
    column_type_formatters: ClassVar[dict[Any, Any]] = TransactionView.column_type_formatters
    column_type_formatters_detail: ClassVar[dict[Any, Any]] = column_type_formatters

    def is_action_allowed(self, name: str) -> bool:
        """To apply them again needs a right of its own."""
        allowed = name != "apply_again" or self.can_apply_again
        return super().is_action_allowed(name) and bool(allowed)

    @action(  # type: ignore[untyped-decorator]
        "apply_again", lazy_gettext("Apply again"), lazy_gettext("Decide these callbacks anew?")
    )
    def apply_again(self, ids: Sequence[str]) -> None:
        """Have the chosen callbacks decided anew, the oldest first, and tell what came of them."""
        for entry in sorted(filter(None, map(self.get_one, ids)), key=lambda each: each.id):
            name, account = entry.third_party_reference or entry.id, entry.account
            try:
                payments = accounts_of_current_app()[account]
                verdict = payments.apply_callback_again(entry.id)
            except Exception as error:  # noqa: BLE001 - the others go on
                log_failure("callback.not_applied", error, account=account)
                flash(f"{name}: {error_text(error)}", "error")
                continue
            read_anew(entry)
            if verdict is None:
                told = gettext("there is nothing to apply: it was, or it cannot be read")
                flash(f"{name}: {told}", "info")
                continue
            level = "error" if verdict in MAY_BE_APPLIED_AGAIN else "success"
            flash(f"{name}: {_VERDICTS[verdict]}", level)
