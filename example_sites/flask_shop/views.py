"""The café's pages."""

from __future__ import annotations

import re
from uuid import UUID

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from mpesa_integrations import State

from .forms import MenuForm, PaymentForm
from .menu import MENU
from .models import Order, Payment, db, mpesa
from .settings import LANGUAGES

pages = Blueprint("cafe", __name__)


@pages.route("/", methods=["GET", "POST"])
def menu() -> ResponseReturnValue:
    """The menu; a POST writes an order down, which is paid on its own page."""
    form = MenuForm()
    if form.validate_on_submit():
        return redirect(url_for(".order", token=Order.place(form.chosen).token))
    return render_template("cafe/menu.html", menu=MENU, form=form)


@pages.route("/orders/<uuid:token>/", methods=["GET", "POST"])
def order(token: UUID) -> ResponseReturnValue:
    """Where an order stands; a POST asks for the money of what is not paid."""
    found: Order = db.first_or_404(db.select(Order).filter_by(token=token))
    form = PaymentForm()
    if form.validate_on_submit() and form.pay(found):
        return redirect(url_for(".order", token=token))
    payment = mpesa.standing(found.id)
    page = render_template(
        "cafe/order.html",
        order=found,
        form=form,
        payment=payment,
        status=_status(payment),
        message=payment.customer_message(str(get_locale())) if payment else "",
        status_url=mpesa.status_url(payment) if payment else "",
    )
    return page, {"Cache-Control": "no-store"}


@pages.post("/language/")
def language() -> ResponseReturnValue:
    if request.form.get("language") in LANGUAGES:
        session["language"] = request.form["language"]
    back = request.form.get("next", "")
    # Never to another site.
    return redirect(back if re.fullmatch(r"/([\w-][\w/-]*)?", back) else url_for(".menu"))


def _status(payment: Payment | None) -> str:
    """Where an order stands, in a word."""
    if payment is None:
        return "new"
    if payment.is_open:
        in_doubt = payment.state == State.UNKNOWN or payment.stuck_at or payment.conflict
        return "checking" if in_doubt else "waiting"
    if payment.state in (State.FAILED, State.CANCELLED) and not payment.may_retry:
        return "disputed"
    return "returning" if payment.reversal_pending else payment.state
