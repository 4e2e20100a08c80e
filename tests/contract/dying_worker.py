"""For a process of its own that reconciles, and dies inside a handler or right after it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mpesa_integrations import MpesaConfig
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.handlers import Handlers
from mpesa_integrations.core.settings.account import AccountSettings

from .backends import backend_at
from .worker import Printing

DIED = 9


def _die(*args: Any) -> None:
    os._exit(DIED)


def die(kind: str, where: str, state_dir: Path, when: str) -> None:
    backend = backend_at(kind, where)
    store: Any = backend.store()
    handlers = Handlers()

    @handlers.register("payment_completed", name="ship")
    def ship(payment: Any) -> None:
        backend.write(payment, "ship")
        if when == "inside":
            _die()

    if when == "before the commit":
        call = handlers.call
        handlers.call = lambda *args: _die(call(*args))  # type: ignore[method-assign]
    elif when == "after the commit":
        run = store.run_handler
        store.run_handler = lambda *args: _die(run(*args))
    config = MpesaConfig.from_account_file(state_dir / "account.json")
    settings = AccountSettings(config=config)
    payments: Payments[Any, Any] = Payments("default", settings, store, Printing(), handlers)
    payments.reconcile()
