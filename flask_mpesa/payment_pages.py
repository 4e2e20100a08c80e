"""The pages of one payment in Flask-Admin: what happened to it, giving it back, deciding of it.

The list of payments is in `admin`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from flask import Blueprint, abort, flash, redirect, request
from flask_admin import expose
from flask_admin.form import SecureForm
from jinja2 import ChoiceLoader, PackageLoader
from sqlalchemy import select
from sqlalchemy.orm import object_session
from wtforms import HiddenField, RadioField, StringField
from wtforms.validators import DataRequired, InputRequired, Length

from mpesa_integrations.core.errors import MpesaError
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.resolutions import decisions, is_undecided
from mpesa_integrations.core.payments.reversals import is_reversible
from mpesa_integrations.core.payments.shown import CHANGED, digest_of, has_changed
from mpesa_integrations.core.payments.timeline import TimelineEntry, timeline
from mpesa_integrations.core.protocol.schemas import parse_amount
from mpesa_integrations.sqlalchemy.sessions import read

from .admin_texts import (
    error_text,
    exported_money,
    gettext,
    language,
    lazy_gettext,
    moment,
    money,
)
from .current import accounts_of_current_app, records_of_current_app
from .history_view import HistoryView, read_anew

_SHOWN = 50
"""How many rows of a kind a page tells of, the newest."""
_DECISIONS = {
    State.COMPLETED: lazy_gettext("The money moved: the statement shows it"),
    State.FAILED: lazy_gettext("No money moved: the statement does not show it"),
    State.CANCELLED: lazy_gettext("It is taken back: nothing is to be sent"),
}


class _ReversalForm(SecureForm):  # type: ignore[misc] # Flask-Admin's base is not typed
    """How much of a payment to give back; sent twice, one form gives back once."""

    key = HiddenField()
    amount = StringField(lazy_gettext("Amount to give back, MZN"))


def _stripped(text: str | None) -> str | None:
    return text.strip() if text else text


class _ResolutionForm(SecureForm):  # type: ignore[misc]
    """What somebody decides of a payment, and on what grounds."""

    state = RadioField(lazy_gettext("What happened"), validators=[InputRequired()])
    note = StringField(
        lazy_gettext("Grounds, as in: statement of 3 May, line 7"),
        filters=[_stripped],
        validators=[
            DataRequired(lazy_gettext("Write on what grounds, as in: statement of 3 May, line 7.")),
            Length(max=150),
        ],
    )
    by = StringField(
        lazy_gettext("Your name"),
        filters=[_stripped],
        validators=[DataRequired(lazy_gettext("Write who decides.")), Length(max=60)],
    )


class PaymentPages(HistoryView):
    """The pages of one payment.

    Attributes:
        can_reverse: whether those who may see the view may reverse payments, too; True, False, or a
            property that decides by the user.
        can_resolve: the same for deciding what became of a payment.
    """

    can_reverse: Any = False
    can_resolve: Any = False
    details_template = "flask_mpesa/payment.html"

    def who(self) -> str:
        """Who looks at the page, to be kept with a decision; "" has the page ask for a name."""
        return ""

    def create_blueprint(self, admin: Any) -> Blueprint:
        """With the templates of these pages."""
        blueprint = super().create_blueprint(admin)
        loaders = (blueprint.jinja_loader, PackageLoader("flask_mpesa", "templates"))
        blueprint.jinja_loader = ChoiceLoader([loader for loader in loaders if loader])
        return blueprint

    def may_reverse(self, record: Any) -> bool:
        """Whether a page offers to give a payment's money back."""
        return bool(self.can_reverse) and is_reversible(record)

    def may_resolve(self, record: Any) -> bool:
        """Whether a page offers to decide what became of a payment."""
        return bool(self.can_resolve) and is_undecided(record)

    def told(self, record: Any) -> list[dict[str, Any]]:
        """What happened to a payment, as its page shows it."""
        return [
            {
                "at": entry.at and moment(entry.at),
                "text": entry.text.in_language(language()),
                "said": entry.said,
                "name": entry.row is not None and self._name_of(entry.row),
                "url": entry.row is not None and self._url_of(entry.row),
            }
            for entry in _entries(record)
        ]

    def render(self, template: str, **values: Any) -> Any:
        """Render a page, with the words of this package."""
        return super().render(template, _=gettext, money=money, moment=moment, **values)

    @expose("/reverse/", methods=("GET", "POST"))  # type: ignore[untyped-decorator]
    def reverse_view(self) -> Any:
        """Ask how much to give back, with what was paid and what is left, and give it back."""
        record = self._payment(bool(self.can_reverse))
        form = _ReversalForm(request.form if request.method == "POST" else None)
        known = self._reversal_of(record, form.key.data)
        if known is None and not self.may_reverse(record):
            flash(gettext("Only a completed payment can be given back."), "error")
            return redirect(self._details(record))
        # A form that was sent before gives its own reversal, by which the payment has changed.
        if known is None and self._has_changed(record):
            return redirect(self.get_url(".reverse_view", id=record.id))
        left = record.amount - record.reversed_amount - record.reversal_pending
        if request.method == "GET":
            form.key.data, form.amount.data = str(uuid.uuid4()), exported_money(left)
        elif form.validate():
            amount = _amount(form, left=left, used=known is not None)
            if amount is not None and self._reversed(record, form, amount):
                return redirect(self._details(record))
        return self.render(
            "flask_mpesa/reverse.html", model=record, form=form, left=left, shown=digest_of(record),
            title=gettext("Give a payment's money back"), back=self._details(record),
        )  # fmt: skip

    @expose("/resolve/", methods=("GET", "POST"))  # type: ignore[untyped-decorator]
    def resolve_view(self) -> Any:
        """Ask what became of a payment, and on what grounds, and write that down."""
        record = self._payment(bool(self.can_resolve))
        if not self.may_resolve(record):
            flash(gettext("There is nothing to decide: the result is final."), "error")
            return redirect(self._details(record))
        if self._has_changed(record):
            return redirect(self.get_url(".resolve_view", id=record.id))
        form = _ResolutionForm(request.form if request.method == "POST" else None)
        if self.who():
            del form.by
        form.state.choices = [
            (state.value, _DECISIONS[state]) for state in decisions(State(record.state))
        ]
        if request.method == "POST" and form.validate() and self._resolved(record, form):
            return redirect(self._details(record))
        return self.render(
            "flask_mpesa/resolve.html", model=record, form=form, shown=digest_of(record),
            title=gettext("Decide what became of a payment"), back=self._details(record),
        )  # fmt: skip

    def state_name(self, record: Any) -> Any:
        """A payment's state in words; `admin` has them."""
        raise NotImplementedError

    def _payment(self, permitted: bool) -> Any:
        if not permitted:
            abort(403)
        record = self.get_one(request.args.get("id", ""))
        if record is None:
            abort(404)
        read_anew(record)  # the shop's session may have it from before
        return record

    def _has_changed(self, record: Any) -> bool:
        """Whether a form is sent that was filled in before the payment changed; then told so."""
        changed = request.method == "POST" and has_changed(record, request.form.get("shown"))
        if changed:
            flash(CHANGED.in_language(language()), "error")
        return changed

    def _details(self, record: Any) -> str:
        return self.get_url(".details_view", id=record.id)

    def _reversal_of(self, record: Any, key: str | None) -> Any:
        """The reversal that a form asked for when it was sent before; None the first time."""
        if not key:
            return None
        found = self.get_query().filter(
            self.model.original_id == record.id, self.model.idempotency_key == key
        )
        return found.first()

    def _reversed(self, record: Any, form: Any, amount: Decimal) -> bool:
        """Give money back; where nothing was sent, the form says why."""
        try:
            reversal = accounts_of_current_app()[record.account].reverse(
                record, amount, idempotency_key=form.key.data
            )
        except MpesaError as error:
            form.amount.errors = [error_text(error)]
            return False
        read_anew(record)
        state = self.state_name(reversal)
        message = gettext(
            "The reversal of %(amount)s MZN is now: %(state)s.", amount=money(amount), state=state
        )
        flash(message, "info")
        return True

    def _resolved(self, record: Any, form: Any) -> bool:
        """Write a decision down; where that is refused, the form says why."""
        by = self.who() or form.by.data
        try:
            accounts_of_current_app()[record.account].resolve(
                record, State(form.state.data), by=by, note=form.note.data
            )
        except MpesaError as error:
            form.note.errors = [error_text(error)]
            return False
        read_anew(record)
        flash(gettext("Your decision was written down."), "success")
        return True

    def _name_of(self, row: Any) -> str:
        is_payment = isinstance(row, self.model)
        return str(row.third_party_reference if is_payment else gettext("look at it"))

    def _url_of(self, row: Any) -> str | None:
        """The page of a row, if there is a view for it that this person may see."""
        for view in self.admin._views:
            if getattr(view, "model", None) is type(row) and view.is_accessible():
                return self.get_url(f"{view.endpoint}.details_view", id=row.id)
        return None


