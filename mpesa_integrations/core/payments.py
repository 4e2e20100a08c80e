"""Recorded payments: written down before they are sent, moved on by evidence, signalled once.

The one place where calls, callbacks and status queries meet the lifecycle. Stores and frameworks
are on the other side of two protocols. DESIGN.md's invariants 1 to 6 are kept here.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from .answers import UnreadableBody
from .callbacks import Callback, acknowledgement, read_callback
from .client import MpesaClient, PreparedRequest
from .errors import (
    GatewayUnavailable,
    MpesaError,
    OutcomeUnknown,
    ValidationError,
)
from .lifecycle import (
    FINAL_STATES,
    MONEY_MOVED_STATES,
    Evidence,
    State,
    evidence_of_answer,
    evidence_of_status,
    transition,
)
from .results import CustomerNameResult, Result, TransactionStatusResult
from .schemas import parse_amount

logger = logging.getLogger("mpesa_integrations")

FIRST_CHECK = timedelta(seconds=30)
"""When an open payment is first asked for; each later time twice as long, up to `LAST_CHECK`."""
LAST_CHECK = timedelta(hours=1)
SIGNAL_GRACE = timedelta(minutes=2)
"""A final payment whose signal was not noted as sent by then is signalled by `reconcile`."""
_COMPARED = ("operation", "original", "amount", "msisdn", "receiver_shortcode", "reference")


class Event(str, Enum):
    """What a shop is told of; the names of the signals."""

    INITIATED = "payment_initiated"
    PENDING = "payment_pending"
    COMPLETED = "payment_completed"
    FAILED = "payment_failed"
    CANCELLED = "payment_cancelled"
    UNKNOWN = "payment_unknown"
    REVERSED = "payment_reversed"
    CONFLICT = "payment_conflict"


_EVENT_OF_STATE = {
    State.INITIATED: Event.INITIATED,
    State.PENDING: Event.PENDING,
    State.COMPLETED: Event.COMPLETED,
    State.FAILED: Event.FAILED,
    State.CANCELLED: Event.CANCELLED,
    State.UNKNOWN: Event.UNKNOWN,
    State.PARTLY_REVERSED: Event.REVERSED,
    State.REVERSED: Event.REVERSED,
}


class Verdict(str, Enum):
    """What became of a callback that arrived."""

    RECEIVED = "received"
    """Stored, and not looked at yet."""
    APPLIED = "applied"
    REPEATED = "repeated"
    """It said what was known."""
    EARLY = "early"
    """It came before the answer that names its conversation; looked at again after that."""
    UNCONFIRMED = "unconfirmed"
    """It claims a success that the gateway, when asked, did not confirm."""
    CONFLICT = "conflict"
    """It contradicts a final state; kept for a person."""
    UNMATCHED = "unmatched"
    """No payment has its third-party reference."""
    MISMATCHED = "mismatched"
    """The payment with its third-party reference has another conversation ID."""
    UNREADABLE = "unreadable"

    def __str__(self) -> str:
        return self.value


REJECTED = frozenset({Verdict.UNMATCHED, Verdict.MISMATCHED, Verdict.UNREADABLE})
"""The verdicts that a shop is told of, as a callback that is not believed."""


class IdempotencyConflict(MpesaError):  # noqa: N818 - named after the key, as the field does
    """The idempotency key was used before, with other arguments. Nothing was sent."""


class Record(Protocol):
    """What is read of a recorded payment; stores give objects of their own that have it."""

    @property
    def operation(self) -> str: ...  # noqa: D102

    @property
    def state(self) -> str: ...  # noqa: D102

    @property
    def amount(self) -> Decimal: ...  # noqa: D102

    @property
    def reversed_amount(self) -> Decimal: ...  # noqa: D102

    @property
    def third_party_reference(self) -> str: ...  # noqa: D102

    @property
    def conversation_id(self) -> str: ...  # noqa: D102

    @property
    def transaction_id(self) -> str: ...  # noqa: D102

    @property
    def checks(self) -> int: ...  # noqa: D102


R = TypeVar("R", bound=Record)
C = TypeVar("C")
R_contra = TypeVar("R_contra", bound=Record, contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


class Store(Protocol[R, C]):
    """Where payments and callbacks are kept. Every change is committed when the method returns."""

    def atomic(self) -> AbstractContextManager[Any]:
        """Group changes: all are committed at its end, or none."""

    def create(self, values: Mapping[str, Any]) -> tuple[R, bool]:
        """Write a payment down.

        Returns:
            The record, and True; or the one that has the idempotency key already, and False.

        Raises:
            DuplicateTransaction: the third-party reference is taken.
        """

    def get(self, record: R) -> R:
        """Read a record anew."""

    def change(self, record: R, state: State, changes: Mapping[str, Any]) -> R | None:
        """Change a record by one UPDATE, provided it is in a state; None if it is not."""

    def note_conflict(self, record: R, text: str) -> R | None:
        """Note contradicting evidence; None if just that was noted before."""

    def add_reversed(self, reversal: R) -> R | None:
        """Add a completed reversal's amount to its original; None if there is none on record."""

    def find(self, third_party_reference: str) -> R | None:
        """Find the account's payment with a third-party reference."""

    def find_by_key(self, idempotency_key: str) -> R | None:
        """Find the account's payment with an idempotency key."""

    def find_paid(self, transaction_id: str) -> R | None:
        """Find the account's payment, not a reversal, with a transaction ID."""

    def due(self, now: datetime, limit: int) -> list[R]:
        """Hand out payments whose next check is due, the longest waiting first."""

    def keep_callback(self, values: Mapping[str, Any]) -> C:
        """Store a callback as it arrived."""

    def judge_callback(self, entry: C, verdict: Verdict, record: R | None) -> None:
        """Note what became of a stored callback."""

    def early_callbacks(self, third_party_reference: str) -> list[tuple[C, bytes]]:
        """The stored callbacks for a reference that were received and not yet decided."""


