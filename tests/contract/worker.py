"""For a process of its own that reconciles until nothing is due, and prints what it dispatched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpesa_integrations import MpesaConfig
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.records import OutboxEntry, Verdict
from mpesa_integrations.core.settings.account import AccountSettings

from .backends import backend_at
from .processes import say


class Printing:
    def wants(self, event: Event) -> bool:
        return True

    def notify(self, entry: OutboxEntry, record: Any, dispatched: Callable[[], None]) -> None:
        say(f"{entry.event}:{record.third_party_reference}")
        dispatched()

    def run(self, handler: str, work: Callable[[], None]) -> None:
        work()

    def handler_failed(self, handler: str, record: Any, event_id: str) -> None:
        say(f"given_up:{handler}")

    def callback_rejected(self, entry: Any, verdict: Verdict) -> None:
        say(f"rejected:{verdict}")


def payments_at(kind: str, where: str, state_dir: Path) -> Payments[Any, Any]:
    """The payments of a process: over this store, at the gateway of this folder."""
    config = MpesaConfig.from_account_file(state_dir / "account.json")
    store = backend_at(kind, where).store()
    return Payments("default", AccountSettings(config=config), store, Printing())


def reconcile(kind: str, where: str, state_dir: Path) -> None:
    payments = payments_at(kind, where, state_dir)
    payments.reconcile(batch=5, workers=2)
    payments.client.close()
