"""A store in memory: the latest payments of this process, for an app without a database.

It knows nothing of what happened before a restart or in another process: a callback for such a
payment is unmatched, and changes nothing.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar

from mpesa_integrations.core.errors import DuplicateTransaction
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES, State
from mpesa_integrations.core.payments.ownership import merged, refuse_names
from mpesa_integrations.core.payments.records import (
    Change,
    DueCallback,
    DueOutboxEntry,
    OutboxEntry,
    Verdict,
)
from mpesa_integrations.core.payments.refusals import refuse_claimed
from mpesa_integrations.core.payments.reversals import after_reversal, refuse_too_much
from mpesa_integrations.core.payments.tables import Table

_KEPT = 10_000
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Payment:
    """A payment, with the names of a record's columns."""

    pk: int = 0
    account: str
    operation: str = ""
    state: str = State.INITIATED
    amount: Decimal = Decimal(0)
    reversed_amount: Decimal = Decimal(0)
    currency: str = "MZN"
    msisdn: str = field(default="", repr=False)
    receiver_shortcode: str = ""
    reference: str = ""
    third_party_reference: str = ""
    conversation_id: str = ""
    transaction_id: str = ""
    claimed_transaction_id: str | None = None
    idempotency_key: str | None = None
    response_code: str = ""
    response_description: str = ""
    conflict: str = ""
    original_id: int | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    next_check_at: datetime | None = None
    checks: int = 0
    stuck_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReceivedCallback:
    """A callback that arrived; it is kept while it is not decided."""

    pk: int = 0
    body: bytes = field(repr=False)
    verdict: Verdict
    conversation_id: str
    third_party_reference: str
    remote_address: str | None = None
    received_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    attempts: int = 0
    next_attempt_at: datetime | None = None


