"""Where an app keeps its M-Pesa accounts and records, and how the current app's are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Flask, current_app, has_app_context
from werkzeug.local import LocalProxy

from mpesa_integrations.core.payments.registry import Accounts

if TYPE_CHECKING:
    from .sqlalchemy.records import Records  # SQLAlchemy is loaded by apps that use it only

_EXTENSION = "mpesa"
_RECORDS = "mpesa_records"


def is_set_up(app: Flask) -> bool:
    """Whether the app has accounts already."""
    return _EXTENSION in app.extensions


def keep_in_app(app: Flask, accounts: Accounts[Any, Any], records: Records | None) -> None:
    """Keep an app's accounts and records in the app."""
    app.extensions[_EXTENSION] = accounts
    app.extensions[_RECORDS] = records


def accounts_of_current_app() -> Accounts[Any, Any]:
    """The current app's accounts.

    Raises:
        RuntimeError: there is no current app, or it was not set up.
    """
    if not has_app_context():
        raise RuntimeError(
            "M-Pesa was used outside of an application context, so which app's account is meant is "
            "not known. Use it in a view or command, or inside: with app.app_context():"
        )
    found = current_app.extensions.get(_EXTENSION)
    if found is None:
        raise RuntimeError("This app has no Mpesa extension: call mpesa.init_app(app) first")
    return cast("Accounts[Any, Any]", found)


def records_of_current_app() -> Records | None:
    """The current app's records; None where payments are not recorded."""
    return cast("Records | None", current_app.extensions[_RECORDS])


current_mpesa = cast("Accounts[Any, Any]", LocalProxy(accounts_of_current_app))
"""The current app's accounts, where the extension object is not at hand."""
