"""What the processes of a shop note for the count that comes later, even if they are killed."""

from __future__ import annotations

from pathlib import Path

SIGNALS, ANSWERS, REFUSALS = "signals.log", "answers.log", "refusals.log"
"""The files: what a receiver heard, what a call returned, calls that raised since the database was
away, ..."""
HANDLERS, ERRORS = "handlers.log", "errors.log"
"""... handlers that raised, and whatever else raised."""


def note(directory: Path, name: str, line: str) -> None:
    """Add a line to one of these files of a shop's folder.

    Args:
        directory: the shop's.
        line: so short that those of several processes do not mix.
    """
    with (directory / name).open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


def lines_of(directory: Path, name: str) -> list[str]:
    """The lines of a file; none where nobody wrote any."""
    path = directory / name
    return path.read_text().splitlines() if path.exists() else []
