"""`Mpesa`, the extension: it reads an app's settings, checks them, and sets the app up.

No app's state is kept on it; that is in `current`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flask import Blueprint, Flask, current_app

from mpesa_integrations.background import check_task_queue, enqueue_sending
from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.handlers import H, Handlers
from mpesa_integrations.core.payments.registry import DEFAULT, Accounts
from mpesa_integrations.core.payments.status_tokens import StatusTokens
from mpesa_integrations.core.redaction import HideSecretsInLog, hide_secrets
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.core.settings.account_checks import refuse_serious
from mpesa_integrations.core.settings.client import KEY_PREFIX
from mpesa_integrations.core.settings.loader import AccountSource, GivenAccounts
from mpesa_integrations.signals.notifier import Application, SignalNotifier

from .callbacks import callback_blueprint, exempt_from_csrf
from .cli import mpesa_cli
from .current import accounts_of_current_app, is_set_up, keep_in_app
from .login_walls import log_what_is_kept_out, public_endpoints
from .memory_store import MemoryStore
from .status import secret_keys, status_blueprint, status_path

if TYPE_CHECKING:
    # SQLAlchemy is loaded by apps that use it only.
    from mpesa_integrations.sqlalchemy.models import P
    from mpesa_integrations.sqlalchemy.records import Records

    class _Accounts(Accounts[P, Any]):
        """For a type checker, the extension has the accounts' calls."""

else:
    P = TypeVar("P")

    class _Accounts(Generic[P]):
        """The calls are looked up on the current app's accounts."""


logger: logging.Logger = logging.getLogger("mpesa_integrations")

_HIDE_SECRETS = HideSecretsInLog()
_Stores = Callable[[str], Any]
_ACCOUNTS = "MPESA_ACCOUNTS"
_OWN_DEFAULTS: dict[str, Any] = {
    _ACCOUNTS: {},
    "MPESA_CALLBACK_PATH": "/mpesa/callback",
    "MPESA_STATUS_PATH": "/mpesa/status",
}


