"""The shops of a fire run: where each one is, and which processes it consists of.

What they are made of is in `apps`, and what they are paid for in `plan`. Another shop is one more
entry in these, and one in `report` where it promises more than the others do.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import Any

_MOST_SHOPS = 4


def _free_ports(count: int) -> int:
    """The first of some ports that nobody listens on, among those that the gateway calls."""
    # Two runs that begin together do not look at the same ones.
    for port in range(11_100 + os.getpid() % 1_500 * count, 19_000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for k in range(count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + k))
            return port
    raise RuntimeError(f"no {count} free ports from 11100 to 19000")


# Set once, in the process that begins; its workers inherit them.
_RUN = os.environ.setdefault("FIRE_RUN", f"_{os.getpid()}")
if "FIRE_PORT" not in os.environ:
    os.environ["FIRE_PORT"] = str(_free_ports(_MOST_SHOPS + 1))
DATABASE_PORT = int(os.environ["FIRE_PORT"])
"""Where the database server listens, if it is the run's own."""


@dataclass(frozen=True)
class Place:
    """Where a shop is, and what its processes do.

    Attributes:
        name: the shop's.
        port: where its gateway calls it.
        database: its database.
        queue: its Celery's.
        tables: those of payments, of events still to be dispatched, and of callbacks.
        broker: its Celery's; None where it has none.
        sells_orders: whether customers pay for orders by its page, again where they are declined;
            else its processes make payments, each with a key.
    """

    name: str
    port: int
    database: str
    queue: str
    tables: tuple[str, str, str]
    broker: str | None = None
    sells_orders: bool = False


def _place(number: int, name: str, tables: tuple[str, str, str], **how: Any) -> Place:
    return Place(
        name=name,
        port=DATABASE_PORT + number,
        database=f"mpesa_fire{_RUN}_{name}",
        queue=f"mpesa-fire{_RUN}-{name}",
        tables=tables,
        **how,
    )


_DJANGOS = ("django_mpesa_transaction", "django_mpesa_outboxentry", "django_mpesa_callbacklog")
_FLASKS = ("payment", "payment_outbox_entry", "payment_callback")
SHOPS = {
    place.name: place
    for place in (
        _place(1, "django", _DJANGOS, broker="redis://127.0.0.1:6379/0"),
        _place(2, "flask", _FLASKS, broker="amqp://127.0.0.1"),
        _place(3, "quickstart", _FLASKS, sells_orders=True),
    )
}
