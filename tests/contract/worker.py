"""A process of its own that reconciles until nothing is due, and prints what it dispatched."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

from mpesa_integrations import MpesaConfig
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.records import Event, OutboxEntry, Verdict
from mpesa_integrations.core.settings.account import AccountSettings


class Printing:
    def wants(self, event: Event) -> bool:
        return True

    def notify(self, entry: OutboxEntry, record: Any, dispatched: Callable[[], None]) -> None:
        print(f"{entry.event}:{record.third_party_reference}", flush=True)
        dispatched()

    def callback_rejected(self, entry: Any, verdict: Verdict) -> None:
        print(f"rejected:{verdict}")


def main(kind: str, where: str, state_dir: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.settings"
    django.setup()
    from .backends import backend_at

    config = MpesaConfig.from_account_file(Path(state_dir) / "account.json")
    payments: Payments[Any, Any] = Payments(
        "default", AccountSettings(config=config), backend_at(kind, where).store(), Printing()
    )
    payments.reconcile(batch=5, workers=2)
    payments.client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
