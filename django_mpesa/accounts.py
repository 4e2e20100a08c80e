"""`mpesa`: the accounts of the MPESA setting. What they do is core's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.redaction import hide_secrets
from mpesa_integrations.core.settings.account import AccountSettings

if TYPE_CHECKING:
    from .models import AbstractTransaction, CallbackLog

    # The type checker reads this module before it knows the types of the models' fields.
    DjangoPayments = Payments[AbstractTransaction, CallbackLog]  # type: ignore[type-var]
    DjangoAccounts = Accounts[AbstractTransaction, CallbackLog]  # type: ignore[type-var]


def account_options() -> Mapping[str, Mapping[str, Any]]:
    """The MPESA setting: each account's settings by its name, what is secret of them hidden."""
    found: Mapping[str, Mapping[str, Any]] = getattr(settings, "MPESA", {})
    if isinstance(found, Mapping):
        for options in found.values():
            hide_secrets(options)
    return found


def on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """Forget the accounts when a test changes their settings."""
    if setting == "MPESA":
        account_options()
    if setting in ("MPESA", "MPESA_TRANSACTION_MODEL", "DATABASE_ROUTERS"):
        mpesa.forget()


def _build(alias: str, options: AccountSettings) -> DjangoPayments:
    # Here, since they need the models, and `from django_mpesa import mpesa` may come before those.
    from .notifier import SignalNotifier
    from .store import DjangoStore
    from .swapping import get_transaction_model

    notifier = SignalNotifier(get_transaction_model())
    return Payments(alias, options, DjangoStore(alias), notifier)


mpesa: DjangoAccounts = Accounts(account_options, _build)  # type: ignore[type-var]
