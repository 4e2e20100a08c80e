"""A developer's phone number: the last step of the first sign-in, confirmed by a code.

The code is sent to nobody: the customers' page shows it, as it shows all phones of this gateway.
"""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from .fields import phone_problem, to_msisdn
from .people import inside, lead_to
from .store import Store
from .users import CODE_TRIES

# What the step itself needs, and what may be had before it.
_BEFORE = {
    "portal.phone", "portal.send_code", "portal.confirm_phone", "portal.customers",
    "portal.customers_live", "portal.sign_out", "portal.language", "portal.outbox",
    "portal.static",
}  # fmt: skip


def ask_for_phone() -> AnyResponse | None:
    """Send somebody whose phone is not confirmed to that step, from any page but those it needs."""
    if g.user.phone_confirmed or request.endpoint in _BEFORE:
        return None
    return lead_to("portal.phone")


def add_pages(blueprint: Blueprint, store: Store) -> None:
    """Add the page for the phone number, and the text message on the customers' page."""
    users = store.users

    def page(problems: dict[str, str] | None = None) -> str:
        sent = users.phone_code(g.user)
        return render_template("phone.html", sent=sent, problems=problems or {})

    @blueprint.context_processor
    def _text_message() -> dict[str, object]:
        return {"text_message": lambda: users.phone_code(g.user) if g.get("user") else None}

    @blueprint.get("/phone")
    def phone() -> str:
        return page()

    @blueprint.post("/phone/code")
    def send_code() -> AnyResponse | tuple[str, int]:
        number = request.form.get("phone", "")
        problem = phone_problem(number)
        if problem:
            return page({"phone": problem}), 400
        users.send_code(g.user, to_msisdn(number))
        return redirect(url_for("portal.phone", next=request.form.get("next") or None))

    @blueprint.post("/phone/confirm")
    def confirm_phone() -> AnyResponse | tuple[str, int]:
        if not users.confirm_phone(g.user, request.form.get("code", "").strip()):
            problem = gettext(
                "This is not the code that was sent, or no longer good: a code has six digits and "
                "%(count)s tries. Read it on the Customers page, or have another sent.",
                count=CODE_TRIES,
            )
            return page({"code": problem}), 400
        flash(gettext("Your phone number is confirmed."))
        return redirect(inside(request.form.get("next")))
