"""A process of a fire run as its parent sees it: started, fed, killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_REPEATED = 10  # lines of work already done that a restarted process is given again


@dataclass(frozen=True)
class Instructions:
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
        instructions: what all processes of the run are told.
        role: what it does, see `worker`.
        work: the lines that say what it does; None means that it never ends by itself.
        done: is given each of them once it was done.
    """

    def __init__(
        self,
        instructions: Instructions,
        role: str,
        shop: str,
        work: Iterable[str] | None = None,
        done: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.role = role
        self.shop = shop
        self.left = dict.fromkeys(work or ())
        self._done: list[str] = []
        self._instructions = instructions
        self._report = done
        self._attempt = 0
        self._endless = work is None
        self._process: subprocess.Popen[str] | None = None
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_going, daemon=True)
        self._thread.start()

    @property
    def is_at_work(self) -> bool:
        """Whether there is something left for it to do."""
        return self._endless or bool(self.left)

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
        """Wait until its work is done."""
        self._thread.join()

    def _keep_going(self) -> None:
        while not self.stopped.is_set() and self.is_at_work:
            command = [
                sys.executable, "-m", "tests.fire.worker", self.role, self.shop,
                str(self._instructions.directory), "--seed", str(self._instructions.seed),
                "--attempt", str(self._attempt), "--sabotage", self._instructions.sabotaged,
            ]  # fmt: skip
            self._attempt += 1
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._instructions.log, text=True, start_new_session=True,
            ) as process:  # fmt: skip
                self._process = process
                self._feed(process)
                for line in process.stdout or ():
                    done = line.rstrip("\n")
                    self.left.pop(done, None)
                    self._done.append(done)
                    self._report(done)

    def _feed(self, process: subprocess.Popen[str]) -> None:
        text = "".join(f"{line}\n" for line in [*self._done[-_REPEATED:], *self.left])
        given = process.stdin
        if given is not None:
            with contextlib.suppress(BrokenPipeError), given:
                given.write(text)
