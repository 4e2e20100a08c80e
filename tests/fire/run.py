"""One fire run: gateways, databases and processes, from the first payment to the count."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import trustme
from rich.console import Console

from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter
from tests.support.account import TOKEN

from .faults import PlannedScenarios
from .hands import Hands
from .plan import IN_GIVING_BACK, work
from .processes import Instructions, Process
from .progress import Made
from .report import Damage, Remains, report
from .servers import OwnServer
from .services import make_database, make_due, records_of
from .shops import SHOPS, Place

_REVERSED_EVERY, _ORDERS_REVERSED_EVERY = 25, 3
_SENDERS = ("send", "send")  # of each shop whose processes make payments
_PROCESSES = 2  # of each shop, that have it paid
console = Console(width=110)


class Run:
    """One run.

    Args:
        instructions: what its processes are told.
        payments: how many are made.
        kill_every: seconds between two kills, on average.
        server: the database server, if it is one that may be stopped.
    """

    def __init__(
        self,
        instructions: Instructions,
        payments: int,
        kill_every: float,
        server: OwnServer | None,
    ) -> None:
        self._instructions = instructions
        self._payments = payments
        self._simulators: dict[str, Simulator] = {}
        self._faults = {name: PlannedScenarios(instructions.seed) for name in SHOPS}
        self._hands = Hands(instructions.seed, kill_every, server, self._simulators)

    def go(self) -> bool:
        """Burn, then count; whether all is as it should be."""
        directory = self._instructions.directory
        chain = trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem
        (directory / "endpoint.pem").write_bytes(chain.bytes())
        with contextlib.ExitStack() as stack:
            for shop in SHOPS.values():
                self._simulators[shop.name] = stack.enter_context(self._gateway(shop))
                make_database(shop, directory)
            started = time.monotonic()
            self._burn()
            burnt = time.monotonic() - started
            self._settle()
            self._give_back()
            self._settle()
            return report(console, self._damage(burnt), self._remains())

    def _damage(self, burnt: float) -> Damage:
        hands = self._hands
        return Damage(
            payments=self._payments,
            seed=self._instructions.seed,
            seconds=burnt,
            killed=hands.killed,
            dropped=hands.dropped,
            forged=hands.forged,
            outages=hands.outages if hands.server else None,
        )

    def _remains(self) -> dict[str, Remains]:
        lines = work(self._payments)
        return {
            name: Remains(
                ledger=simulator.ledger,
                directory=self._instructions.directory / name,
                calls=simulator.calls.select(CallFilter(kind="call"), descending=False),
                faults=self._faults[name].met,
                orders=lines[name] if SHOPS[name].sells_orders else (),
            )
            for name, simulator in self._simulators.items()
        }

    @contextlib.contextmanager
    def _gateway(self, shop: Place) -> Iterator[Simulator]:
        with Simulator(self._instructions.directory / shop.name) as simulator:
            simulator.scenarios = self._faults[shop.name]
            simulator.callbacks.retry_delays = (0.5, 1.0)
            simulator.calls.kept = sys.maxsize  # each is counted
            simulator.response_url = f"https://127.0.0.1:{shop.port}/mpesa/callback/{TOKEN}/"
            yield simulator

    def _burn(self) -> None:
        """Have everything paid, with all that is done to it meanwhile."""
        lines = work(self._payments)
        total = sum(map(len, lines.values()))
        made = Made(total)
        servers = self._servers()
        workers = [
            Process(self._instructions, role, shop.name)
            for shop in SHOPS.values()
            for role in (["reconcile", "celery", *_SENDERS] if shop.broker else ["reconcile"])
        ]
        payers = [
            Process(
                self._instructions,
                "buy" if shop.sells_orders else "pay",
                shop.name,
                lines[shop.name][k::_PROCESSES],
                made.add,
            )
            for k in range(_PROCESSES)
            for shop in SHOPS.values()
        ]
        self._hands.begin([*servers, *workers, *payers], made, total)
        made.show(console)
        for payer in payers:
            payer.join()
        self._hands.end()
        for simulator in self._simulators.values():
            simulator.callbacks.drain(120)
        for worker in [*workers, *servers]:
            worker.stop()

    def _servers(self) -> list[Process]:
        return [Process(self._instructions, "serve", name) for name in SHOPS]

    def _settle(self) -> None:
        """Let reconcile find out what is still open, without waiting for its hours."""
        for shop in SHOPS.values():
            worker = Process(self._instructions, "reconcile", shop.name)
            deadline = time.monotonic() + 180
            try:
                while make_due(shop):
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.5)
            finally:
                worker.stop()

    def _give_back(self) -> None:
        """Reverse some of what was paid, with the same faults and processes that die meanwhile."""
        servers = self._servers()
        begun = threading.Event()
        givers = [
            Process(
                self._instructions, "reverse", shop.name, _to_give_back(shop), lambda _: begun.set()
            )
            for shop in SHOPS.values()
        ]
        if self._hands.server is not None and any(giver.is_at_work for giver in givers):
            begun.wait()
            self._hands.be_without(self._hands.server, IN_GIVING_BACK)
        for giver in givers:
            self._hands.kill(giver)
        for giver in givers:
            giver.join()
        for shop in SHOPS.values():
            if shop.sells_orders:
                Process(self._instructions, "come back", shop.name, _given_back(shop)).join()
        for simulator in self._simulators.values():
            simulator.callbacks.drain(60)
        for server in servers:
            server.stop()


def _to_give_back(shop: Place) -> list[str]:
    """What is given back: a line with the transaction's ID, and all or half of the amount."""
    found = []
    every = _ORDERS_REVERSED_EVERY if shop.sells_orders else _REVERSED_EVERY
    for record in records_of(shop):
        paid = record.operation == "c2b" and record.state == "completed"
        if paid and record.pk % every == 0:
            part = record.amount if record.pk % 2 else (record.amount / 2)
            amount = max(part.quantize(Decimal("0.01")), Decimal("0.01"))
            found.append(f"{record.transaction_id} {amount}")
    return found


def _given_back(shop: Place) -> list[str]:
    """The orders of which money is given back."""
    found = records_of(shop)
    originals = {record.original_id for record in found if record.operation == "reversal"}
    return [record.order_key for record in found if record.pk in originals]
