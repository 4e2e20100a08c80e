"""Records against ledger, to the centavo, and signals against records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from mpesa_integrations.core.payments.lifecycle import MONEY_MOVED_STATES, OPEN_STATES, State
from mpesa_integrations.core.payments.records import EVENT_OF_STATE, Event
from mpesa_integrations.simulator import Ledger

_STATES_OF_STATUS = {
    "Completed": MONEY_MOVED_STATES,
    "Failed": {State.FAILED},
    "Cancelled": {State.FAILED, State.CANCELLED},
    "Expired": {State.FAILED, State.CANCELLED},
}


def compare_with_ledger(records: Iterable[Any], ledger: Ledger) -> list[str]:
    """What differs; each line names the payment."""
    found: list[str] = []
    booked = {entry.third_party_reference: entry for entry in ledger.transactions()}
    recorded = Decimal(0)
    for record in records:
        reference, state = record.third_party_reference, State(record.state)
        entry = booked.pop(reference, None)
        if state in OPEN_STATES:
            found.append(f"{reference}: still {state}")
        if entry is None:
            if state in MONEY_MOVED_STATES:
                found.append(f"{reference}: {state}, and the gateway never had it")
            continue
        if state not in _STATES_OF_STATUS[entry.status]:
            found.append(f"{reference}: {state}, and the ledger says {entry.status}")
        if record.amount != entry.amount:
            found.append(f"{reference}: {record.amount}, and the ledger says {entry.amount}")
        if state not in MONEY_MOVED_STATES:
            continue
        if record.transaction_id != entry.transaction_id:
            found.append(f"{reference}: transaction ID {record.transaction_id}")
        if record.operation == "c2b" and record.reversed_amount != entry.reversed_amount:
            found.append(f"{reference}: {record.reversed_amount} given back")
        sign = 1 if record.operation == "c2b" else -1
        recorded += sign * record.amount
    found += [f"{ref}: in the ledger ({e.status}), and not on record" for ref, e in booked.items()]
    return found


def count_twice_charged(records: Iterable[Any], ledger: Ledger) -> list[str]:
    """Orders for which the gateway moved money more than once."""
    orders = Counter(
        entry.transaction_reference
        for entry in ledger.transactions()
        if entry.operation in ("c2b", "b2c") and entry.status == "Completed"
    )
    return [f"{order}: charged {times} times" for order, times in orders.items() if times > 1]


def compare_signals(records: Iterable[Any], log: Path) -> tuple[list[str], int, int]:
    """What differs, how many signals there were, and how many were repeats after a crash."""
    heard: dict[tuple[str, str], list[str]] = defaultdict(list)
    lines = log.read_text().splitlines() if log.exists() else []
    for line in lines:
        event, reference, _, event_id = line.split()
        heard[event, reference].append(event_id)
    found = []
    repeats = 0
    for (event, reference), ids in heard.items():
        repeats += len(ids) - len(set(ids))
        if len(set(ids)) > 1 and event != Event.CONFLICT:
            found.append(f"{reference}: {event} sent {len(set(ids))} times")
    for record in records:
        state = State(record.state)
        first = State.COMPLETED if state in MONEY_MOVED_STATES else state
        for event in {Event.INITIATED, EVENT_OF_STATE[first], EVENT_OF_STATE[state]}:
            if (event.value, record.third_party_reference) not in heard:
                found.append(f"{record.third_party_reference}: no {event}")
    return found, len(lines), repeats
