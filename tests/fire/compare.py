"""Records against ledger, to the centavo; calls, signals and handlers against records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from mpesa_integrations.core.payments.events import Event, event_of
from mpesa_integrations.core.payments.lifecycle import MONEY_MOVED_STATES, OPEN_STATES, State
from mpesa_integrations.core.payments.records import NOT_SENT_IN_TIME, WITHDRAWN
from mpesa_integrations.simulator import Ledger
from mpesa_integrations.simulator.calls import Call
from mpesa_integrations.sqlalchemy.models import in_utc

from .apps import FETCHED, SHIPPED

OVERLOADED = "INS-16"
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


def compare_calls(
    records: Iterable[Any], calls: Iterable[Call], longest_to_connect: timedelta
) -> list[str]:
    """Requests that came to the gateway a second time, or after their time.

    A request may come again only after an `INS-16`, which says that it was not taken in.

    Args:
        records: the shop's.
        calls: that the gateway had, the first one first.
        longest_to_connect: how long a request may be under way that was begun in time.
    """
    came: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if "query" not in call.operation:
            came[call.third_party_reference].append(call)
    found = []
    for record in records:
        reference, had = record.third_party_reference, came.get(record.third_party_reference, [])
        if any(call.code != OVERLOADED for call in had[:-1]):
            found.append(f"{reference}: sent {len(had)} times")
        if record.send_before is None or not had:
            continue
        late = had[0].at - in_utc(record.send_before)
        if late > longest_to_connect:
            found.append(f"{reference}: sent {late.total_seconds():.1f} s too late")
        if record.response_description in (NOT_SENT_IN_TIME, WITHDRAWN):
            found.append(f"{reference}: {record.response_description}, and it was sent")
    return found


def count_twice_charged(records: Iterable[Any], ledger: Ledger) -> list[str]:
    """Orders for which the gateway moved money more than once."""
    orders = Counter(
        entry.transaction_reference
        for entry in ledger.transactions()
        if entry.operation in ("c2b", "b2c") and entry.status == "Completed"
    )
    return [f"{order}: charged {times} times" for order, times in orders.items() if times > 1]


def compare_answers(records: Iterable[Any], answers: Iterable[str]) -> list[str]:
    """What calls had returned, and is not so.

    Args:
        records: the shop's.
        answers: the idempotency key of each call that returned, and the state it returned.
    """
    states = {record.idempotency_key: State(record.state) for record in records}
    found = []
    for answer in answers:
        key, said = answer.split()
        now = states.get(key)
        if now is None:
            found.append(f"{key}: returned as {said}, and not on record")
        elif State(said) not in OPEN_STATES and (said in MONEY_MOVED_STATES) != (
            now in MONEY_MOVED_STATES
        ):
            found.append(f"{key}: returned as {said}, and it is {now}")
    return found


def compare_parcels(records: Iterable[Any], parcels: Mapping[str, list[str]]) -> list[str]:
    """What handlers did not do for a payment once, and in this order; or did for another.

    Args:
        records: the shop's.
        parcels: what they did for each payment, by its reference, in their order.
    """
    due = {
        record.third_party_reference: [SHIPPED, *([FETCHED] if record.reversed_amount else [])]
        for record in records
        if record.operation == "c2b" and State(record.state) in MONEY_MOVED_STATES
    }
    return [
        f"{reference}: handlers did {parcels.get(reference, [])} of {due.get(reference, [])}"
        for reference in {*due, *parcels}
        if parcels.get(reference) != due.get(reference)
    ]


def compare_orders(orders: Iterable[str], ledger: Ledger, shipped: Mapping[str, int]) -> list[str]:
    """Orders that are not shipped once, although their money is with the shop; or otherwise.

    An order of which all money was given back may have been shipped once before.

    Args:
        orders: those that customers wanted; each of them was to pay in the end.
        ledger: the shop's gateway's.
        shipped: how often each order was.
    """
    taken: dict[str, list[Decimal]] = defaultdict(list)
    for entry in ledger.transactions():
        if entry.operation == "c2b" and entry.status == "Completed":
            taken[str(entry.transaction_reference)].append(entry.amount - entry.reversed_amount)
    found = []
    for order in {*orders, *taken, *shipped}:
        kept, times = sum(taken[order]), shipped.get(order, 0)
        if not taken[order]:
            found.append(f"{order}: never paid, and shipped {times} times")
        elif times > 1 or (kept and not times):
            found.append(
                f"{order}: shipped {times} times, and {kept} of its money is with the shop"
            )
    return found


def compare_signals(records: Sequence[Any], lines: Iterable[str]) -> tuple[list[str], int]:
    """What differs, and how many were repeats after a crash.

    Args:
        records: the shop's.
        lines: event, reference, amount and event ID of each signal that was received.
    """
    heard: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in lines:
        event, reference, _, event_id = line.split()
        heard[event, reference].append(event_id)
    # What was claimed, and surely not sent, is queued again.
    repeatable = {
        record.third_party_reference: {
            event_of(record.operation, state) for state in (State.QUEUED, State.INITIATED)
        }
        for record in records
        if record.send_before is not None
    }
    found = []
    repeats = 0
    for (event, reference), ids in heard.items():
        repeats += len(ids) - len(set(ids))
        may_repeat = {Event.PAYMENT_CONFLICT, *repeatable.get(reference, ())}
        if len(set(ids)) > 1 and event not in may_repeat:
            found.append(f"{reference}: {event} sent {len(set(ids))} times")
    for record in records:
        state = State(record.state)
        first = State.COMPLETED if state in MONEY_MOVED_STATES else state
        passed = {_began_as(record), first, state}
        for event in {event_of(record.operation, s) for s in passed}:
            if (event.value, record.third_party_reference) not in heard:
                found.append(f"{record.third_party_reference}: no {event}")
    return found, repeats


def _began_as(record: Any) -> State:
    return State.INITIATED if record.send_before is None else State.QUEUED
