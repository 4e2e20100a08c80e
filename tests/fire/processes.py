"""A process of a fire run as its parent sees it: started, fed, killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_REPEATED = 10  # payments already made that a restarted process is given again


@dataclass(frozen=True)
class Orders:
    """What all processes of a run are told.

    Attributes:
        directory: where gateways, logs and the endpoint's certificate are.
        sabotaged: the rule that is taken out of the library, empty for none.
        log: where their errors go.
    """

    directory: Path
    seed: int
    sabotaged: str
    log: IO[str]


class Process:
    """A process of a shop, started again whenever it ends before its work is done.

    Args:
        orders: what all processes of the run are told.
        role: what it does, see `worker`.
        numbers: the payments it makes; None means that it never ends by itself.
        made: is given the number of each payment that was made.
    """

    def __init__(
        self,
        orders: Orders,
        role: str,
        framework: str,
        numbers: set[int] | None = None,
        made: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.role = role
        self.framework = framework
        self.left = numbers if numbers is not None else set()
        self._made: list[int] = []
        self._orders = orders
        self._report = made
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
                str(self._orders.directory), "--seed", str(self._orders.seed),
                "--attempt", str(self._attempt), "--sabotage", self._orders.sabotaged,
            ]  # fmt: skip
            self._attempt += 1
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._orders.log, text=True, start_new_session=True,
            ) as process:  # fmt: skip
                self._process = process
                self._feed(process)
                for line in process.stdout or ():
                    self.left.discard(int(line))
                    self._made.append(int(line))
                    self._report(int(line))

    def _feed(self, process: subprocess.Popen[str]) -> None:
        again = self._made[-_REPEATED:]
        text = "".join(f"{number}\n" for number in [*again, *sorted(self.left)])
        given = process.stdin
        if given is not None:
            with contextlib.suppress(BrokenPipeError), given:
                given.write(text)
