"""One process of a shop under fire: it pays, serves, reconciles, gives money back, or is Celery.

It may be killed at any moment; whoever started it starts it again.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from mpesa_integrations import MpesaError
from mpesa_integrations.commands import reconcile

from . import sabotage
from .apps import PORTS, Shop, make_shop
from .plan import payment

_THREADS = 6


@click.command()
@click.argument("role", type=click.Choice(["pay", "serve", "reconcile", "celery", "reverse"]))
@click.argument("framework", type=click.Choice(["django", "flask"]))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--seed", type=int, required=True)
@click.option("--attempt", type=int, default=0)
@click.option("--sabotage", "sabotaged", default="")
def main(
    role: str, framework: str, directory: Path, seed: int, attempt: int, sabotaged: str
) -> None:
    """Do one thing until it is done, or until killed."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    # Callbacks are applied in the request by every second server, and by Celery for the others.
    shop = make_shop(framework, directory, apply_callbacks="inline" if attempt % 2 else "worker")
    sabotage.apply(sabotaged, shop)
    if role == "serve":
        _serve(shop, framework, directory)
    elif role == "reconcile":
        _reconcile(shop)
    elif role == "celery":
        _celery(shop, framework, directory)
    elif role == "pay":
        _pay(shop, seed)
    else:
        _reverse(shop)


def _end_with_parent(parent: int) -> None:
    """Processes of a run that was itself killed do not go on for ever."""
    waiting = threading.Event()
    while os.getppid() == parent:
        waiting.wait(1)
    os._exit(1)


def _pay(shop: Shop, seed: int) -> None:
    """Make the payments whose numbers come on standard input; print each that was made."""
    lock = threading.Lock()

    def pay(number: int) -> None:
        operation, arguments = payment(seed, number)
        call = getattr(shop.accounts["default"], operation)
        _until_recorded(shop, lambda: call(**arguments))
        with lock:
            print(number, flush=True)

    _in_threads(shop, pay, [int(line) for line in sys.stdin])


def _reverse(shop: Shop) -> None:
    """Give back, in full or in part, the payments whose IDs and amounts come on standard input."""

    def reverse(line: str) -> None:
        transaction_id, amount = line.split()
        call = shop.accounts["default"].reverse
        _until_recorded(
            shop,
            lambda: call(
                transaction_id=transaction_id,
                amount=amount,
                idempotency_key=f"reverse-{transaction_id}",
            ),
        )

    _in_threads(shop, reverse, list(sys.stdin))


def _in_threads(shop: Shop, work: Callable[[Any], None], items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(work, items):
            pass


def _until_recorded(shop: Shop, call: Callable[[], Any]) -> None:
    """As a shop tries again with the same key: whatever broke, it keeps it from paying twice."""
    for _ in range(20):
        try:
            call()
        except MpesaError:
            raise
        except Exception:  # noqa: BLE001 - a database connection that was dropped
            shop.done()
        else:
            return
    raise RuntimeError("the payment could not be recorded")


def _serve(shop: Shop, framework: str, directory: Path) -> None:
    pem = str(directory / "endpoint.pem")
    server = Server(("127.0.0.1", PORTS[framework]), shop.wsgi, numthreads=8, request_queue_size=64)
    server.ssl_adapter = BuiltinSSLAdapter(pem, pem)
    server.error_log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    server.start()


def _reconcile(shop: Shop) -> None:
    while True:
        try:
            reconcile(
                shop.accounts, every=0.5, batch=50, workers=4, rate=None, echo=lambda text: None
            )
        except Exception:  # noqa: BLE001 - a database connection that was dropped
            shop.done()
        else:
            return


def _celery(shop: Shop, framework: str, directory: Path) -> None:
    """A worker with two processes of its own, and beat, which starts a reconcile each second."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # its banner is no payment's number
    shop.celery.worker_main([
        "worker", "--beat", "--schedule", str(directory / f"{framework}.beat"),
        "--hostname", f"{shop.celery.conf.task_default_queue}@%h", "--concurrency", "2",
        "--without-gossip", "--without-mingle", "--loglevel", "error",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
