"""One fire run: gateways, databases and processes, and what is done to them."""

from __future__ import annotations

import contextlib
import json
import random
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import trustme
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN

from .apps import DATABASES_OF, PORTS
from .faults import PlannedScenarios
from .processes import Orders, Process
from .report import Damage, Remains, report
from .services import FRAMEWORKS, connect, make_database, make_due, records_of

_REVERSED_EVERY = 25
console = Console(width=110)


class Run:
    """One run.

    Args:
        orders: what its processes are told.
        payments: how many are made.
        kill_every: seconds between two kills, on average.
    """

    def __init__(self, orders: Orders, payments: int, kill_every: float) -> None:
        self._orders = orders
        self._payments = payments
        self._kill_every = kill_every
        self._killed = self._dropped = self._forged = 0
        self._done: set[int] = set()
        self._changed = threading.Condition()
        self._simulators: dict[str, Simulator] = {}
        self._faults = {framework: PlannedScenarios(orders.seed) for framework in FRAMEWORKS}

    def go(self) -> bool:
        """Burn, then count; whether all is as it should be."""
        _make_certificate(self._orders.directory)
        with contextlib.ExitStack() as stack:
            for framework in FRAMEWORKS:
                self._simulators[framework] = stack.enter_context(self._gateway(framework))
                make_database(framework, self._orders.directory)
            started = time.monotonic()
            self._burn()
            burnt = time.monotonic() - started
            self._settle()
            self._give_back()
            self._settle()
            return report(console, self._damage(burnt), self._remains())

    def _damage(self, burnt: float) -> Damage:
        return Damage(
            self._payments, self._orders.seed, burnt, self._killed, self._dropped, self._forged
        )

    def _remains(self) -> dict[str, Remains]:
        return {
            framework: Remains(
                simulator.ledger,
                self._orders.directory / framework / "signals.log",
                self._faults[framework].met,
            )
            for framework, simulator in self._simulators.items()
        }

    @contextlib.contextmanager
    def _gateway(self, framework: str) -> Iterator[Simulator]:
        with Simulator(self._orders.directory / framework) as simulator:
            simulator.scenarios = self._faults[framework]
            simulator.callbacks.retry_delays = (0.5, 1.0)
            simulator.response_url = f"https://127.0.0.1:{PORTS[framework]}/mpesa/callback/{TOKEN}/"
            yield simulator

    def _burn(self) -> None:
        stop = threading.Event()
        servers = [Process(self._orders, "serve", framework) for framework in FRAMEWORKS]
        reconcilers = [
            Process(self._orders, r, f) for f in FRAMEWORKS for r in ("reconcile", "celery")
        ]
        payers = [
            Process(
                self._orders,
                "pay",
                FRAMEWORKS[k % 2],
                set(range(k, self._payments, 4)),
                self._note_made,
            )
            for k in range(4)
        ]
        rng = random.Random(f"{self._orders.seed}/kills")
        hands = [
            threading.Thread(target=work, args=(stop, rng, [*servers, *reconcilers, *payers]))
            for work in (self._kill, self._drop, self._forge)
        ]
        for hand in hands:
            hand.start()
        self._show_progress()
        for payer in payers:
            payer.join()
        stop.set()
        for hand in hands:
            hand.join()
        for simulator in self._simulators.values():
            simulator.callbacks.drain(120)
        for worker in [*reconcilers, *servers]:
            worker.stop()

    def _note_made(self, number: int) -> None:
        """A process has made a payment."""
        with self._changed:
            self._done.add(number)
            self._changed.notify_all()

    def _show_progress(self) -> None:
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("payments", total=self._payments)
            with self._changed:
                while len(self._done) < self._payments:
                    self._changed.wait(1)
                    progress.update(task, completed=len(self._done))

    def _kill(self, stop: threading.Event, rng: random.Random, workers: list[Process]) -> None:
        while not stop.wait(rng.uniform(0.5, 1.5) * self._kill_every):
            rng.choice(workers).kill()
            self._killed += 1

    def _drop(self, stop: threading.Event, rng: random.Random, workers: list[Process]) -> None:
        """Drop a database connection now and then."""
        while not stop.wait(rng.uniform(0.5, 2)):
            with connect("postgres") as connection:
                rows = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = ANY(%s)",
                    [list(DATABASES_OF.values())],
                ).fetchall()
                if rows:
                    (pid,) = rng.choice(rows)
                    connection.execute("SELECT pg_terminate_backend(%s)", [pid])
                    self._dropped += 1

    def _forge(self, stop: threading.Event, rng: random.Random, workers: list[Process]) -> None:
        """Post what a stranger, or somebody who found the token, might."""
        while not stop.wait(0.3):
            framework = rng.choice(FRAMEWORKS)
            entries = self._simulators[framework].ledger.transactions()[-50:]
            if len(entries) < 2:
                continue
            one, other = rng.sample(entries, 2)
            body = {
                "input_OriginalConversationID": one.conversation_id,
                "input_ThirdPartyReference": other.third_party_reference,
                "input_TransactionID": "FORGED1",
                "input_ResultCode": rng.choice(("0", "INS-6")),
                "input_ResultDesc": "forged",
            }
            token = rng.choice((TOKEN, "x" * len(TOKEN)))
            if token != TOKEN:
                body["input_ThirdPartyReference"] = one.third_party_reference
            _post(f"https://127.0.0.1:{PORTS[framework]}/mpesa/callback/{token}/", body)
            self._forged += 1

    def _settle(self) -> None:
        """Let reconcile find out what is still open, without waiting for its hours."""
        for framework in FRAMEWORKS:
            worker = Process(self._orders, "reconcile", framework)
            deadline = time.monotonic() + 180
            try:
                while make_due(framework):
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.5)
            finally:
                worker.stop()

    def _give_back(self) -> None:
        """Reverse some of what was paid, in part or in full, with the same faults."""
        servers = [Process(self._orders, "serve", framework) for framework in FRAMEWORKS]
        for framework in FRAMEWORKS:
            lines = []
            for record in records_of(framework):
                if record.operation == "c2b" and record.state == "completed":
                    part = record.amount if record.pk % 2 else (record.amount / 2)
                    amount = max(part.quantize(Decimal("0.01")), Decimal("0.01"))
                    if record.pk % _REVERSED_EVERY == 0:
                        lines.append(f"{record.transaction_id} {amount}\n")
            command = [sys.executable, "-m", "tests.fire.worker", "reverse", framework,
                       str(self._orders.directory), "--seed", str(self._orders.seed)]  # fmt: skip
            subprocess.run(
                command, input="".join(lines), text=True, check=True, stderr=self._orders.log
            )
            self._simulators[framework].callbacks.drain(60)
        for server in servers:
            server.stop()


def _make_certificate(directory: Path) -> None:
    chain = trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem
    (directory / "endpoint.pem").write_bytes(chain.bytes())


def _post(url: str, body: dict[str, str]) -> None:
    context = ssl._create_unverified_context()
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    # Its server may have just been killed.
    with contextlib.suppress(OSError, urllib.error.URLError):
        urllib.request.urlopen(request, timeout=5, context=context).close()
