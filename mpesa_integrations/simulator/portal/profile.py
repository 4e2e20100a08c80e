"""The Profile page: a developer's details, and what they sign in with."""

from __future__ import annotations

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.simulator.state import GatewayState

from .fields import (
    SHORTEST_PASSWORD,
    email_problem,
    password_problem,
    text_problem,
    user_name_problem,
)
from .people import begin_session
from .store import Store
from .users import NEW_EMAIL


def add_pages(blueprint: Blueprint, gateway: GatewayState, store: Store) -> None:
    """Add the Profile page and what its forms do."""
    users = store.users

    def page(form: str = "", problems: dict[str, str] | None = None) -> str:
        return render_template(
            "profile.html",
            form=form,
            problems=problems or {},
            shortest=SHORTEST_PASSWORD,
            fixed=g.user.email == store.ready_made.email,
        )

    def problems_of_a_sign_in(**problems: str) -> dict[str, str]:
        """What is wrong in a form that changes what one signs in with, and asks who does."""
        if g.user.email == store.ready_made.email:
            abort(400)  # its page has no such form
        if not users.knows_password(g.user, request.form.get("current_password", "")):
            problems["current_password"] = gettext("This is not your password. Write the one now.")
        return {name: problem for name, problem in problems.items() if problem}

    @blueprint.get("/profile")
    def profile() -> str:
        return page()

    @blueprint.post("/profile/details")
    def save_details() -> AnyResponse | tuple[str, int]:
        given = {name: request.form.get(name, "").strip() for name in ("name", "company")}
        problems = {name: text_problem(text) for name, text in given.items()}
        if any(problems.values()):
            return page("details", problems), 400
        users.describe(g.user, **given)
        flash(gettext("Your details are saved."))
        return redirect(url_for("portal.profile"))

    @blueprint.post("/profile/email")
    def change_email() -> AnyResponse | tuple[str, int]:
        email = request.form.get("email", "")
        problems = problems_of_a_sign_in(email=email_problem(email))
        if problems:
            return page("email", problems), 400
        # The same words for an address that is taken: nobody learns who has an account.
        if users.find(email) is None:
            token = users.new_token(g.user, NEW_EMAIL, email)
            link = f"{gateway.control_url}{url_for('portal.confirm_email', token=token)}"
            store.write_letter(NEW_EMAIL, g.user.id, email, link)
        flash(gettext("Nearly done: open the link in the letter. It is in the outbox."))
        return redirect(url_for("portal.outbox"))

    @blueprint.get("/confirm-email/<token>")
    def confirm_email(token: str) -> AnyResponse:
        if users.change_email(token):
            flash(gettext("The e-mail address is changed."))
        else:
            flash(gettext("This link is no longer good. Ask for another letter."), "problem")
        return redirect(url_for("portal.profile"))

    @blueprint.post("/profile/user-name")
    def change_user_name() -> AnyResponse | tuple[str, int]:
        user_name = request.form.get("user_name", "").strip()
        problems = problems_of_a_sign_in(user_name=user_name_problem(user_name))
        if not problems and not users.rename(g.user, user_name):
            problems = {"user_name": gettext("Somebody has this name. Choose another.")}
        if problems:
            return page("user_name", problems), 400
        flash(gettext("Your user name is saved."))
        return redirect(url_for("portal.profile"))

    @blueprint.post("/profile/password")
    def change_password() -> AnyResponse | tuple[str, int]:
        password = request.form.get("new_password", "")
        problems = problems_of_a_sign_in(new_password=password_problem(password))
        if problems:
            return page("password", problems), 400
        users.set_password(g.user, password)
        changed = users.get(g.user.id)
        if changed is not None:
            begin_session(changed)
        flash(gettext("The password is changed. Sessions elsewhere have ended."))
        return redirect(url_for("portal.profile"))
