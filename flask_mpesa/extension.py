"""`Mpesa`, the extension: it reads an app's settings, checks them, and sets the app up.

No app's state is kept on it; that is in `current`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.registry import DEFAULT, Accounts
from mpesa_integrations.core.redaction import HideSecretsInLog, hide_secrets
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.core.settings.account_checks import check_account, check_callback_tokens
from mpesa_integrations.core.settings.client import KEY_PREFIX

from .callbacks import callback_blueprint, exempt_from_csrf
from .cli import mpesa_cli
from .current import accounts_of_current_app, is_set_up, keep_in_app
from .memory_store import MemoryStore
from .notifier import SignalNotifier

if TYPE_CHECKING:
    from .sqlalchemy.records import Records

    _Accounts = Accounts[Any, Any]
else:
    _Accounts = object

logger = logging.getLogger("mpesa_integrations")

_HIDE_SECRETS = HideSecretsInLog()
_OWN_DEFAULTS: dict[str, Any] = {
    "MPESA_ACCOUNTS": {},
    "MPESA_CALLBACK_PATH": "/mpesa/callback",
}


class Mpesa(_Accounts):
    """Recorded M-Pesa payments for Flask apps.

    `mpesa.c2b(...)` and the other calls are the default account's, in the current app;
    `mpesa["payouts"]` is another account's.

    Args:
        app: the app; or leave it out, and call `init_app`.
        records: where payments are recorded; without, nothing is.

    Attributes:
        blueprint: the callback endpoint, to be registered by yourself where MPESA_CALLBACK_PATH
            is None.
    """

    def __init__(self, app: Flask | None = None, *, records: Records | None = None) -> None:
        self.blueprint: Blueprint = callback_blueprint()
        self._records = records
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, *, records: Records | None = None) -> None:
        """Set up an app: check its settings, register the callback endpoint and the commands.

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
        accounts: Accounts[Any, Any] = Accounts(
            partial(_options, app), partial(_build, app, records)
        )
        _check(app, accounts)
        _check_records(app, records)
        keep_in_app(app, accounts, records)
        path = app.config["MPESA_CALLBACK_PATH"]
        if path is not None:
            app.register_blueprint(self.blueprint, url_prefix=path)
        exempt_from_csrf(app)
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

    def __getitem__(self, alias: str) -> Payments[Any, Any]:
        """An account's payments, in the current app.

        Raises:
            ConfigurationError: there is no such account.
            RuntimeError: there is no current app, or it was not set up.
        """
        return accounts_of_current_app()[alias]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(accounts_of_current_app(), name)


def _options(app: Flask) -> Mapping[str, Mapping[str, Any]]:
    """Each account's settings by its name: MPESA_ACCOUNTS, and the MPESA_… keys as the default."""
    accounts: dict[str, Mapping[str, Any]] = dict(app.config["MPESA_ACCOUNTS"])
    hide_secrets(app.config, prefix=KEY_PREFIX)
    for options in accounts.values():
        hide_secrets(options)
    flat = {
        key.removeprefix(KEY_PREFIX): value
        for key, value in app.config.items()
        if key.startswith(KEY_PREFIX) and key not in _OWN_DEFAULTS
    }
    if DEFAULT not in accounts:
        return {DEFAULT: flat, **accounts}
    if flat:
        raise ConfigurationError(
            f"MPESA_{next(iter(flat))} is set, and MPESA_ACCOUNTS has a default account: "
            "keep one of them",
            setting="MPESA_ACCOUNTS",
        )
    return accounts


def _build(
    app: Flask, records: Records | None, alias: str, settings: AccountSettings
) -> Payments[Any, Any]:
    store: Any = MemoryStore(alias) if records is None else records.store(alias)
    return Payments(alias, settings, store, SignalNotifier(app, store))


def _check(app: Flask, accounts: Accounts[Any, Any]) -> None:
    """Refuse an account whose settings are wrong, and log what is doubtful about them."""
    production = not (app.debug or app.testing)
    found: dict[str, AccountSettings] = {}
    for alias in accounts:
        try:
            found[alias] = accounts[alias].settings
        except ConfigurationError as error:
            name = error.setting.upper().removeprefix(KEY_PREFIX)
            where = f"{KEY_PREFIX}{name}" if alias == DEFAULT else f"MPESA_ACCOUNTS[{alias!r}]"
            raise ConfigurationError(f"{where}: {error}", setting=error.setting) from error
    faults = [
        *(
            fault
            for alias, settings in found.items()
            for fault in check_account(alias, settings, in_production=production)
        ),
        *check_callback_tokens(found),
    ]
    for fault in faults:
        if fault.serious:
            raise ConfigurationError(f"{fault.text} {fault.hint}", setting="MPESA")
        logger.warning("config.doubtful %s %s", fault.text, fault.hint)


def _check_records(app: Flask, records: Records | None) -> None:
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