class Notifier(Protocol[R_contra, C_contra]):
    """How a framework tells the shop; must not raise, whatever a receiver does."""

    def notify(self, event: Event, record: R_contra, sent: Callable[[], None]) -> None:
        """Tell of an event once its change is committed, then call `sent`."""

    def callback_rejected(self, entry: C_contra, verdict: Verdict) -> None:
        """Tell of a callback that is not believed."""


@dataclass(frozen=True, slots=True)
class CallbackAnswer:
    """What the framework answers to a callback: the HTTP status and the JSON body."""

    status: int
    body: Mapping[str, str]


class Payments(Generic[R, C]):
    """One account's recorded payments.

    The calls return the record, whose state says what became of the payment. They raise only where
    nothing was sent because of the caller: `ValidationError`, `ConfigurationError`,
    `IdempotencyConflict`, or `DuplicateTransaction` for a third-party reference already on record.

    Args:
        client: the account's client.
        store: the account's records.
        notifier: tells the shop.
        verify_callbacks: whether a callback's success is confirmed by a status query first.
    """

    def __init__(
        self,
        client: MpesaClient,
        store: Store[R, C],
        notifier: Notifier[R, C],
        *,
        verify_callbacks: bool = False,
    ) -> None:
        self.client = client
        self._store = store
        self._notifier = notifier
        self._verify_callbacks = verify_callbacks

    def c2b(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str,
        third_party_reference: str | None = None,
        idempotency_key: str | None = None,
        **extra: Any,
    ) -> R:
        """Take a payment from a customer.

        Args:
            msisdn: the customer's number, as typed or normalised.
            amount: meticais with at most 2 decimals; never a float.
            reference: 1 to 20 characters, for the statement.
            third_party_reference: 1 to 20 letters and digits; made if left out.
            idempotency_key: 1 to 100 characters; the same key with the same arguments gives the
                same record and sends nothing.
            extra: further columns of the store's record, such as `metadata`.

        Returns:
            The record, as the answer left it.

        Raises:
            ValidationError: an argument is wrong; nothing was recorded or sent.
            IdempotencyConflict: the key was used with other arguments.
            DuplicateTransaction: the third-party reference is on record already.
        """
        return self._pay(
            "c2b",
            {"msisdn": msisdn, "amount": amount, "reference": reference},
            third_party_reference,
            idempotency_key,
            extra,
        )

    def b2c(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str,
        third_party_reference: str | None = None,
        idempotency_key: str | None = None,
        **extra: Any,
    ) -> R:
        """Pay out to a customer. Arguments, result and errors as for `c2b`."""
        return self._pay(
            "b2c",
            {"msisdn": msisdn, "amount": amount, "reference": reference},
            third_party_reference,
            idempotency_key,
            extra,
        )

    def b2b(
        self,
        *,
        receiver_shortcode: str,
        amount: str | int | Decimal,
        reference: str,
        third_party_reference: str | None = None,
        idempotency_key: str | None = None,
        **extra: Any,
    ) -> R:
        """Pay another business, by its shortcode of 5 or 6 digits. Otherwise as `c2b`."""
        return self._pay(
            "b2b",
            {"receiver_shortcode": receiver_shortcode, "amount": amount, "reference": reference},
            third_party_reference,
            idempotency_key,
            extra,
        )

    def reverse(
        self,
        *,
        transaction_id: str,
        amount: str | int | Decimal | None = None,
        third_party_reference: str | None = None,
        idempotency_key: str | None = None,
        **extra: Any,
    ) -> R:
        """Give a recorded payment's money back; the reversal is a record of its own.

        Args:
            transaction_id: of the payment, as `4XDF12345`.
            amount: meticais; None means all that was not given back yet.
            third_party_reference: of the reversal; made if left out.
            idempotency_key: as for `c2b`.
            extra: as for `c2b`.

        Raises:
            ValidationError: no such payment is on record, it did not complete, or the amount is
                more than is left of it; nothing was sent.
        """
        arguments = {"transaction_id": transaction_id, "amount": amount}
        request = self._prepare("reversal", arguments, third_party_reference)
        original = self._store.find_paid(request.values["transaction_id"])
        asked = request.values.get("amount")
        known = self._store.find_by_key(idempotency_key) if idempotency_key else None
        if known is not None:
            # Before what is left is looked at: by now this very reversal may have taken it.
            return _repeated(
                known, {"operation": "reversal", "original": original, "amount": asked}
            )
        original = _reversible(original, asked)
        columns = {
            "original": original,
            "amount": asked or original.amount - original.reversed_amount,
        }
        return self._start(request, columns, idempotency_key, extra)

    def query_transaction_status(self, *, query_reference: str) -> TransactionStatusResult:
        """Ask where any transaction stands, changing no record. As the client's method."""
        return self.client.query_transaction_status(query_reference=query_reference)

    def query_customer_name(self, *, msisdn: str) -> CustomerNameResult:
        """Ask for a customer's name, partly masked. As the client's method."""
        return self.client.query_customer_name(msisdn=msisdn)

    def check(self, record: R) -> R:
        """Ask the gateway what became of a payment, and move the record on by what it says.

        Raises:
            GatewayUnavailable: no readable answer; the record's next check was put off.
            AuthenticationError: the credentials were refused; likewise.
        """
        return self._apply_early_callbacks(self._ask(self._store.get(record)))

    def reconcile(self, limit: int = 100) -> int:
        """Check the payments that are due, and send the signals that were not.

        Args:
            limit: how many at the most.

        Returns:
            How many were looked at; fewer than `limit` means that none is left.
        """
        due = self._store.due(_now(), limit)
        for record in due:
            if State(record.state) in FINAL_STATES:
                self._tell(_EVENT_OF_STATE[State(record.state)], record)
                continue
            try:
                self.check(record)
            except MpesaError as error:
                logger.warning(
                    "reconcile.unanswered third_party_reference=%s problem=%s",
                    record.third_party_reference,
                    error,
                )
        return len(due)

    def accepts(self, token: str) -> bool:
        """Whether a callback URL's token is the account's, compared in constant time."""
        expected = self.client.config.callback_token
        return expected is not None and hmac.compare_digest(token.encode(), expected.encode())

    def receive(self, body: bytes, **origin: Any) -> CallbackAnswer:
        """Take in a callback whose token was accepted: store it, decide it, answer it.

        Args:
            body: the request's bytes.
            origin: further columns of the store's callback, such as the remote address.

        Returns:
            What to answer: the acknowledgement also where the callback is not believed, since it is
            stored and need not come again; HTTP 400 where it cannot be read.
        """
        callback: Callback | None = None
        problem = ""
        try:
            callback = read_callback(body)
        except UnreadableBody as error:
            problem = f"The body {error}"
        entry = self._store.keep_callback(
            {
                **origin,
                "body": body,
                "verdict": Verdict.RECEIVED if callback else Verdict.UNREADABLE,
                "conversation_id": callback.conversation_id[:64] if callback else "",
                "third_party_reference": callback.third_party_reference[:64] if callback else "",
            }
        )
        if callback is None:
            self._notifier.callback_rejected(entry, Verdict.UNREADABLE)
            return CallbackAnswer(400, {"output_ResponseCode": "1", "output_ResponseDesc": problem})
        self._decide(entry, callback)
        return CallbackAnswer(200, acknowledgement(callback))

    def _ask(self, record: R) -> R:
        if State(record.state) in FINAL_STATES:
            return record
        delay = min(FIRST_CHECK * 2 ** min(record.checks + 1, 20), LAST_CHECK)
        self._store.change(
            record,
            State(record.state),
            {"checks": record.checks + 1, "next_check_at": _now() + delay},
        )
        reference = record.transaction_id or record.conversation_id or record.third_party_reference
        answer = self.client.query_transaction_status(query_reference=reference)
        return self._apply(
            self._store.get(record),
            evidence_of_status(answer.transaction_status),
            code=None,
            description=f"Status query: {answer.transaction_status or 'N/A'}",
            conversation_id=answer.conversation_id,
            transaction_id=answer.transaction_id,
        )

    def _pay(
        self,
        operation: str,
        arguments: dict[str, Any],
        third_party_reference: str | None,
        idempotency_key: str | None,
        extra: dict[str, Any],
    ) -> R:
        request = self._prepare(operation, arguments, third_party_reference)
        columns = {name: request.values[name] for name in arguments}
        return self._start(request, columns, idempotency_key, extra)

    def _prepare(
        self, operation: str, arguments: dict[str, Any], third_party_reference: str | None
    ) -> PreparedRequest:
        return self.client.prepare(
            operation, third_party_reference=third_party_reference, **arguments
        )

    def _start(
        self,
        request: PreparedRequest,
        columns: dict[str, Any],
        idempotency_key: str | None,
        extra: dict[str, Any],
    ) -> R:
        """Write the payment down, committed, and only then send it."""
        values = {
            **extra,
            **columns,
            "operation": request.operation.name,
            "state": State.INITIATED,
            "third_party_reference": request.third_party_reference,
            "idempotency_key": idempotency_key,
            # If this process dies now, reconcile asks once no answer can come any more.
            "next_check_at": _now()
            + timedelta(seconds=sum(self.client.config.timeout))
            + FIRST_CHECK,
        }
        record, created = self._store.create(values)
        if not created:
            return _repeated(record, values)
        self._tell(Event.INITIATED, record)
        return self._send(request, record)

    def _send(self, request: PreparedRequest, record: R) -> R:
        try:
            result = self.client.send(request)
        except MpesaError as error:
            return self._apply_early_callbacks(self._apply_error(record, error))
        except Exception:
            # Something outside this library broke; whether bytes had left, nobody knows.
            self._apply(record, Evidence.NOTHING, code=None, description="Interrupted by an error")
            raise
        return self._apply_early_callbacks(self._apply_result(record, result))

    def _apply_result(self, record: R, result: Result) -> R:
        return self._apply(
            record,
            evidence_of_answer(result.kind),
            code=result.code.value if result.code else None,
            description=result.description,
            conversation_id=result.conversation_id,
            transaction_id=result.transaction_id,
        )

    def _apply_error(self, record: R, error: MpesaError) -> R:
        if error.result is not None:
            return self._apply_result(record, error.result)
        unsent = isinstance(error, GatewayUnavailable) and not isinstance(error, OutcomeUnknown)
        evidence = Evidence.DECLINED if unsent else Evidence.NOTHING
        return self._apply(record, evidence, code=None, description=str(error))

    def _apply(
        self,
        record: R,
        evidence: Evidence,
        *,
        code: str | None,
        description: str,
        conversation_id: str | None = None,
        transaction_id: str | None = None,
    ) -> R:
        """Move a record on by a piece of evidence; whoever else has news of it may go first."""
        while True:
            state = State(record.state)
            step = transition(state, evidence)
            other_id = _contradicts(record.transaction_id, transaction_id)
            if step.conflict or (other_id and evidence is Evidence.SUCCEEDED):
                return self._note_conflict(record, evidence, code, description, transaction_id)
            changes: dict[str, Any] = {}
            if conversation_id and not record.conversation_id:
                changes["conversation_id"] = conversation_id[:64]
            if transaction_id and not record.transaction_id:
                changes["transaction_id"] = transaction_id[:64]
            if step.changed:
                final = step.state in FINAL_STATES
                changes |= {
                    "state": step.state,
                    "response_code": (code or "")[:16],
                    "response_description": description[:255],
                    "next_check_at": _now() + (SIGNAL_GRACE if final else FIRST_CHECK),
                }
            if not changes:
                return record
            changed, original = self._change(record, state, step.state, changes)
            if changed is not None:
                if step.changed:
                    self._tell(_EVENT_OF_STATE[step.state], changed)
                if original is not None:
                    self._tell(Event.REVERSED, original)
                return changed
            record = self._store.get(record)

    def _change(
        self, record: R, state: State, target: State, changes: dict[str, Any]
    ) -> tuple[R | None, R | None]:
        completes = target is State.COMPLETED and state is not State.COMPLETED
        with self._store.atomic():
            changed = self._store.change(record, state, changes)
            if changed is None or not completes or record.operation != "reversal":
                return changed, None
            return changed, self._store.add_reversed(changed)

    def _note_conflict(
        self,
        record: R,
        evidence: Evidence,
        code: str | None,
        description: str,
        transaction_id: str | None,
    ) -> R:
        text = f"{evidence} ({code or 'no code'}, transaction {transaction_id or 'N/A'}): "
        noted = self._store.note_conflict(record, (text + description)[:255])
        if noted is None:
            return self._store.get(record)
        logger.error(
            "payment.conflict third_party_reference=%s state=%s evidence=%s",
            record.third_party_reference,
            record.state,
            evidence,
        )
        self._notifier.notify(Event.CONFLICT, noted, lambda: None)
        return noted

    def _tell(self, event: Event, record: R) -> None:
        """Tell the shop, and note that it was told where the record would be told of again."""
        state = State(record.state)

        def sent() -> None:
            if state in FINAL_STATES:
                self._store.change(record, state, {"next_check_at": None})

        self._notifier.notify(event, record, sent)

    def _apply_early_callbacks(self, record: R) -> R:
        """Look again at callbacks that overtook the answer that names their conversation."""
        if not record.conversation_id:
            return record
        early = self._store.early_callbacks(record.third_party_reference)
        for entry, body in early:
            self._decide(entry, read_callback(body))
        return self._store.get(record) if early else record

    def _decide(self, entry: C, callback: Callback) -> None:
        record = self._store.find(callback.third_party_reference)
        if record is not None and not record.conversation_id:
            self._store.judge_callback(entry, Verdict.EARLY, record)
            # The answer may have come since the record was read, and have missed this callback.
            record = self._store.get(record)
            if not record.conversation_id:
                if State(record.state) in (State.UNKNOWN, State.INITIATED):
                    self._store.change(record, State(record.state), {"next_check_at": _now()})
                return
        verdict = self._verdict(record, callback)
        self._store.judge_callback(entry, verdict, record)
        if verdict in REJECTED:
            self._notifier.callback_rejected(entry, verdict)

    def _verdict(self, record: R | None, callback: Callback) -> Verdict:
        if record is None:
            return Verdict.UNMATCHED
        if record.conversation_id != callback.conversation_id:
            return Verdict.MISMATCHED
        evidence = evidence_of_answer(callback.kind)
        before = record.state
        step = transition(State(before), evidence)
        if evidence is Evidence.SUCCEEDED and step.changed and self._verify_callbacks:
            return self._confirm(record)
        after = self._apply(
            record,
            evidence,
            code=callback.code.value,
            description=callback.description,
            transaction_id=callback.transaction_id,
        )
        if step.conflict or _contradicts(after.transaction_id, callback.transaction_id):
            return Verdict.CONFLICT
        return Verdict.APPLIED if after.state != before else Verdict.REPEATED

    def _confirm(self, record: R) -> Verdict:
        """Believe a success only when the gateway, asked, says so too."""
        try:
            # Not `check`, which would look at this very callback again.
            after = self._ask(record)
        except MpesaError:
            return Verdict.UNCONFIRMED
        return Verdict.APPLIED if State(after.state) in MONEY_MOVED_STATES else Verdict.UNCONFIRMED


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _contradicts(known: str, said: str | None) -> bool:
    return bool(known and said and known != said)


def _reversible(original: R | None, amount: Decimal | None) -> R:
    if original is None:
        raise _refused("transaction_id", "no payment with this transaction ID is on record")
    if State(original.state) not in (State.COMPLETED, State.PARTLY_REVERSED):
        raise _refused(
            "transaction_id", f"the payment is {original.state}; only what completed goes back"
        )
    left = original.amount - original.reversed_amount
    if amount is not None and amount > left:
        raise _refused("amount", f"must be at most {left:.2f}, which is what is left of it")
    return original


def _refused(argument: str, problem: str) -> ValidationError:
    return ValidationError(f"Nothing was sent. {argument}: {problem}", errors={argument: [problem]})


def _repeated(record: R, values: Mapping[str, Any]) -> R:
    """Give the record of an idempotency key, unless it was used for something else."""
    for name in _COMPARED:
        if values.get(name) is None:
            continue
        kept, given = getattr(record, name), values[name]
        if name == "amount":
            kept, given = parse_amount(kept), parse_amount(given)
        if kept != given:
            raise IdempotencyConflict(
                f"Nothing was sent. The idempotency key was used before, with another {name}; "
                "use a key of its own for each payment",
                third_party_reference=record.third_party_reference,
            )
    return record
