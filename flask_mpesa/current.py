"""Where an app keeps its M-Pesa accounts and records, and how the current app's are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, current_app, has_app_context, request_started
from werkzeug.local import LocalProxy

from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.settings.account_checks import SettingsMessage, log_doubtful

if TYPE_CHECKING:
    from mpesa_integrations.sqlalchemy.records import (
        Records,  # SQLAlchemy is loaded by apps that use it only
    )

_EXTENSION = "mpesa"
_RECORDS = "mpesa_records"
_DOUBTS = "mpesa_doubts"


def is_set_up(app: Flask) -> bool:
    """Whether the app has accounts already."""
    return _EXTENSION in app.extensions


def keep_in_app(
    app: Flask,
    accounts: Accounts[Any, Any],
    records: Records[Any] | None,
    doubts: Callable[[], Iterable[SettingsMessage]],
) -> None:
    """Keep in the app its accounts, its records, and what says what is doubtful in its settings."""
    app.extensions[_EXTENSION] = accounts
    app.extensions[_RECORDS] = records
    app.extensions[_DOUBTS] = doubts
    request_started.connect(_on_request, app)


def _on_request(app: Flask, **kwargs: Any) -> None:
    """Say what is doubtful where customers come, and not in each command."""
    request_started.disconnect(_on_request, app)
    if not app.testing:
        log_doubts(app)


def log_doubts(app: Flask) -> None:
    """Log what is doubtful in an app's settings, once."""
    doubts = app.extensions.pop(_DOUBTS, None)  # of two threads, one is given it
    if doubts is not None:
        log_doubtful(doubts())


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


def records_of_current_app() -> Records[Any] | None:
    """The current app's records; None where payments are not recorded."""
    return cast("Records[Any] | None", current_app.extensions[_RECORDS])


current_mpesa: Accounts[Any, Any] = cast("Any", LocalProxy(accounts_of_current_app))
"""The current app's accounts, where the extension object is not at hand."""
