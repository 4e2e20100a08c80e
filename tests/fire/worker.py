"""One process of a shop under fire: it pays, serves, reconciles, gives money back, or is Celery.

Or it is some of the shop's customers.

It may be killed at any moment; whoever started it starts it again.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from mpesa_integrations.commands import reconcile
from mpesa_integrations.core.errors import RecordsUnavailable

from . import sabotage
from .apps import Shop, make_shop
from .notes import ANSWERS, ERRORS, REFUSALS, note
from .plan import payment
from .quickstart import Customers
from .shops import SHOPS

_CUSTOMERS = ("buy", "come back")
_ROLES = ["pay", "serve", "reconcile", "celery", "send", "reverse", *_CUSTOMERS]
_THREADS, _AT_THE_PAGE, _SERVED = 6, 24, 32  # at once, in a process
_PATIENCE = 180.0  # seconds, more than the database is away at any time


@click.command()
@click.argument("role", type=click.Choice(_ROLES))
@click.argument("shop_name", metavar="SHOP", type=click.Choice([*SHOPS]))
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--seed", type=int, required=True)
@click.option("--attempt", type=int, default=0)
@click.option("--sabotage", "sabotaged", default="")
def main(
    role: str, shop_name: str, directory: Path, seed: int, attempt: int, sabotaged: str
) -> None:
    """Do one thing until it is done, or until killed."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    notes = directory / shop_name
    if role in _CUSTOMERS:
        # Started again, they try other phones than those that may have been unlucky.
        customers = Customers(SHOPS[shop_name].port, f"{seed}/{attempt}", notes / "customers")
        _come(customers, role, notes)
        return
    try:
        # Callbacks are applied in the request by every second server, and by Celery for the others.
        callbacks = "inline" if attempt % 2 else "worker"
        shop = make_shop(shop_name, directory, apply_callbacks=callbacks)
        sabotage.apply(sabotaged, shop)
        if role == "serve":
            _serve(shop, SHOPS[shop_name].port, directory)
        elif role == "reconcile":
            _reconcile(shop)
        elif role == "send":
            _send(shop)
        elif role == "celery":
            _celery(shop, directory / f"{shop_name}.beat")
        elif role == "pay":
            _pay(shop, notes, seed)
        else:
            _reverse(shop, notes)
    except Exception as error:
        note(
            directory / shop_name, ERRORS, f"{role} ended by {type(error).__name__}: {error}"[:300]
        )
        raise


def _end_with_parent(parent: int) -> None:
    """Processes of a run that was itself killed do not go on for ever."""
    waiting = threading.Event()
    while os.getppid() == parent:
        waiting.wait(1)
    os._exit(1)


def _pay(shop: Shop, directory: Path, seed: int) -> None:
    """Make the payments whose numbers are given."""

    def pay(number: str) -> None:
        operation, arguments = payment(seed, int(number))
        _until_returned(shop, directory, operation, arguments)

    _do_lines(pay)


def _reverse(shop: Shop, directory: Path) -> None:
    """Give back, in full or in part, the payments whose IDs and amounts are given."""

    def reverse(line: str) -> None:
        transaction_id, amount = line.split()
        arguments = {
            "transaction_id": transaction_id,
            "amount": amount,
            "idempotency_key": f"reverse-{transaction_id}",
        }
        _until_returned(shop, directory, "reverse", arguments)

    _do_lines(reverse)


def _come(customers: Customers, role: str, directory: Path) -> None:
    """Be the customers of the orders that are given."""
    act = customers.buy if role == "buy" else customers.come_back

    def come(order: str) -> None:
        problem = act(order)
        if problem is not None:
            note(directory, ERRORS, problem)

    _do_lines(come, _AT_THE_PAGE)


def _do_lines(work: Callable[[str], None], threads: int = _THREADS) -> None:
    """Do what each line of standard input says, some at a time, and print each that was done."""
    lock = threading.Lock()

    def do(line: str) -> None:
        work(line)
        with lock:
            print(line, flush=True)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(do, sys.stdin.read().splitlines()):
            pass


def _until_returned(
    shop: Shop, directory: Path, operation: str, arguments: Mapping[str, Any]
) -> None:
    """As a shop tries again with the same key, where it is told that nothing was sent."""
    call = getattr(shop.accounts["default"], operation)
    key = arguments["idempotency_key"]
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with shop.context():
                state = call(**arguments).state
        except RecordsUnavailable as error:
            note(directory, REFUSALS, f"{key} {error}")
            if time.monotonic() > deadline:
                raise
        else:
            note(directory, ANSWERS, f"{key} {state}")
            return


def _serve(shop: Shop, port: int, directory: Path) -> None:
    pem = str(directory / "endpoint.pem")
    server = Server(("127.0.0.1", port), shop.wsgi, numthreads=_SERVED, request_queue_size=128)
    server.keep_alive_conn_limit = 2 * _SERVED
    server.ssl_adapter = BuiltinSSLAdapter(pem, pem)
    server.error_log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    server.start()


def _reconcile(shop: Shop) -> None:
    with shop.context():
        reconcile(shop.accounts, every=1.0, batch=50, workers=4, rate=None, echo=lambda text: None)


def _send(shop: Shop) -> None:
    """Send what is queued, many at a time; where the database is away, try again."""
    sender = shop.accounts["default"].queue_sender(_THREADS)
    while True:
        with shop.context():
            try:
                sender.run_once()
            except RecordsUnavailable:
                time.sleep(1)
            sender.wait(0.2)


def _celery(shop: Shop, schedule: Path) -> None:
    """A worker with two processes of its own, and beat, which starts a reconcile each second."""
    assert shop.celery is not None
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # its banner is no payment's number
    shop.celery.worker_main([
        "worker", "--beat", "--schedule", str(schedule),
        "--hostname", f"{shop.celery.conf.task_default_queue}@%h", "--concurrency", "2",
        "--without-gossip", "--without-mingle", "--loglevel", "error",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
