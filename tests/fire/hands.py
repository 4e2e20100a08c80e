"""What is done to a fire run while it burns, beside what its gateways do to it."""

from __future__ import annotations

import contextlib
import json
import random
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN

from .plan import Outage, outages
from .processes import Process
from .progress import Made
from .servers import OwnServer
from .services import drop_connection, hasten
from .shops import SHOPS


class Hands:
    """Everything that a run's processes, connections and database server meet.

    Args:
        seed: the run's.
        kill_every: seconds between two kills, on average.
        server: the database server, if it is one that may be stopped.
        simulators: the gateways, by the shop's name.

    Attributes:
        killed, dropped, forged: how many processes, connections and callbacks so far.
        outages: those of the database server that there were so far.
    """

    def __init__(
        self,
        seed: int,
        kill_every: float,
        server: OwnServer | None,
        simulators: Mapping[str, Simulator],
    ) -> None:
        self._rng = random.Random(f"{seed}/kills")
        self._seed = seed
        self._kill_every = kill_every
        self._simulators = simulators
        self.server = server
        self._using_server = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.killed = self.dropped = self.forged = 0
        self.outages: list[Outage] = []

    def begin(self, processes: Sequence[Process], made: Made, total: int) -> None:
        """Do it all until `end`.

        Args:
            processes: which may be killed.
            made: what was paid so far.
            total: how much is to be paid.
        """
        works = [
            lambda: self._kill_now_and_then(processes),
            self._drop_connections,
            self._forge_callbacks,
            self._hasten_orders,
            lambda: self._stop_server_by_plan(made, total),
        ]
        for work in works:
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Let go of it, once the planned outages are over."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def be_without(self, server: OwnServer, outage: Outage) -> None:
        """Stop the database server, and start it again."""
        with self._using_server:
            server.stop(crash=outage.crash)
            time.sleep(outage.seconds)
            server.start()
        self.outages.append(outage)

    def kill(self, process: Process) -> None:
        """Kill a process; one that has nothing left to do is let be."""
        if process.is_at_work:
            process.kill()
            self.killed += 1

    def _kill_now_and_then(self, processes: Sequence[Process]) -> None:
        while not self._stop.wait(self._rng.uniform(0.5, 1.5) * self._kill_every):
            self.kill(self._rng.choice(processes))

    def _drop_connections(self) -> None:
        while not self._stop.wait(self._rng.uniform(0.5, 2)):
            with self._using_server:
                self.dropped += drop_connection(self._rng)

    def _hasten_orders(self) -> None:
        while not self._stop.wait(2):
            with self._using_server:
                for shop in SHOPS.values():
                    if shop.sells_orders:
                        hasten(shop)

    def _stop_server_by_plan(self, made: Made, total: int) -> None:
        if self.server is None:
            return
        try:
            for outage in outages(self._seed, total):
                made.wait_for(outage.after)
                self.be_without(self.server, outage)
        except BaseException as error:
            made.break_off(error)
            raise

    def _forge_callbacks(self) -> None:
        """Post what a stranger, or somebody who found the token, might."""
        while not self._stop.wait(0.3):
            shop = self._rng.choice([*SHOPS.values()])
            entries = self._simulators[shop.name].ledger.latest(50)
            if shop.sells_orders:
                # That a declined payment went through, said by one who has the token, keeps its
                # order for a person, whom a run does not have.
                entries = [entry for entry in entries if entry.status == "Completed"]
            if len(entries) < 2:
                continue
            one, other = self._rng.sample(entries, 2)
            body = {
                "input_OriginalConversationID": one.conversation_id,
                "input_ThirdPartyReference": other.third_party_reference,
                "input_TransactionID": "FORGED1",
                "input_ResultCode": self._rng.choice(("0", "INS-6")),
                "input_ResultDesc": "forged",
            }
            token = self._rng.choice((TOKEN, "x" * len(TOKEN)))
            if token != TOKEN:
                body["input_ThirdPartyReference"] = one.third_party_reference
            _post(f"https://127.0.0.1:{shop.port}/mpesa/callback/{token}/", body)
            self.forged += 1


def _post(url: str, body: dict[str, str]) -> None:
    context = ssl._create_unverified_context()
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    # Its server may have just been killed.
    with contextlib.suppress(OSError, urllib.error.URLError):
        urllib.request.urlopen(request, timeout=5, context=context).close()
