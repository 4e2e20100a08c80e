"""`make fire`: two shops, killed workers, a gateway that misbehaves; then each centavo counted."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import click
import psycopg
import trustme
from celery import Celery
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN

from . import sabotage
from .apps import ACCOUNT, BROKERS, DATABASES_OF, PORTS, QUEUES, make_tables
from .compare import compare_signals, compare_with_ledger, count_twice_charged
from .faults import FAULTS, QUERY_CUT, PlannedScenarios

FRAMEWORKS = ("django", "flask")
_REPEATED = 10  # payments already made that a restarted worker is given again
_REVERSED_EVERY = 25
_TABLES = {
    "django": ("django_mpesa_transaction", "django_mpesa_outboxentry", "django_mpesa_callbacklog"),
    "flask": ("payment", "payment_outbox_entry", "payment_callback"),
}
_OPEN = "state IN ('initiated', 'pending', 'unknown')"
console = Console(width=110)


class Worker:
    """A process of a shop, started again whenever it ends before its work is done."""

    def __init__(
        self, run: Run, role: str, framework: str, numbers: set[int] | None = None
    ) -> None:
        self.role = role
        self.framework = framework
        self.left = numbers if numbers is not None else set()
        self._made: list[int] = []
        self._run = run
        self._attempt = 0
        self._endless = numbers is None
        self._process: subprocess.Popen[str] | None = None
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_going, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # Celery's has children

    def stop(self) -> None:
        """End it for good."""
        self.stopped.set()
        self.kill()
        self._thread.join()

    def join(self) -> None:
        """Wait until its payments are made."""
        self._thread.join()

    def _keep_going(self) -> None:
        while not self.stopped.is_set() and (self._endless or self.left):
            command = [
                sys.executable, "-m", "tests.fire.worker", self.role, self.framework,
                str(self._run.directory), "--seed", str(self._run.seed),
                "--attempt", str(self._attempt), "--sabotage", self._run.sabotaged,
            ]  # fmt: skip
            self._attempt += 1
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._run.log, text=True, start_new_session=True,
            ) as process:  # fmt: skip
                self._process = process
                self._feed(process)
                for line in process.stdout or ():
                    self.left.discard(int(line))
                    self._made.append(int(line))
                    self._run.made(int(line))

    def _feed(self, process: subprocess.Popen[str]) -> None:
        again = self._made[-_REPEATED:]
        text = "".join(f"{number}\n" for number in [*again, *sorted(self.left)])
        given = process.stdin
        if given is not None:
            with contextlib.suppress(BrokenPipeError), given:
                given.write(text)


class Run:
    """One run: gateways, databases, workers, and what is done to them."""

    def __init__(
        self, directory: Path, payments: int, seed: int, kill_every: float, sabotaged: str
    ) -> None:
        self.directory = directory
        self.payments = payments
        self.seed = seed
        self.kill_every = kill_every
        self.sabotaged = sabotaged
        self.kills = 0
        self.dropped = 0
        self.forged = 0
        self.log: IO[str] = (directory / "workers.log").open("w")
        self._done: set[int] = set()
        self._changed = threading.Condition()
        self.simulators: dict[str, Simulator] = {}

    def made(self, number: int) -> None:
        """A worker has made a payment."""
        with self._changed:
            self._done.add(number)
            self._changed.notify_all()

    def go(self) -> bool:
        """Burn, then count; whether all is as it should be."""
        _make_certificate(self.directory)
        with contextlib.ExitStack() as stack:
            for framework in FRAMEWORKS:
                self.simulators[framework] = stack.enter_context(self._gateway(framework))
                _make_database(framework, self.directory)
            started = time.monotonic()
            self._burn()
            burnt = time.monotonic() - started
            self._settle()
            self._give_back()
            self._settle()
            return self._report(burnt)

    @contextlib.contextmanager
    def _gateway(self, framework: str) -> Iterator[Simulator]:
        with Simulator(self.directory / framework) as simulator:
            simulator.scenarios = PlannedScenarios(self.seed)
            simulator.callbacks.retry_delays = (0.5, 1.0)
            simulator.response_url = f"https://127.0.0.1:{PORTS[framework]}/mpesa/callback/{TOKEN}/"
            yield simulator

    def _burn(self) -> None:
        stop = threading.Event()
        servers = [Worker(self, "serve", framework) for framework in FRAMEWORKS]
        reconcilers = [Worker(self, r, f) for f in FRAMEWORKS for r in ("reconcile", "celery")]
        payers = [
            Worker(self, "pay", FRAMEWORKS[k % 2], set(range(k, self.payments, 4)))
            for k in range(4)
        ]
        rng = random.Random(f"{self.seed}/kills")
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
        for simulator in self.simulators.values():
            simulator.callbacks.drain(120)
        for worker in [*reconcilers, *servers]:
            worker.stop()

    def _show_progress(self) -> None:
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("payments", total=self.payments)
            with self._changed:
                while len(self._done) < self.payments:
                    self._changed.wait(1)
                    progress.update(task, completed=len(self._done))

    def _kill(self, stop: threading.Event, rng: random.Random, workers: list[Worker]) -> None:
        while not stop.wait(rng.uniform(0.5, 1.5) * self.kill_every):
            rng.choice(workers).kill()
            self.kills += 1

    def _drop(self, stop: threading.Event, rng: random.Random, workers: list[Worker]) -> None:
        """Drop a database connection now and then."""
        while not stop.wait(rng.uniform(0.5, 2)):
            with _connect("postgres") as connection:
                rows = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = ANY(%s)",
                    [list(DATABASES_OF.values())],
                ).fetchall()
                if rows:
                    (pid,) = rng.choice(rows)
                    connection.execute("SELECT pg_terminate_backend(%s)", [pid])
                    self.dropped += 1

    def _forge(self, stop: threading.Event, rng: random.Random, workers: list[Worker]) -> None:
        """Post what a stranger, or somebody who found the token, might."""
        while not stop.wait(0.3):
            framework = rng.choice(FRAMEWORKS)
            entries = self.simulators[framework].ledger.transactions()[-50:]
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
            self.forged += 1

    def _settle(self) -> None:
        """Let reconcile find out what is still open, without waiting for its hours."""
        for framework in FRAMEWORKS:
            worker = Worker(self, "reconcile", framework)
            deadline = time.monotonic() + 180
            try:
                while _make_due(framework):
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.5)
            finally:
                worker.stop()

    def _give_back(self) -> None:
        """Reverse some of what was paid, in part or in full, with the same faults."""
        servers = [Worker(self, "serve", framework) for framework in FRAMEWORKS]
        for framework in FRAMEWORKS:
            lines = []
            for record in _records(framework):
                if record.operation == "c2b" and record.state == "completed":
                    part = record.amount if record.pk % 2 else (record.amount / 2)
                    amount = max(part.quantize(Decimal("0.01")), Decimal("0.01"))
                    if record.pk % _REVERSED_EVERY == 0:
                        lines.append(f"{record.transaction_id} {amount}\n")
            command = [sys.executable, "-m", "tests.fire.worker", "reverse", framework,
                       str(self.directory), "--seed", str(self.seed)]  # fmt: skip
            subprocess.run(command, input="".join(lines), text=True, check=True, stderr=self.log)
            self.simulators[framework].callbacks.drain(60)
        for server in servers:
            server.stop()

    def _report(self, burnt: float) -> bool:
        table = Table(
            "", *FRAMEWORKS, title=f"Under fire: {self.payments} payments, seed {self.seed}"
        )
        columns: dict[str, dict[str, object]] = {}
        problems: list[str] = []
        for framework in FRAMEWORKS:
            records = _records(framework)
            ledger = self.simulators[framework].ledger
            differing = compare_with_ledger(records, ledger)
            twice = count_twice_charged(records, ledger)
            wrong, sent, repeats = compare_signals(
                records, self.directory / framework / "signals.log"
            )
            moved = [r for r in records if r.state in ("completed", "reversed", "partly_reversed")]
            columns[framework] = {
                "records": len(records),
                "in the ledger": len(ledger.transactions()),
                "money moved": len(moved),
                "failed or cancelled": len(records) - len(moved),
                "given back": sum(r.operation == "reversal" for r in records),
                "sum of the records": f"{sum(r.amount for r in moved):.2f}",
                "records that differ from the ledger": len(differing),
                "charged twice": len(twice),
                "signals": sent,
                "of them repeated after a crash": repeats,
                "signals missing or sent for nothing": len(wrong),
                "all wallets together": f"{ledger.total():.2f}",
            }
            problems += [f"{framework} {line}" for line in [*differing, *twice, *wrong]]
        for name in columns["django"]:
            table.add_row(name, *(str(columns[framework][name]) for framework in FRAMEWORKS))
        console.print(table)
        console.print(
            f"{self.kills} processes killed, {self.dropped} database connections dropped, "
            f"{self.forged} callbacks forged, in {burnt:.0f} s "
            f"({self.payments / burnt:.0f} payments/s)"
        )
        console.print("Faults: " + ", ".join(f"{n} {r:.0%}" for n, r in FAULTS.items())
                      + f", status queries cut {QUERY_CUT:.0%}", soft_wrap=True)  # fmt: skip
        for line in problems[:40]:
            console.print(f"DIFFERENCE {line}", style="red")
        console.print(f"{len(problems)} differences")
        return not problems


def _records(framework: str) -> list[Any]:
    """All records, read without the library that is being tried."""
    table = _TABLES[framework][0]
    with _connect(DATABASES_OF[framework], row_factory=psycopg.rows.namedtuple_row) as connection:
        return connection.execute(f"SELECT *, id AS pk FROM {table} ORDER BY id").fetchall()


def _make_due(framework: str) -> int:
    """Have everything that is open looked at now; how much that is."""
    payments, outbox, callbacks = _TABLES[framework]
    past = datetime.now(timezone.utc) - timedelta(hours=1)
    with _connect(DATABASES_OF[framework]) as connection:
        left = 0
        for count, change in (
            (
                f"{payments} WHERE {_OPEN}",
                f"UPDATE {payments} SET next_check_at = %s WHERE {_OPEN}",
            ),
            (outbox, f"UPDATE {outbox} SET due_at = %s"),
            (
                f"{callbacks} WHERE verdict = 'received'",
                f"UPDATE {callbacks} SET received_at = %s, next_attempt_at = NULL "
                "WHERE verdict = 'received'",
            ),
        ):
            row = connection.execute(f"SELECT count(*) FROM {count}").fetchone()
            left += row[0] if row else 0
            connection.execute(change, [past])
    return left


def _make_database(framework: str, directory: Path) -> None:
    name = DATABASES_OF[framework]
    with _connect("postgres") as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    make_tables(framework, directory)


def _drop_databases() -> None:
    with _connect("postgres") as connection:
        for name in DATABASES_OF.values():
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _drop_queues() -> None:
    for framework, url in BROKERS.items():
        app = Celery(broker=url)
        with app.connection_for_write() as broker, broker.channel() as channel:
            app.amqp.queues[QUEUES[framework]].bind(channel).delete()


def _connect(database: str, **options: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host="127.0.0.1", user="postgres", dbname=database, autocommit=True, **options
    )


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


@click.command()
@click.option("--payments", default=20_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--kill-every", default=5.0, show_default=True, help="Seconds, on average.")
@click.option("--sabotage", "sabotaged", type=click.Choice(["", *sabotage.WAYS]), default="")
@click.option("--keep", is_flag=True, help="Keep the folder with logs and ledgers.")
def main(payments: int, seed: int, kill_every: float, sabotaged: str, keep: bool) -> None:
    """Make payments while everything breaks; exit code 1 if a centavo or a signal is missing."""
    directory = Path(tempfile.mkdtemp(prefix="mpesa-fire-"))
    logging.getLogger("mpesa_integrations").setLevel(logging.CRITICAL)  # it is all meant
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console.print(f"{payments} payments, seed {seed}, settings {ACCOUNT}", highlight=False)
    run = Run(directory, payments, seed, kill_every, sabotaged)
    right = False
    try:
        right = run.go()
    finally:
        run.log.close()
        _drop_databases()
        _drop_queues()
        if keep or not right:
            console.print(f"Logs and ledgers are in {directory}")
        else:
            shutil.rmtree(directory)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
