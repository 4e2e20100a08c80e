"""For a process of its own whose threads all pay one order at once, with those of others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from mpesa_integrations import MpesaConfig
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.settings.account import AccountSettings

from .backends import backend_at
from .conftest import Heard

THREADS = 8


class Barrier(Protocol):
    def wait(self, timeout: float) -> int: ...


def pay(kind: str, where: str, state_dir: Path, together: Barrier) -> None:
    """Pay by eight threads once all of every process are there; prints which record each got."""
    config = MpesaConfig.from_account_file(state_dir / "account.json")
    backend = backend_at(kind, where)
    payments: Payments[Any, Any] = Payments(
        "default", AccountSettings(config=config), backend.store(), Heard()
    )

    def pay_as(number: int) -> Any:
        together.wait(timeout=60)
        try:
            return payments.c2b(
                msisdn=f"2588412345{number:02}", amount=150, order="ORDER-7", reference="ORDER 7"
            )
        finally:
            backend.done()

    with ThreadPoolExecutor(THREADS) as pool:
        for record in pool.map(pay_as, range(THREADS)):
            print(record.pk, record.third_party_reference)
    payments.client.close()
