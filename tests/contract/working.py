"""For a process of its own that is a worker over a store, and prints what it dispatched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mpesa_integrations.commands import work
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.core.settings.client import settings_in_account_file
from mpesa_integrations.worker.loops import Surroundings
from mpesa_integrations.worker.options import WorkerOptions
from mpesa_integrations.worker.run import Worker

from .backends import backend_at
from .processes import say
from .worker import Printing


def serve(
    kind: str, where: str, state_dir: Path, options: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Work until a signal comes; options as `WorkerOptions`, settings as of an account."""
    backend = backend_at(kind, where)
    found = settings_in_account_file(state_dir / "account.json")
    account = {**found, "TIMEOUT": (5, 60), **settings}

    def build(alias: str, settings: AccountSettings) -> Payments[Any, Any]:
        return Payments(alias, settings, backend.store(alias), Printing())

    worker = Worker(
        Accounts(lambda: {"broken": {"API_KEY": ""}, "default": account}, build),
        options=WorkerOptions(**options),
        around=Surroundings(at_end=backend.done),
        echo=say,
    )
    sys.exit(work(worker))
