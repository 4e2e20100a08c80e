"""Processes of a test's own, each forked from one that has imported what they need.

To import Django, SQLAlchemy and the library takes two seconds, which each of them would spend anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([f"{__package__}.preload"])


class Process:
    """A function that runs in a process of its own.

    Args:
        function: one of a module that `preload` names.
        arguments: its arguments.
        output: where what it prints is kept; with several in one file, each line that they `say` is
            whole.
    """

    def __init__(
        self, function: Callable[..., object], arguments: tuple[Any, ...], output: Path
    ) -> None:
        self._output = output
        self._process = CONTEXT.Process(target=_run, args=(function, arguments, output))
        self._process.start()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def printed(self) -> str:
        """What it has printed until now, and with which traceback it has ended, if it has so."""
        return self._output.read_text() if self._output.exists() else ""

    def send(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def exit_code(self, seconds: float = 60) -> int:
        """Wait for its end; the code is negative where a signal was its end."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"it has not ended: {self.printed()}"
        return self._process.exitcode

    def lines(self, seconds: float = 60) -> list[str]:
        """Wait for its end, which must be a good one; gives the lines that it printed."""
        assert self.exit_code(seconds) == 0, self.printed()
        return self.printed().splitlines()

    def close(self) -> None:
        """Kill it if it runs."""
        self._process.kill()
        self._process.join()
        self._process.close()


def say(line: str) -> None:
    """Print a line, whole: between a line and its end `print` lets others print, and the log."""
    os.write(1, f"{line}\n".encode())


def _run(function: Callable[..., object], arguments: tuple[Any, ...], output: Path) -> None:
    file = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    function(*arguments)
