"""How far a fire run is: for who looks on, and for what is to happen at a certain time of it."""

from __future__ import annotations

import threading

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn


class Made:
    """What was paid so far.

    Args:
        total: how much is to be paid.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._lines: set[str] = set()
        self._changed = threading.Condition()
        self._broken: BaseException | None = None

    def add(self, line: str) -> None:
        """Note that one was paid; one that was paid before counts once."""
        with self._changed:
            self._lines.add(line)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until so many were paid."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._lines) >= count)

    def break_off(self, error: BaseException) -> None:
        """Let `show` raise: the run cannot go on."""
        self._broken = error

    def show(self, console: Console) -> None:
        """Draw a bar until all were paid.

        Raises:
            RuntimeError: something broke off.
        """
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("payments", total=self._total)
            with self._changed:
                while len(self._lines) < self._total:
                    self._changed.wait(1)
                    progress.update(task, completed=len(self._lines))
                    if self._broken is not None:
                        raise RuntimeError("the run cannot go on") from self._broken