def _entries(record: Any) -> Sequence[TimelineEntry]:
    records: Any = records_of_current_app()
    session: Any = object_session(record)
    payment, callback, outbox = records.transaction, records.callback_log, records.outbox

    def newest(model: Any, which: Any) -> list[Any]:
        found = select(model).where(which).order_by(model.id.desc()).limit(_SHOWN)
        return list(read(session, found))[::-1]

    left = select(outbox).where(outbox.transaction_key == record.id, outbox.handler != "")
    left = left.order_by(outbox.sequence, outbox.due_at).limit(_SHOWN)

    return timeline(
        record,
        moment=moment,
        market=MOZAMBIQUE,
        original=session.get(payment, record.original_id) if record.original_id else None,
        callbacks=newest(callback, callback.transaction_key == record.id),
        reversals=newest(payment, payment.original_id == record.id),
        handlers=list(read(session, left)),
    )


def _amount(form: Any, *, left: Decimal, used: bool) -> Decimal | None:
    """The amount that was typed; None where it is none, which the form then says.

    Args:
        form: the reversal's.
        left: what there is to give back.
        used: whether the form was sent before, so that its amount is none of what is left.
    """
    amount = parse_amount((form.amount.data or "").strip().replace(",", "."))
    if not amount:
        text = gettext("Type an amount of more than 0 with at most 2 decimals, as in 150 or 99.50.")
        form.amount.errors = [text]
        return None
    if amount > left and not used:
        text = gettext(
            "This is too much: at most %(left)s MZN can be given back.", left=money(left)
        )
        form.amount.errors = [text]
        return None
    return Decimal(amount)
