"""What came of a fire run: records against ledger, signals against records, faults met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mpesa_integrations.core.payments.records import NOT_SENT_IN_TIME
from mpesa_integrations.simulator import Ledger
from mpesa_integrations.simulator.calls import Call

from .apps import ACCOUNT
from .compare import (
    compare_answers,
    compare_calls,
    compare_orders,
    compare_parcels,
    compare_signals,
    compare_with_ledger,
    count_twice_charged,
)
from .faults import FAULTS, QUERY_CUT, QUERY_FAULT
from .notes import ANSWERS, ERRORS, HANDLERS, REFUSALS, SIGNALS, lines_of
from .plan import Outage
from .services import parcels_of, records_of, shipped_orders_of
from .shops import SHOPS, Place

_Counted = tuple[dict[str, object], list[str]]
_MONEY_MOVED = ("completed", "reversed", "partly_reversed")
_MOST_SHOWN = 40
_TO_CONNECT = timedelta(seconds=ACCOUNT["TIMEOUT"][0] + 2)
"""What a request that was begun in time has until the gateway reads it, on a busy machine."""


@dataclass(frozen=True)
class Damage:
    """What was done in a run.

    Attributes:
        seconds: how long it burnt.
        outages: when the database server was away; None where it is not the run's own.
    """

    payments: int
    seed: int
    seconds: float
    killed: int
    dropped: int
    forged: int
    outages: Sequence[Outage] | None


@dataclass(frozen=True)
class Remains:
    """What is left of one shop to count.

    Attributes:
        ledger: its gateway's.
        directory: where its processes made their notes.
        calls: what came to its gateway, the first one first.
        faults: how many of its requests met each fault.
        orders: what its customers wanted, if they came to its page.
    """

    ledger: Ledger
    directory: Path
    calls: Sequence[Call]
    faults: Mapping[str, int]
    orders: Sequence[str]


def report(console: Console, damage: Damage, shops: Mapping[str, Remains]) -> bool:
    """Count and print; whether all is as it should be."""
    columns: dict[str, dict[str, object]] = {}
    problems: list[str] = []
    for name, remains in shops.items():
        columns[name], found = _count(SHOPS[name], remains)
        problems += [f"{name} {line}" for line in found]
    title = f"Under fire: {damage.payments} payments, seed {damage.seed}"
    table = Table("", *shops, title=title)
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        table.add_row(name, *(str(column.get(name, "")) for column in columns.values()))
    console.print(table)
    console.print(
        f"{damage.killed} processes killed, {damage.dropped} database connections dropped, "
        f"{damage.forged} callbacks forged, in {damage.seconds:.0f} s "
        f"({damage.payments / damage.seconds:.0f} payments/s)"
    )
    console.print(_what_befell_the_server(damage.outages))
    _report_faults(console, shops)
    for line in problems[:_MOST_SHOWN]:
        console.print(f"DIFFERENCE {line}", style="red")
    console.print(f"{len(problems)} differences")
    return not problems


def _count(shop: Place, remains: Remains) -> _Counted:
    """A shop's figures, and what differs."""
    records = records_of(shop)
    ledger = remains.ledger
    differing = compare_with_ledger(records, ledger)
    twice = count_twice_charged(records, ledger)
    signals, answers, refusals, errors = (
        lines_of(remains.directory, name) for name in (SIGNALS, ANSWERS, REFUSALS, ERRORS)
    )
    wrong, repeats = compare_signals(records, signals)
    claimed = compare_answers(records, answers)
    resent = compare_calls(records, remains.calls, _TO_CONNECT)
    own, mishandled = (_count_orders if shop.sells_orders else _count_parcels)(shop, remains)
    moved = [record for record in records if record.state in _MONEY_MOVED]
    figures: dict[str, object] = {
        "records": len(records),
        "in the ledger": len(ledger.transactions()),
        "money moved": len(moved),
        "failed or cancelled": len(records) - len(moved),
        "given back": sum(record.operation == "reversal" for record in records),
        "sum of the records": f"{sum(record.amount for record in moved):.2f}",
        "records that differ from the ledger": len(differing),
        "charged twice": len(twice),
        "sent by a worker": sum(_was_queued(record) for record in records),
        "queued, and not sent in time": sum(
            record.response_description == NOT_SENT_IN_TIME for record in records
        ),
        "sent twice, or too late": len(resent),
        "calls that returned what is not so": len(claimed),
        "calls that the database's absence refused": len(refusals),
        "errors that should not be": len(errors),
        "signals": len(signals),
        "of them repeated after a crash": repeats,
        "signals missing or sent for nothing": len(wrong),
        "all wallets together": f"{ledger.total():.2f}",
        **own,
    }
    return figures, [*differing, *twice, *resent, *claimed, *errors, *wrong, *mishandled]


def _was_queued(record: Any) -> bool:
    return record.send_before is not None and record.response_description != NOT_SENT_IN_TIME


def _count_parcels(shop: Place, remains: Remains) -> _Counted:
    """What the handlers of payments did."""
    parcels = parcels_of(shop)
    wrong = compare_parcels(records_of(shop), parcels)
    figures: dict[str, object] = {
        "done by handlers": sum(len(done) for done in parcels.values()),
        "of them undone and tried again": len(lines_of(remains.directory, HANDLERS)),
        "done by handlers too often or never": len(wrong),
    }
    return figures, wrong


def _count_orders(shop: Place, remains: Remains) -> _Counted:
    """What became of the orders."""
    shipped = shipped_orders_of(shop)
    attempts = Counter(record.order_key for record in records_of(shop) if record.order_key)
    wrong = compare_orders(remains.orders, remains.ledger, shipped)
    figures: dict[str, object] = {
        "orders": len(remains.orders),
        "of them declined at first": sum(count > 1 for count in attempts.values()),
        "shipped": sum(shipped.values()),
        "orders unpaid, or shipped too often or never": len(wrong),
    }
    return figures, wrong


def _what_befell_the_server(outages: Sequence[Outage] | None) -> str:
    if outages is None:
        return "The database server was not stopped: its programs are not on this machine"
    crashes = sum(outage.crash for outage in outages)
    seconds = sum(outage.seconds for outage in outages)
    return (
        f"The database server stopped {len(outages)} times, {crashes} of them as in a crash, and "
        f"was away for {seconds:.0f} s in all, {max(o.seconds for o in outages):.0f} s at once"
    )


def _report_faults(console: Console, shops: Mapping[str, Remains]) -> None:
    table = Table("fault", "rate", *shops, title="Requests that met a fault")
    for name, rate in {**FAULTS, QUERY_FAULT: QUERY_CUT}.items():
        table.add_row(name, f"{rate:.0%}", *(str(shop.faults[name]) for shop in shops.values()))
    console.print(table)
