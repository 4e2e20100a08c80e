"""The café's pages."""

from __future__ import annotations

import re
from uuid import UUID

from flask import Blueprint, jsonify, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from .forms import MenuForm, PaymentForm
from .menu import MENU
from .models import STATUS_NAMES, Order, Status, db
from .payments import pay, reason_of
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
    found = _order(token)
    form = PaymentForm()
    if form.validate_on_submit():
        pay(found, attempt=form.attempt.data, msisdn=form.msisdn.data)
        return redirect(url_for(".order", token=token))
    # Of a form that was refused, too, the attempt is the one that is next now.
    form.attempt.process_data(found.attempts + 1)
    form.attempt.raw_data = None
    page = render_template(
        "cafe/order.html", order=found, form=form, reason=reason_of(found), status=_status(found)
    )
    return page, {"Cache-Control": "no-store"}


@pages.get("/orders/<uuid:token>/status/")
def order_status(token: UUID) -> ResponseReturnValue:
    """Where an order stands, for the script of the waiting page."""
    found = _order(token)
    return jsonify(status=found.status, message=_status(found)), {"Cache-Control": "no-store"}


@pages.post("/language/")
def language() -> ResponseReturnValue:
    if request.form.get("language") in LANGUAGES:
        session["language"] = request.form["language"]
    back = request.form.get("next", "")
    # Never to another site.
    return redirect(back if re.fullmatch(r"/([\w-][\w/-]*)?", back) else url_for(".menu"))


def _order(token: UUID) -> Order:
    found: Order = db.first_or_404(db.select(Order).filter_by(token=token))
    return found


def _status(found: Order) -> str:
    return str(STATUS_NAMES[Status(found.status)])
