"""`make fire`: two shops, killed processes, a gateway that misbehaves; then all is counted."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import click

from . import sabotage
from .apps import ACCOUNT
from .processes import Orders
from .run import Run, console
from .services import drop_databases, drop_queues


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
    right = False
    try:
        with (directory / "workers.log").open("w") as log:
            right = Run(Orders(directory, seed, sabotaged, log), payments, kill_every).go()
    finally:
        drop_databases()
        drop_queues()
        if keep or not right:
            console.print(f"Logs and ledgers are in {directory}")
        else:
            shutil.rmtree(directory)
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