class MemoryStore:
    """One account's latest payments; core's store protocol."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._payments: OrderedDict[str, Payment] = OrderedDict()
        self._callbacks: OrderedDict[int, ReceivedCallback] = OrderedDict()

    def isolated(self, call: Callable[[], _T], *, writes: bool = True) -> _T:
        """Run it; there are no transactions."""
        return call()

    remedy = ""

    def tables(self) -> list[Table]:
        """There are none."""
        return []

    def disconnect(self) -> None:
        """There is no connection."""

    def aware(self, time: datetime) -> datetime:
        """The records' times are aware."""
        return time

    def with_values(self, record: Payment, values: Mapping[str, Any]) -> Payment:
        """Make another with these values."""
        return replace(record, **values)

    def create(
        self, values: Mapping[str, Any], outbox: Sequence[OutboxEntry]
    ) -> tuple[Payment, bool]:
        """Keep a payment.

        Raises:
            DuplicateTransaction: the third-party reference is taken.
            ValidationError: a reversal, with which more could go back than was paid.
        """
        with self._lock:
            key = values.get("idempotency_key")
            known = self.find_by_key(key) if key else None
            if known is not None:
                return known, False
            reference = values["third_party_reference"]
            if reference in self._payments:
                raise DuplicateTransaction(
                    f"Nothing was sent. The third-party reference {reference} was used already",
                    third_party_reference=reference,
                )
            payment = Payment(pk=next(self._numbers), account=self._account, **values)
            self._refuse_too_much(payment)
            return self._keep(payment), True

    def shop_columns(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The only column of the shop's is `metadata`."""
        refuse_names(given, {"metadata"})
        return {name: {name: value} for name, value in given.items()}

    def link(self, record: Payment, columns: Mapping[str, Any]) -> Payment | None:
        """Merge the metadata with what is kept."""
        with self._lock:
            known = self._payments.get(record.third_party_reference)
            if known is None or "metadata" not in columns:
                return known
            return self._keep(replace(known, metadata=merged(known.metadata, columns["metadata"])))

    def get(self, record: Payment) -> Payment:
        """Give the payment as it is now."""
        return self._payments.get(record.third_party_reference, record)

    def change(
        self, record: Payment, state: State, change: Change
    ) -> tuple[Payment, Payment | None] | None:
        """Change it where the state is still the one expected.

        Raises:
            TransactionClaimed: another payment has the transaction.
        """
        with self._lock:
            known = self.get(record)
            if known.state != state:
                return None
            if known.claimed_transaction_id != change.values.get("claimed_transaction_id"):
                refuse_claimed(self, change)
            changed = self._keep(replace(known, **change.values))
            original = self._find(pk=known.original_id) if change.reverses else None
            values = after_reversal(original, known.amount) if original else None
            if original is None or values is None:
                return changed, None
            return changed, self._keep(replace(original, **values))

    def note_conflict(
        self, record: Payment, text: str, outbox: Sequence[OutboxEntry]
    ) -> Payment | None:
        """Note it where it is not what was noted last."""
        with self._lock:
            known = self.get(record)
            return None if known.conflict == text else self._keep(replace(known, conflict=text))

    def find(self, third_party_reference: str) -> Payment | None:
        """Give the payment, if this process made it."""
        return self._payments.get(third_party_reference)

    def find_by_key(self, idempotency_key: str) -> Payment | None:
        """Look through the latest."""
        return self._find(idempotency_key=idempotency_key)

    def find_paid(self, transaction_id: str) -> Payment | None:
        """Look through the latest."""
        return self._find(claimed_transaction_id=transaction_id)

    def shares_conversation(self, record: Payment) -> bool:
        """Look through the latest."""
        with self._lock:
            others = [p for p in self._payments.values() if p.pk != record.pk]
            return any(p.conversation_id == record.conversation_id for p in others)

    def oldest_open(self) -> Payment | None:
        """Look through the latest."""
        with self._lock:
            found = [p for p in self._payments.values() if State(p.state) in OPEN_STATES]
            return min(found, key=lambda payment: payment.created_at, default=None)

    def claim_due(self, now: datetime, until: datetime, limit: int) -> list[Payment]:
        """Put off the next checks that are due, and give their payments."""
        with self._lock:
            due = [p for p in self._payments.values() if p.next_check_at and p.next_check_at <= now]
            due.sort(key=lambda payment: payment.next_check_at or now)
            return [self._keep(replace(p, next_check_at=until)) for p in due[:limit]]

    def release(self, records: Sequence[Payment], until: datetime) -> None:
        """Make due again what is still put off until then."""
        with self._lock:
            for record in records:
                known = self.get(record)
                if known.next_check_at == until:
                    self._keep(replace(known, next_check_at=datetime.now(timezone.utc)))

    def claim_outbox(
        self, now: datetime, until: datetime, limit: int
    ) -> list[DueOutboxEntry[Payment]]:
        """There is no outbox: events are dispatched at once or not at all."""
        return []

    def defer_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """There is no outbox: events are dispatched at once or not at all."""

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """There is no outbox: events are dispatched at once or not at all."""

    def settle_outbox(self, dispatched: Sequence[str]) -> None:
        """There is no outbox: events are dispatched at once or not at all."""

    def store_callback(self, values: Mapping[str, Any]) -> ReceivedCallback:
        """Keep it until it is decided."""
        entry = ReceivedCallback(pk=next(self._numbers), **values)
        if (
            entry.verdict is Verdict.RECEIVED
        ):  # any other is decided already, such as an unreadable one
            with self._lock:
                self._callbacks[entry.pk] = entry
                _forget_oldest(self._callbacks)
        return entry

    def get_callback(self, entry: ReceivedCallback) -> ReceivedCallback:
        """It cannot be changed."""
        return entry

    def set_verdict(
        self, entry: ReceivedCallback, verdict: Verdict, record: Payment | None
    ) -> None:
        """Drop it once it is decided."""
        with self._lock:
            if verdict in (Verdict.RECEIVED, Verdict.EARLY):
                self._callbacks[entry.pk] = replace(entry, verdict=verdict)
            else:
                self._callbacks.pop(entry.pk, None)

    def waiting_callbacks(self, third_party_reference: str) -> list[tuple[ReceivedCallback, bytes]]:
        """Give those that are not decided."""
        with self._lock:
            kept = list(self._callbacks.values())
        return [(e, e.body) for e in kept if e.third_party_reference == third_party_reference]

    def claim_callbacks(
        self, now: datetime, until: datetime, limit: int, *, older_than: timedelta
    ) -> list[DueCallback[ReceivedCallback]]:
        """Put off those that nobody has decided, and give them."""
        with self._lock:
            due = [
                entry
                for entry in self._callbacks.values()
                if entry.verdict is Verdict.RECEIVED
                and entry.received_at < now - older_than
                and (entry.next_attempt_at is None or entry.next_attempt_at <= now)
            ]
            claimed = [
                replace(entry, next_attempt_at=until, attempts=entry.attempts + 1)
                for entry in due[:limit]
            ]
            self._callbacks.update({entry.pk: entry for entry in claimed})
        return [DueCallback(entry=e, body=e.body, attempts=e.attempts) for e in claimed]

    def defer_callbacks(self, entries: Sequence[ReceivedCallback], until: datetime) -> None:
        """Have them tried again at another time."""
        with self._lock:
            for entry in entries:
                kept = self._callbacks.get(entry.pk)
                if kept is not None:
                    self._callbacks[entry.pk] = replace(kept, next_attempt_at=until)

    def _keep(self, payment: Payment) -> Payment:
        with self._lock:
            self._payments[payment.third_party_reference] = payment
            self._payments.move_to_end(payment.third_party_reference)
            _forget_oldest(self._payments)
        return payment

    def _refuse_too_much(self, reversal: Payment) -> None:
        key = reversal.original_id
        original = None if key is None else self._find(pk=key)
        if original is not None:
            others = [p for p in self._payments.values() if p.original_id == key]
            open_ = [p.amount for p in (*others, reversal) if State(p.state) in OPEN_STATES]
            refuse_too_much(original, open_)

    def _find(self, **columns: Any) -> Payment | None:
        with self._lock:
            for payment in reversed(self._payments.values()):
                if all(getattr(payment, name) == value for name, value in columns.items()):
                    return payment
        return None


def _forget_oldest(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > _KEPT:
        kept.popitem(last=False)