class Mpesa(_Accounts[P]):
    """Recorded M-Pesa payments for Flask apps.

    `mpesa.c2b(...)` and the other calls are the default account's, in the current app;
    `mpesa["payouts"]` is another account's. To a type checker it is `Mpesa[Payment]`, by the model
    of the records, so that the calls give your own payments.

    Args:
        app: the app; or leave it out, and call `init_app`.
        records: where payments are recorded; without, nothing is.

    Attributes:
        blueprint: the callback endpoint, to be registered by yourself where MPESA_CALLBACK_PATH
            is None.
        status_blueprint: the page at which a browser asks where a payment stands, likewise, for
            MPESA_STATUS_PATH.
    """

    def __init__(self, app: Flask | None = None, *, records: Records[P] | None = None) -> None:
        self.blueprint: Blueprint = callback_blueprint()
        self.status_blueprint: Blueprint = status_blueprint()
        self._records = records
        self._handlers = Handlers(_as_sync)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, *, records: Records[P] | None = None) -> None:
        """Set up an app: check its settings, register its addresses and the commands.

        Args:
            app: the app, its configuration loaded.
            records: where this app's payments are recorded; None means those given to `Mpesa`.

        Raises:
            ConfigurationError: a setting is missing or wrong, the app was set up before, or the
                records' engine has one connection for everybody.
        """
        if is_set_up(app):
            raise ConfigurationError("this app has an Mpesa extension already", setting="MPESA")
        records = records or self._records
        if records is not None:
            records.check_models()
        for name, value in _OWN_DEFAULTS.items():
            app.config.setdefault(name, value)
        # One in memory for each account, also where that is built anew.
        stores: _Stores = cache(MemoryStore) if records is None else records.store
        accounts: Accounts[Any, Any] = Accounts(
            partial(_source, app, AccountSource(lambda: app.config[_ACCOUNTS], _ACCOUNTS)),
            partial(_build, app, stores, self._handlers),
            self._handlers,
            status_tokens=StatusTokens(partial(secret_keys, app)),
            status_path=partial(status_path, app),
            records=stores,
        )
        settings = _read_settings(accounts)
        doubts = refuse_serious(settings, in_production=not (app.debug or app.testing))
        _check_records(app, records)
        # A site may make its Celery app after this.
        keep_in_app(app, accounts, records, lambda: [*doubts, *check_task_queue(settings)])
        for blueprint, path in (
            (self.blueprint, app.config["MPESA_CALLBACK_PATH"]),
            (self.status_blueprint, app.config["MPESA_STATUS_PATH"]),
        ):
            if path is not None:
                app.register_blueprint(blueprint, url_prefix=path)
        exempt_from_csrf(app)
        log_what_is_kept_out(app)
        # They name the callback's path: the app's for one that a hook of its own ended, the
        # development server's for each.
        for logger in (app.logger, logging.getLogger("werkzeug")):
            logger.addFilter(_HIDE_SECRETS)
        app.cli.add_command(mpesa_cli)
        if records is None:
            warnings.warn(
                "Mpesa has no records: nothing is written down, so that after a crash or a restart "
                "outcomes can be lost and signals can come twice. Give it records=Records(...)",
                UserWarning,
                stacklevel=3,
            )

    @property
    def public_endpoints(self) -> frozenset[str]:
        """The current app's endpoints that strangers must be let in to: callback and status page.

        For a `before_request` that asks for a sign-in: `if request.endpoint in
        mpesa.public_endpoints: return None`.
        """
        return public_endpoints(current_app)

    def __getitem__(self, alias: str) -> Payments[P, Any]:
        """An account's payments, in the current app.

        Raises:
            ConfigurationError: there is no such account.
            RuntimeError: there is no current app, or it was not set up.
        """
        return accounts_of_current_app()[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(accounts_of_current_app())

    def __contains__(self, alias: object) -> bool:
        return alias in accounts_of_current_app()

    def handler(self, signal: object, *, name: str | None = None) -> Callable[[H], H]:
        """Register a durable handler, before or after `init_app`; see `Accounts.handler`."""
        return self._handlers.register(signal, name=name)

    if not TYPE_CHECKING:
        # A checker has the calls from the base, and so sees which name is none.
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            return getattr(accounts_of_current_app(), name)


def _source(app: Flask, source: AccountSource) -> GivenAccounts:
    """Each account's settings by its name, or what loads them.

    They are those of MPESA_ACCOUNTS, and, as the default account's, the MPESA_… keys.
    """
    hide_secrets(app.config, prefix=KEY_PREFIX)
    found = source()
    flat = {
        key.removeprefix(KEY_PREFIX): value
        for key, value in app.config.items()
        if key.startswith(KEY_PREFIX) and key not in _OWN_DEFAULTS
    }
    if isinstance(found, Mapping) and DEFAULT not in found:
        return {DEFAULT: flat, **found}
    if flat:
        other = "has a default account" if isinstance(found, Mapping) else "is an account loader"
        raise ConfigurationError(
            f"MPESA_{next(iter(flat))} is set, and {_ACCOUNTS} {other}: keep one of them",
            setting=_ACCOUNTS,
        )
    return found


def _build(
    app: Flask,
    stores: _Stores,
    handlers: Handlers,
    alias: str,
    settings: AccountSettings,
) -> Payments[Any, Any]:
    store = stores(alias)
    receiving = Application(sender=app, context=app.app_context, as_sync=app.ensure_sync)
    notifier = SignalNotifier(receiving, store)
    enqueue = partial(enqueue_sending, "flask_mpesa.tasks")
    return Payments(alias, settings, store, notifier, handlers, enqueue=enqueue)


def _as_sync(function: Callable[..., Any]) -> Callable[..., Any]:
    return current_app.ensure_sync(function)


def _read_settings(accounts: Accounts[Any, Any]) -> dict[str, AccountSettings]:
    """The settings by the accounts' names; none where a loader gives them, which is asked later.

    Raises:
        ConfigurationError: those of an account are wrong.
    """
    if accounts.loader is not None:
        return {}
    found: dict[str, AccountSettings] = {}
    for alias in accounts:
        try:
            found[alias] = accounts[alias].settings
        except ConfigurationError as error:
            name = error.setting.upper().removeprefix(KEY_PREFIX)
            where = f"{KEY_PREFIX}{name}" if alias == DEFAULT else f"MPESA_ACCOUNTS[{alias!r}]"
            raise ConfigurationError(f"{where}: {error}", setting=error.setting) from error
    return found


def _check_records(app: Flask, records: Records[Any] | None) -> None:
    """Refuse an engine that payments cannot be recorded with, where it is known already."""
    if records is None:
        return
    with app.app_context():
        try:
            records.check()
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - an engine that is known later is refused then
            logger.debug("records.engine_not_known_yet problem=%s", type(error).__name__)
