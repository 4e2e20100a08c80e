"""`make fire`: three shops, what kills them, a gateway that misbehaves; then all is counted."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from . import sabotage
from .apps import ACCOUNT
from .databases import DATABASES, choose
from .processes import Instructions
from .run import Run, console
from .servers import OwnServer
from .services import drop_databases, drop_queues
from .shops import DATABASE_PORT


@click.command()
@click.option("--database", type=click.Choice([*DATABASES]), default="postgresql")
@click.option("--payments", default=20_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--kill-every", default=5.0, show_default=True, help="Seconds, on average.")
@click.option("--sabotage", "sabotaged", type=click.Choice(["", *sabotage.WAYS]), default="")
@click.option("--keep", is_flag=True, help="Keep the folder with logs and ledgers.")
def main(
    database: str, payments: int, seed: int, kill_every: float, sabotaged: str, keep: bool
) -> None:
    """Make payments while everything breaks; exit code 1 if a centavo or a signal is missing."""
    choose(database)
    directory = Path(tempfile.mkdtemp(prefix="mpesa-fire-"))
    logging.getLogger("mpesa_integrations").setLevel(logging.CRITICAL)  # it is all meant
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console.print(
        f"{payments} payments on {database}, seed {seed}, settings {ACCOUNT}", highlight=False
    )
    right = False
    try:
        with _server(database) as server, (directory / "workers.log").open("w") as log:
            right = Run(
                Instructions(directory, seed, sabotaged, log), payments, kill_every, server
            ).go()
    finally:
        drop_queues()
        if keep or not right:
            console.print(f"Logs and ledgers are in {directory}")
        else:
            shutil.rmtree(directory)
    sys.exit(0 if right else 1)


@contextlib.contextmanager
def _server(database: str) -> Iterator[OwnServer | None]:
    """A database server of the run's own; None where this machine has but one that is running."""
    try:
        server = OwnServer(database, DATABASE_PORT)
    except FileNotFoundError as missing:
        if os.environ.get("CI"):
            raise
        console.print(f"The database server is not stopped in this run: {missing}")
        try:
            yield None
        finally:
            drop_databases()
        return
    try:
        yield server
    finally:
        server.remove()


if __name__ == "__main__":
    main()
