"""A store in memory: the latest payments of this process, for an app without a database.

It knows nothing of what happened before a restart or in another process: a callback for such a
payment is unmatched, and changes nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, TypeVar

from mpesa_integrations.core.errors import DuplicateTransaction
from mpesa_integrations.core.masking import mask_msisdn
from mpesa_integrations.core.payments.customer_messages import customer_message
from mpesa_integrations.core.payments.lifecycle import (
    AWAITED_STATES,
    MAY_BE_CHECKED_EARLY,
    OPEN_STATES,
    State,
)
from mpesa_integrations.core.payments.orders import (
    Order,
    is_contradicted,
    may_retry,
    refuse_order,
)
from mpesa_integrations.core.payments.ownership import merged, refuse_names
from mpesa_integrations.core.payments.records import Change, OrderClaimed, OutboxEntry
from mpesa_integrations.core.payments.refusals import refuse_claimed
from mpesa_integrations.core.payments.reversals import after_settling, refuse_too_much
from mpesa_integrations.core.payments.tables import Table

from .memory_callbacks import MemoryCallbacks, forget_oldest
from .memory_outbox import MemoryOutbox

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
    reversal_pending: Decimal = Decimal(0)
    currency: str = "MZN"
    msisdn: str = field(default="", repr=False)
    receiver_shortcode: str = ""
    reference: str = ""
    third_party_reference: str = ""
    conversation_id: str = ""
    transaction_id: str = ""
    claimed_transaction_id: str | None = None
    idempotency_key: str | None = None
    order_key: str = ""
    claimed_order_key: str | None = None
    response_code: str = ""
    response_description: str = ""
    conflict: str = ""
    conflict_decided_at: datetime | None = None
    original_id: int | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    next_check_at: datetime | None = None
    checks: int = 0
    send_before: datetime | None = None
    stuck_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def masked_msisdn(self) -> str:
        """The phone number as anybody may see it."""
        return mask_msisdn(self.msisdn) if self.msisdn else ""

    @property
    def is_open(self) -> bool:
        """Whether its outcome is not known yet."""
        return State(self.state) in OPEN_STATES

    @property
    def is_paid(self) -> bool:
        """Whether the money moved and none of it was given back."""
        return State(self.state) is State.COMPLETED

    @property
    def may_retry(self) -> bool:
        """Whether it did not go through, so that its order may be tried again."""
        return may_retry(self)

    def customer_message(self, language: str | None = "en") -> str:
        """What to tell the customer whose payment it is: where it stands, and what to do.

        Args:
            language: as `pt` or `pt-MZ`; one that there are no words in, or None, gives English.
        """
        return customer_message(self).in_language(language)


class MemoryStore(MemoryOutbox[Payment], MemoryCallbacks):
    """One account's latest payments; core's store protocol."""

    def __init__(self, account: str) -> None:
        super().__init__()
        self._account = account
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._payments: OrderedDict[str, Payment] = OrderedDict()

    def isolated(self, call: Callable[[], _T], *, writes: bool = True) -> _T:
        """Run it; there are no transactions."""
        return call()

    async def in_thread(self, call: Callable[[], _T]) -> _T:
        """Run it in a thread of the event loop's, where receivers may wait."""
        return await asyncio.to_thread(call)

    def called_in_event_loop(self, problem: str) -> None:
        """Warn, at the line that calls."""
        warnings.warn(problem, RuntimeWarning, stacklevel=4)

    remedy = ""

    def tables(self) -> list[Table]:
        """There are none."""
        return []

    def disconnect(self) -> None:
        """There is no connection."""

    def listen(self) -> None:
        """Nobody else can write here."""

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
            OrderClaimed: another payment of the order is open or paid.
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
            self._refuse_second(payment)
            self._count_pending(payment)
            self._add_to_outbox(outbox, payment)
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
            OrderClaimed: another payment has the order.
        """
        with self._lock:
            known = self.get(record)
            if known.state != state:
                return None
            if change.as_claimed and known.next_check_at != record.next_check_at:
                return None
            if known.claimed_transaction_id != change.values.get("claimed_transaction_id"):
                refuse_claimed(self, known.operation, change)
            changed = replace(known, **change.values)
            self._refuse_second(changed)
            self._keep(changed)
            self._add_to_outbox(change.outbox, changed)
            original = self._find(pk=known.original_id) if change.settles else None
            if original is None:
                return changed, None
            values, booked = after_settling(
                original, known.amount, self._under_way(original.pk), completes=change.reverses
            )
            original = self._keep(replace(original, **values))
            if not booked:
                return changed, None
            self._add_to_outbox(change.outbox_of(original), original)
            return changed, original

    def note_conflict(
        self, record: Payment, text: str, outbox: Sequence[OutboxEntry]
    ) -> Payment | None:
        """Note it where it is not what was noted last."""
        with self._lock:
            known = self.get(record)
            if known.conflict == text:
                return None
            self._add_to_outbox(outbox, known)
            return self._keep(replace(known, conflict=text, conflict_decided_at=None))

    def find(self, third_party_reference: str) -> Payment | None:
        """Give the payment, if this process made it."""
        return self._payments.get(third_party_reference)

    def find_by_key(self, idempotency_key: str) -> Payment | None:
        """Look through the latest."""
        return self._find(idempotency_key=idempotency_key)

    def find_paid(self, transaction_id: str) -> Payment | None:
        """Look through the latest."""
        return self._find(claimed_transaction_id=transaction_id)

    def attempts(self, order_key: str, operation: str) -> list[Payment]:
        """Look through the latest."""
        with self._lock:
            of_order = [p for p in self._payments.values() if p.order_key == order_key]
            return sorted((p for p in of_order if p.operation == operation), key=lambda p: p.pk)

    def order_of(self, order: object) -> Order:
        """An order is named by its key."""
        refuse_order(order)

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

    is_shared = False

    def left_to_do(self, *, callbacks: bool) -> dict[str, int]:
        """Nothing is: another process would not see it."""
        return {}

    def queued(self) -> tuple[int, None]:
        """There are none."""
        return 0, None

    def claim_queued(
        self,
        now: datetime,
        next_check_at: datetime,
        limit: int,
        outbox: Callable[[str], Sequence[OutboxEntry]],
        *,
        reference: str | None = None,
    ) -> Mapping[Any, Sequence[OutboxEntry]]:
        """There are none: no other process would see them."""
        return {}

    def claimed_queued(self, next_check_at: datetime) -> Sequence[Any]:
        """There are none."""
        return ()

    def read_claimed(self, keys: Sequence[Any]) -> list[Payment]:
        """There are none."""
        return []

    def original_of(self, record: Payment) -> Payment | None:
        """Look through the latest."""
        return None if record.original_id is None else self._find(pk=record.original_id)

    def claim_due(
        self, now: datetime, until: datetime, limit: int, *, state: State | None = None
    ) -> list[Payment]:
        """Put off the next checks that are due, and give their payments."""
        with self._lock:
            due = [
                p
                for p in self._payments.values()
                if p.next_check_at and p.next_check_at <= now and state in (None, p.state)
            ]
            due.sort(key=lambda payment: payment.next_check_at or now)
            return [self._keep(replace(p, next_check_at=until)) for p in due[:limit]]

    def to_be_checked(self) -> tuple[int, datetime | None]:
        """Look through the latest."""
        with self._lock:
            due = [
                payment.next_check_at
                for payment in self._payments.values()
                if payment.next_check_at and State(payment.state) in AWAITED_STATES
            ]
            return len(due), min(due, default=None)

    def make_due(self, now: datetime) -> None:
        """Put their next checks forward."""
        with self._lock:
            for payment in list(self._payments.values()):
                later = payment.next_check_at and payment.next_check_at > now
                if later and State(payment.state) in MAY_BE_CHECKED_EARLY:
                    self._keep(replace(payment, next_check_at=now))

    def release(self, records: Sequence[Payment], until: datetime) -> None:
        """Make due again what is still put off until then."""
        with self._lock:
            for record in records:
                known = self.get(record)
                if known.next_check_at == until:
                    self._keep(replace(known, next_check_at=datetime.now(timezone.utc)))

    def _keep(self, payment: Payment) -> Payment:
        with self._lock:
            self._payments[payment.third_party_reference] = payment
            self._payments.move_to_end(payment.third_party_reference)
            forget_oldest(self._payments)
        return payment

    def _refuse_second(self, payment: Payment) -> None:
        """Hold what a database's constraint does: of an order one payment is open or paid."""
        claim = payment.claimed_order_key
        if claim is None:
            return
        found = self._find(operation=payment.operation, claimed_order_key=claim)
        if found is not None and found.pk != payment.pk:
            raise OrderClaimed(found.third_party_reference)

    def _count_pending(self, reversal: Payment) -> None:
        """Write how much of a payment is being given back, unless that is too much."""
        key = reversal.original_id
        original = None if key is None else self._find(pk=key)
        if original is not None:
            under_way = [*self._under_way(original.pk), reversal.amount]
            refuse_too_much(original, under_way, self._contradicted(original.pk))
            self._keep(replace(original, reversal_pending=sum(under_way, Decimal(0))))

    def _under_way(self, original_id: int) -> list[Decimal]:
        others = self._reversals_of(original_id)
        return [p.amount for p in others if State(p.state) in OPEN_STATES]

    def _contradicted(self, original_id: int) -> list[Decimal]:
        return [p.amount for p in self._reversals_of(original_id) if is_contradicted(p)]

    def _reversals_of(self, original_id: int) -> list[Payment]:
        return [p for p in self._payments.values() if p.original_id == original_id]

    def _find(self, **columns: Any) -> Payment | None:
        with self._lock:
            for payment in reversed(self._payments.values()):
                if all(getattr(payment, name) == value for name, value in columns.items()):
                    return payment
        return None
