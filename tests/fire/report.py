"""What came of a fire run: records against ledger, signals against records, faults met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mpesa_integrations.simulator import Ledger

from .compare import compare_signals, compare_with_ledger, count_twice_charged
from .faults import FAULTS, QUERY_CUT, QUERY_FAULT
from .services import records_of

_MONEY_MOVED = ("completed", "reversed", "partly_reversed")
_MOST_SHOWN = 40


@dataclass(frozen=True)
class Damage:
    """What was done in a run.

    Attributes:
        seconds: how long it burnt.
    """

    payments: int
    seed: int
    seconds: float
    killed: int
    dropped: int
    forged: int


@dataclass(frozen=True)
class Remains:
    """What is left of one shop to count.

    Attributes:
        ledger: its gateway's.
        signals: the file of the signals it noted.
        faults: how many of its requests met each fault.
    """

    ledger: Ledger
    signals: Path
    faults: Mapping[str, int]


def report(console: Console, damage: Damage, shops: Mapping[str, Remains]) -> bool:
    """Count and print; whether all is as it should be."""
    columns: dict[str, dict[str, object]] = {}
    problems: list[str] = []
    for framework, remains in shops.items():
        columns[framework], found = _count(records_of(framework), remains)
        problems += [f"{framework} {line}" for line in found]
    title = f"Under fire: {damage.payments} payments, seed {damage.seed}"
    table = Table("", *shops, title=title)
    for name in next(iter(columns.values())):
        table.add_row(name, *(str(column[name]) for column in columns.values()))
    console.print(table)
    console.print(
        f"{damage.killed} processes killed, {damage.dropped} database connections dropped, "
        f"{damage.forged} callbacks forged, in {damage.seconds:.0f} s "
        f"({damage.payments / damage.seconds:.0f} payments/s)"
    )
    _report_faults(console, shops)
    for line in problems[:_MOST_SHOWN]:
        console.print(f"DIFFERENCE {line}", style="red")
    console.print(f"{len(problems)} differences")
    return not problems


def _count(records: list[Any], remains: Remains) -> tuple[dict[str, object], list[str]]:
    """A shop's figures, and what differs."""
    ledger = remains.ledger
    differing = compare_with_ledger(records, ledger)
    twice = count_twice_charged(records, ledger)
    wrong, sent, repeats = compare_signals(records, remains.signals)
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
        "signals": sent,
        "of them repeated after a crash": repeats,
        "signals missing or sent for nothing": len(wrong),
        "all wallets together": f"{ledger.total():.2f}",
    }
    return figures, [*differing, *twice, *wrong]


def _report_faults(console: Console, shops: Mapping[str, Remains]) -> None:
    table = Table("fault", "rate", *shops, title="Requests that met a fault")
    for name, rate in {**FAULTS, QUERY_FAULT: QUERY_CUT}.items():
        table.add_row(name, f"{rate:.0%}", *(str(shop.faults[name]) for shop in shops.values()))
    console.print(table)
