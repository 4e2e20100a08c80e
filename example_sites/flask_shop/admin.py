"""The owner's side of the café, in Flask-Admin, after a sign-in: payments, callbacks, handlers."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from flask import (
    Blueprint,
    Flask,
    current_app,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_admin import Admin, AdminIndexView, expose
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFProtect
from wtforms import PasswordField
from wtforms.validators import DataRequired

from flask_mpesa.admin import TransactionView
from flask_mpesa.callback_view import CallbackView
from flask_mpesa.handler_view import HandlerView

from .models import Payment, PaymentCallback, PaymentOutboxEntry, db

pages = Blueprint("owner", __name__)
_NAME = "owner"


class SignInForm(FlaskForm):  # type: ignore[misc] # Flask-WTF is not typed
    password = PasswordField(_("Password"), [DataRequired(_("Type the password."))])


class _OfTheOwner:
    """What only who signed in sees."""

    def is_accessible(self) -> bool:
        return session.get("signed_in") is True

    def inaccessible_callback(self, name: str, **arguments: Any) -> ResponseReturnValue:
        return redirect(url_for("owner.sign_in"))


class IndexView(_OfTheOwner, AdminIndexView):  # type: ignore[misc] # nor is Flask-Admin
    @expose("/")  # type: ignore[untyped-decorator]
    def index(self) -> ResponseReturnValue:
        """The payments: there is nothing else to begin with."""
        return redirect(url_for("payments.index_view"))


class PaymentView(_OfTheOwner, TransactionView):
    can_reverse = True
    can_resolve = True

    def who(self) -> str:
        return _NAME


class ReceivedView(_OfTheOwner, CallbackView):
    can_apply_again = True


class WorkView(_OfTheOwner, HandlerView):
    can_run_again = True


def mount(app: Flask, csrf: CSRFProtect) -> None:
    """Give an application its owner's side, if it has a password for that.

    Args:
        app: with `SHOP_ADMIN_PASSWORD` in its settings, else nothing is mounted.
        csrf: leaves the views to the token that their own forms have.
    """
    if not app.config["SHOP_ADMIN_PASSWORD"]:
        return
    app.register_blueprint(pages)
    views: tuple[Any, ...] = (
        PaymentView(Payment, db, name=_("Payments"), endpoint="payments"),
        ReceivedView(PaymentCallback, db, name=_("Callbacks"), endpoint="callbacks"),
        WorkView(PaymentOutboxEntry, db, name=_("Handlers"), endpoint="handlers"),
    )
    admin = Admin(app, name="Café Acácia", index_view=IndexView(), csp_nonce_generator=nonce)
    admin.add_views(*views)
    for view in views:
        csrf.exempt(view.blueprint)


@pages.route("/sign-in/", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """Ask for the owner's password."""
    form = SignInForm(request.form)
    if form.validate_on_submit():
        expected = current_app.config["SHOP_ADMIN_PASSWORD"]
        if hmac.compare_digest(form.password.data.encode(), expected.encode()):
            session.clear()
            session["signed_in"] = True
            return redirect(url_for("admin.index"))
        form.password.errors = [gettext("That is not the password.")]
    return render_template("cafe/sign_in.html", form=form)


def nonce() -> str:
    """What the scripts in this request's page are known by."""
    if "nonce" not in g:
        g.nonce = secrets.token_urlsafe(16)
    return str(g.nonce)


def policy() -> str | None:
    """The content security policy of a page of Flask-Admin's; None of any other."""
    if not request.path.startswith("/admin/"):
        return None
    # Its pages have handlers and styles in their elements.
    return (
        f"default-src 'self'; script-src 'self' 'nonce-{nonce()}'; "
        "script-src-attr 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; frame-ancestors 'none'"
    )
