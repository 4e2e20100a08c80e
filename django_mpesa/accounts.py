"""`mpesa`: the accounts of the MPESA setting. What they do is core's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.conf import settings

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.handlers import Handlers
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.payments.status_tokens import StatusTokens
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.core.settings.loader import AccountSource

from .threads import run_in_thread

if TYPE_CHECKING:
    from .models import AbstractTransaction, CallbackLog
    from .store import DjangoStore

    # The type checker reads this module before it knows the types of the models' fields.
    DjangoPayments = Payments[AbstractTransaction, CallbackLog]  # type: ignore[type-var]
    DjangoAccounts = Accounts[AbstractTransaction, CallbackLog]  # type: ignore[type-var]


account_source: AccountSource = AccountSource(lambda: getattr(settings, "MPESA", {}), "MPESA")
"""Gives the MPESA setting: each account's settings by its name, or the account loader."""


def hide_settings() -> None:
    """Hide what is secret in the MPESA setting; where a loader is named, it is not made yet."""
    if isinstance(getattr(settings, "MPESA", {}), Mapping):
        account_source()


def on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """Forget the accounts when a test changes their settings."""
    if setting == "MPESA":
        hide_settings()
    if setting in ("MPESA", "MPESA_TRANSACTION_MODEL", "DATABASE_ROUTERS"):
        mpesa.forget()


def _build(alias: str, options: AccountSettings) -> DjangoPayments:
    # Here, since they need the models, and `from django_mpesa import mpesa` may come before those.
    from .background import enqueue_queued
    from .notifier import SignalNotifier
    from .swapping import get_transaction_model

    notifier = SignalNotifier(get_transaction_model())
    return Payments(alias, options, _records(alias), notifier, _handlers, enqueue=enqueue_queued)


def _records(alias: str) -> DjangoStore:
    # Here, for the same reason.
    from .store import DjangoStore

    return DjangoStore(alias)


def _secret_keys() -> list[str | bytes]:
    """The project's SECRET_KEY, and those that were it before."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def _status_path(token: str) -> str:
    # Here, since it loads Django's URLs, and with them its forms and models.
    from .links import status_path

    return status_path(token)


# Not forgotten with the accounts: a module registers its handlers once, when it is imported.
_handlers = Handlers(async_to_sync)
mpesa: DjangoAccounts = Accounts(
    account_source,
    _build,
    _handlers,
    status_tokens=StatusTokens(_secret_keys),
    status_path=_status_path,
    in_thread=run_in_thread,
    records=_records,
)
