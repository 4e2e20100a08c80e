"""Recorded payments: written down before they are sent, moved on by evidence, signalled once.

The one place where calls, callbacks and status queries meet the lifecycle. Stores and frameworks
are on the other side of two protocols. docs/design.md's invariants 1 to 6 are kept here.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..client.blocking import MpesaClient
from ..errors import (
    CalledInTransaction,
    MpesaError,
    RecordsUnavailable,
    nothing_sent,
)
from ..failures import log_failure
from ..markets.mozambique import read_callback
from ..masking import mask_msisdns_in
from ..messages import Message
from ..protocol.answers import UnreadableBody
from ..protocol.callbacks import Callback, acknowledgement
from ..protocol.references import is_third_party_reference, made_about
from ..protocol.requests import PreparedRequest
from ..protocol.results import CustomerNameResult, TransactionStatusResult
from ..redaction import forgetful_calls
from ..settings.account import AccountSettings
from ..telemetry import count_callback, count_transition
from .changes import changed_columns, columns_after_check
from .encodings import spelled, spelled_change, texts_of, written
from .evidence import (
    DECIDED,
    StatusQuery,
    StatusReport,
    agree,
    contradicts,
    gateway_had,
    is_duplicate,
    kept_id,
    names_another_transaction,
    report_of_callback,
    report_of_error,
    report_of_result,
    status_query_for,
)
from .idempotency import IdempotencyKey, check_key, check_repeated
from .leases import Lease, hold
from .lifecycle import (
    FINAL_STATES,
    MONEY_MOVED_STATES,
    OPEN_STATES,
    Evidence,
    State,
    evidence_of_status,
    transition,
)
from .limits import check_counts
from .notifier import Notifier
from .ownership import check_metadata
from .persistence import AFTER_SENDING, persist
from .records import (
    CALLBACK_REJECTED,
    EVENT_OF_STATE,
    REJECTED,
    C,
    Change,
    DueCallback,
    DueOutboxEntry,
    Event,
    OutboxEntry,
    R,
    Record,
    TransactionClaimed,
    Verdict,
    exact_match,
)
from .reversals import check_reversible
from .schedule import DISPATCH_GRACE, FIRST_CHECK, MOST_ATTEMPTS, backoff, utc_now
from .store import Store
from .tables import require_tables

if TYPE_CHECKING:
    from .reconcile import Reconciled

logger = logging.getLogger("mpesa_integrations")

_T = TypeVar("_T")


@forgetful_calls
class Payments(Generic[R, C]):
    """One account's recorded payments.

    The calls return the record, whose state says what became of the payment. They raise only where
    nothing was sent because of the caller: `ValidationError`, `ConfigurationError`,
    `IdempotencyConflict`, `DuplicateTransaction` for a third-party reference already on record,
    `CalledInTransaction` where the store cannot commit within the caller's transaction, or
    `RecordsUnavailable` where the database is away. Once a payment was sent, nothing raises: where
    what became of it cannot be written down, the record that is returned says it, and so does a
    line in the log; `reconcile` asks again.

    Args:
        alias: the account's name in the settings.
        settings: the account's settings.
        store: the account's records.
        notifier: tells the shop.
    """

    def __init__(
        self,
        alias: str,
        settings: AccountSettings,
        store: Store[R, C],
        notifier: Notifier[R, C],
    ) -> None:
        self.alias = alias
        self.settings = settings
        self.client = MpesaClient(settings.config, transport=settings.transport)
        self.store = store
        self.notifier = notifier
        self._has_tables = False

    def c2b(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
        idempotency_key: IdempotencyKey | None = None,
        **extra: Any,
    ) -> R:
        """Take a payment from a customer.

        Args:
            msisdn: the customer's number, as typed or normalised.
            amount: meticais with at most 2 decimals; never a float.
            reference: 1 to 20 characters, or a whole number, for the statement.
            third_party_reference: 1 to 20 letters and digits; made if left out.
            idempotency_key: 1 to 100 characters, a whole number or a UUID; the same key with the
                same arguments gives the same record and sends nothing.
            extra: the shop's own: `metadata`, a dict; `paid_for`, what it is for, where the
                framework has it; and columns of its own model.

        Returns:
            The record, as the answer left it.

        Raises:
            ValidationError: an argument is wrong, or names a column of the library's or none;
                nothing was recorded or sent.
            IdempotencyConflict: the key was used with other arguments, `metadata` excepted.
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
        reference: str | int,
        third_party_reference: str | int | None = None,
        idempotency_key: IdempotencyKey | None = None,
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
        reference: str | int,
        third_party_reference: str | int | None = None,
        idempotency_key: IdempotencyKey | None = None,
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
        third_party_reference: str | int | None = None,
        idempotency_key: IdempotencyKey | None = None,
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
                more than is left of it, the reversals under way counted; nothing was sent.
        """
        idempotency_key = check_key(idempotency_key)
        self.store.shop_columns(extra)
        arguments: dict[str, Any] = {"transaction_id": transaction_id, "amount": amount}
        request = self._prepare("reversal", arguments, third_party_reference)
        paid_as = request.values["transaction_id"]
        asked = request.values.get("amount")

        def look_up() -> tuple[R | None, R | None]:
            key = idempotency_key
            known = self.store.find_by_key(key) if key else None
            paid = self.store.find_paid(paid_as)
            return exact_match(paid, "claimed_transaction_id", paid_as), known

        original, known = self._before_sending(look_up)
        if known is not None:
            # Before what is left is looked at: by now this very reversal may have taken it.
            return check_repeated(
                known,
                {
                    "operation": "reversal",
                    "original_id": original.pk if original else None,
                    "amount": asked,
                    "idempotency_key": idempotency_key,
                },
                self.store.shop_columns(extra),
            )
        original = check_reversible(original, asked)
        amount = asked or original.amount - original.reversed_amount
        if amount != original.amount:
            # By its amount also where all the rest is meant: what is recorded is what is asked.
            arguments["amount"] = amount
            request = self._prepare("reversal", arguments, request.third_party_reference)
        columns = {"original_id": original.pk, "amount": amount}
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
            CalledInTransaction: as for `c2b`; not where the outcome is known already.
            RecordsUnavailable: what was learnt could not be written down; `reconcile` asks again.
            ValidationError: the record is another account's; nothing was asked.
        """
        self.refuse_others(record)
        if State(record.state) in FINAL_STATES:
            return self.store.isolated(lambda: self.store.get(record), writes=False)
        known = self.step(lambda: self.store.get(record))
        if State(known.state) in FINAL_STATES:
            return known
        self.store.disconnect()
        try:
            answer = self.query_status(known)
        except MpesaError as error:
            problem = error
            self.step(lambda: self.defer(known, problem))
            raise
        return self.step(lambda: self._reread(self.apply_status(known, answer)))

    def resolve(self, record: R, state: State, *, by: str, note: str) -> R:
        """Decide, as a person who knows better than the gateway said, what became of a payment.

        Args:
            record: a payment whose outcome is open.
            state: `COMPLETED`, `FAILED` or `CANCELLED`.
            by: who decides.
            note: on what grounds, as in "seen on the statement of 3 May".

        Raises:
            ValidationError: the state is none of these, the outcome is known, the record is
                another account's, or the payment has the transaction ID of another that completed.
        """
        self.refuse_others(record)
        evidence = {
            State.COMPLETED: Evidence.SUCCEEDED,
            State.FAILED: Evidence.DECLINED,
            State.CANCELLED: Evidence.CANCELLED,
        }.get(State(state))
        if evidence is None:
            problem = Message("must be completed, failed or cancelled")
            raise nothing_sent({"state": [problem]})
        report = StatusReport(evidence=evidence, description=f"Decided by {by}: {note}")

        def decide() -> R:
            known = self.store.get(record)
            if State(known.state) in FINAL_STATES:
                problem = Message(
                    "the payment is %(state)s, which is final", state=str(known.state)
                )
                raise nothing_sent({"record": [problem]})
            decided = self._apply(known, report)
            if evidence is Evidence.SUCCEEDED and State(decided.state) in OPEN_STATES:
                problem = Message(
                    "its transaction, %(id)s, is that of another payment", id=known.transaction_id
                )
                raise nothing_sent({"record": [problem]})
            return self._reread(decided)

        decided = self.step(decide)
        try:
            # One that nothing proved until now may say otherwise.
            return self.step(lambda: self._apply_waiting_callbacks(decided))
        except Exception as error:  # noqa: BLE001 - it is decided
            reference = decided.third_party_reference
            log_failure("callback.not_applied", error, third_party_reference=reference)
            return decided

    def link(self, record: R, **columns: Any) -> R:
        """Write what is the shop's into a payment's record: what it is for, once that is known.

        By one UPDATE, which touches nothing else. In Django it is a part of the transaction that
        the caller has open, so that an order and its link are committed together; in Flask it is
        committed when this returns.

        Args:
            record: the payment; it may be old.
            columns: `metadata`, whose keys are put over those on record; `paid_for`, where the
                framework has it; and columns of the shop's own model.

        Returns:
            The record as it now is.

        Raises:
            ValidationError: a name is the library's or nobody's, or the payment is another
                account's or not on record; nothing was written.
        """
        self.refuse_others(record)
        shops = self.store.shop_columns(columns)
        check_metadata(columns)
        written = {name: value for values in shops.values() for name, value in values.items()}
        linked = self.store.link(record, written)
        if linked is None:
            raise nothing_sent({"record": [Message("is not on record")]})
        return linked

    def refuse_others(self, record: R) -> None:
        """Refuse a record of another account: its gateway, shortcode and key are others.

        Raises:
            ValidationError: it is one; names both accounts.
        """
        if record.account != self.alias:
            problem = Message(
                "the payment is of the account “%(account)s”, not of “%(alias)s”: "
                'use mpesa["%(account)s"]',
                account=record.account,
                alias=self.alias,
            )
            raise nothing_sent({"record": [problem]})

    def oldest_open(self) -> timedelta | None:
        """The age of the oldest payment whose outcome is open, for a health check; or None.

        More than `stuck_after` and growing: reconcile does not run, or the gateway does not tell.
        """
        oldest = self.store.oldest_open()
        return None if oldest is None else self._age(oldest)

    def accepts(self, token: str) -> bool:
        """Whether a callback URL's token is the account's, compared in constant time."""
        return is_token(token, self.client.config.callback_token)

    def receive(
        self, body: bytes, *, apply: bool = True, **origin: Any
    ) -> tuple[int, Mapping[str, str]]:
        """Take in a callback whose token was accepted: store it, decide it, answer it.

        Args:
            body: the request's bytes.
            apply: whether to decide it now, or leave that to `apply_callbacks`.
            origin: further columns of the store's callback, such as the remote address.

        Returns:
            The HTTP status and the JSON body to answer: the acknowledgement also where the
            callback is not believed, since it is stored and need not come again; 400 where it
            cannot be read.
        """
        callback: Callback | None = None
        problem = ""
        try:
            callback = read_callback(body)
        except UnreadableBody as error:
            problem = f"The body {error}"
        entry = self.step(lambda: self._keep_or_apply(body, callback, apply, origin))
        if callback is None:
            return 400, {"output_ResponseCode": "1", "output_ResponseDesc": problem}
        if apply and entry is not None:
            # Where that fails it is stored, and a worker tries again.
            self._try_to_decide(entry, body)
        return 200, acknowledgement(callback)

    def _keep_or_apply(
        self, body: bytes, callback: Callback | None, apply: bool, origin: dict[str, Any]
    ) -> C | None:
        """Store a callback; None where it was applied, too, in the same transaction."""
        kept = {
            **origin,
            "body": body,
            "conversation_id": callback.conversation_id[:64] if callback else "",
            "third_party_reference": callback.third_party_reference[:64] if callback else "",
        }
        if callback and apply and self._apply_at_once(callback, kept):
            return None
        verdict = Verdict.RECEIVED if callback else Verdict.UNREADABLE
        kept["verdict"] = verdict
        entry = written(
            lambda spelling: self.store.store_callback(spelled(kept, spelling)), kept.values()
        )
        if callback is None:
            self._reject(entry, Verdict.UNREADABLE)
        return entry

    def apply_callbacks(self, limit: int = 100, *, older_than: timedelta = timedelta(0)) -> int:
        """Decide callbacks that were stored and that nobody has looked at.

        One that cannot be decided stops no other: it is tried again later, `MOST_ATTEMPTS` times,
        and then kept for a person, with the verdict `failed`.

        Args:
            limit: how many at the most; two workers are never handed the same.
            older_than: only those that came so long ago.

        Returns:
            How many were looked at.

        Raises:
            ValidationError: the limit is not a number from 1 to 10,000.
        """
        check_counts(limit=limit)
        return self.apply_claimed_callbacks(utc_now(), limit, older_than=older_than)[0]

    def apply_claimed_callbacks(
        self,
        now: datetime,
        limit: int,
        *,
        older_than: timedelta,
        stopped: Callable[[], bool] = lambda: False,
    ) -> tuple[int, int]:
        """As `apply_callbacks`, of those due at a time; how many, and how many of them failed."""
        # One that must be confirmed takes a question; what a worker that died had, waits no longer.
        longest = timedelta(seconds=sum(self.client.config.timeout))
        until = utc_now() + DISPATCH_GRACE + longest
        claimed = self.step(
            lambda: self.store.claim_callbacks(now, until, limit, older_than=older_than)
        )
        done = failed = 0
        for due in claimed:
            if stopped() or (done and utc_now() + longest >= until):
                break
            done += 1
            failed += not self._decide_claimed(due)
        if done < len(claimed):
            rest = [due.entry for due in claimed[done:]]
            self.step(lambda: self.store.defer_callbacks(rest, utc_now()))
        return done, failed

    def step(self, call: Callable[[], _T]) -> _T:
        """Do some of the store's work, committed whatever the caller's transaction does.

        Raises:
            RecordsUnavailable: the database was away for too long.
        """
        return persist(self.store, call)

    def raise_if_unavailable(self, error: Exception) -> None:
        """Raise where an error is no row's fault, since the database is away for all of them.

        Raises:
            RecordsUnavailable: it is.
        """
        if isinstance(error, RecordsUnavailable):
            self.step(self.store.oldest_open)

    def _decide_claimed(self, due: DueCallback[C]) -> bool:
        """Decide a callback that was handed to this worker; False where that failed."""
        later = backoff(due.attempts)
        try:
            if due.attempts > 1:
                # Before it is tried: last time, it may have ended the process.
                self._defer_callback(due.entry, later)
            if due.attempts <= MOST_ATTEMPTS:
                problem = self._try_to_decide(due.entry, due.body)
                if problem is None:
                    return True
                self.raise_if_unavailable(problem)
            if due.attempts < MOST_ATTEMPTS:
                self._defer_callback(due.entry, later)
            else:
                self.step(lambda: self._give_up(due.entry))
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            log_failure("callback.not_put_off", error, account=self.alias)
            self.raise_if_unavailable(error)
        return False

    def _defer_callback(self, entry: C, later: timedelta) -> None:
        self.step(lambda: self.store.defer_callbacks([entry], utc_now() + later))

    def _try_to_decide(self, entry: C, body: bytes) -> Exception | None:
        """Decide a stored callback; what went wrong is logged, given back, and stops nothing."""
        reference = ""
        try:
            callback = _read_again(body)
            if callback is None:
                self.step(lambda: self.store.set_verdict(entry, Verdict.UNREADABLE, None))
                self._reject(entry, Verdict.UNREADABLE)
            else:
                reference = callback.third_party_reference
                self.step(partial(self._decide, entry, callback))
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            log_failure(
                "callback.not_decided", error, account=self.alias, third_party_reference=reference
            )
            return error
        return None

    def _give_up(self, entry: C) -> None:
        """Leave a callback to a person: it is kept, and tried no more."""
        self.store.set_verdict(entry, Verdict.FAILED, None)
        count_callback(self.alias, Verdict.FAILED.value)
        self._reject(entry, Verdict.FAILED)

    def query_status(self, record: R) -> TransactionStatusResult:
        """Ask the gateway what became of a payment, touching no record: safe in any thread."""
        self.refuse_others(record)
        reference = self._status_query_for(record).reference
        return self.client.query_transaction_status(query_reference=reference)

    def apply_status(self, record: R, answer: TransactionStatusResult) -> R:
        """Move a payment on by the answer to `question`, and note that it was asked for."""
        self.refuse_others(record)
        report = self._report_of_status(record, answer)
        after = self._apply_waiting_callbacks(self._apply(record, report))
        # Where no question can tell any more, there is nothing to wait for.
        over = report.unproven and not report.check_again and not report.duplicate
        return self._escalate(after, at_once=over and not after.conversation_id)

    def _status_query_for(self, record: R) -> StatusQuery:
        return status_query_for(record, self.store.aware(record.created_at))

    def defer(self, record: R, problem: Exception) -> R:
        """Note that a payment was asked for in vain, which says nothing of it."""
        self.refuse_others(record)
        logger.warning(
            "reconcile.unanswered third_party_reference=%s problem=%s",
            record.third_party_reference,
            problem,
        )
        state = State(record.state)
        if state in OPEN_STATES:
            self.store.change(record, state, Change(values=columns_after_check(record)))
        return self._escalate(self.store.get(record))

    def reconcile(
        self, *, batch: int = 100, workers: int = 4, rate: float | None = None
    ) -> Reconciled:
        """Ask for all payments that are due, and tell what was not told; see `Reconciler`.

        Raises:
            ValidationError: an argument is 0, negative or no number.
        """
        from .reconcile import Reconciler

        return Reconciler(self, batch=batch, workers=workers, rate=rate).run()

    def _report_of_status(self, record: R, answer: TransactionStatusResult) -> StatusReport:
        """What a status query tells of a payment. Its conversation is the query's own."""
        query = self._status_query_for(record)
        if self._is_anothers_too(record, query, answer):
            query = replace(query, proves=False)
        if not query.proves and (answer.transaction_status or is_duplicate(record)):
            return self._unproven(record, query, answer)
        evidence = self._evidence_of(record, answer)
        succeeded = evidence is Evidence.SUCCEEDED
        return StatusReport(
            evidence=evidence,
            description=f"Status query: {answer.transaction_status or 'N/A'}",
            transaction_id=answer.transaction_id if succeeded else None,
            asked=True,
        )

    def _is_anothers_too(
        self, record: R, query: StatusQuery, answer: TransactionStatusResult
    ) -> bool:
        """Whether a decided status may be that of another payment with the same conversation."""
        decided = evidence_of_status(answer.transaction_status) in DECIDED
        by_conversation = query.reference == record.conversation_id
        return decided and by_conversation and self.store.shares_conversation(record)

    def _unproven(
        self, record: R, query: StatusQuery, answer: TransactionStatusResult
    ) -> StatusReport:
        """What is said of a reference that may be another request's moves nothing."""
        duplicate = is_duplicate(record)
        decided = evidence_of_status(answer.transaction_status) in DECIDED
        given_up_at = self.store.aware(record.created_at) + self.settings.stuck_after
        waits = duplicate and record.stuck_at is None and given_up_at > utc_now()
        return StatusReport(
            evidence=Evidence.NOTHING,
            description=mask_msisdns_in(
                f"Status query by {query.reference}: {answer.transaction_status or 'N/A'}, "
                f"transaction {answer.transaction_id or 'N/A'}. "
                "That may be another request with this reference"
            ),
            asked=True,
            unproven=True,
            duplicate=duplicate,
            check_again=not (decided or duplicate),
            next_check_at=given_up_at if waits else None,
        )

    def _evidence_of(self, record: R, answer: TransactionStatusResult) -> Evidence:
        """What a status says of a payment.

        That the gateway does not know it, says that it never had it only where the account's
        settings say from what age on, its call cannot be under way any more, and nothing shows
        that the gateway ever had it.
        """
        grace = self.settings.not_found_after
        if (
            answer.transaction_status is None
            and grace is not None
            and not gateway_had(record)
            and self._age(record) >= max(grace, self.client.longest_call)
        ):
            return Evidence.DECLINED
        return evidence_of_status(answer.transaction_status)

    def _age(self, record: R) -> timedelta:
        return utc_now() - self.store.aware(record.created_at)

    def _escalate(self, record: R, *, at_once: bool = False) -> R:
        """Tell a person, once, of a payment that has been open for too long."""
        if (
            State(record.state) not in OPEN_STATES
            or record.stuck_at is not None
            or (not at_once and self._age(record) < self.settings.stuck_after)
        ):
            return record
        entry = self._outbox_entry(Event.STUCK)
        change = Change(values={"stuck_at": utc_now()}, outbox=entry)
        changed = self.store.change(record, State(record.state), change)
        if changed is None:
            return self.store.get(record)
        self._dispatch((entry, changed[0]))
        return changed[0]

    def _pay(
        self,
        operation: str,
        arguments: dict[str, Any],
        third_party_reference: str | int | None,
        idempotency_key: IdempotencyKey | None,
        extra: dict[str, Any],
    ) -> R:
        key = check_key(idempotency_key)
        self.store.shop_columns(extra)
        request = self._prepare(operation, arguments, third_party_reference)
        columns = {name: request.values[name] for name in arguments}
        return self._start(request, columns, key, extra)

    def _prepare(
        self, operation: str, arguments: dict[str, Any], third_party_reference: str | int | None
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
        values = {
            **extra,
            **columns,
            "operation": request.operation.name,
            "state": State.INITIATED,
            "third_party_reference": request.third_party_reference,
            "idempotency_key": idempotency_key,
            # If this process dies now, reconcile asks once no answer can come to a first try.
            "next_check_at": utc_now()
            + timedelta(seconds=sum(self.client.config.timeout))
            + FIRST_CHECK,
        }
        return self._record_and_send(request, values, extra)

    def _record_and_send(
        self, request: PreparedRequest, values: dict[str, Any], extra: dict[str, Any]
    ) -> R:
        """Write the payment down, committed, and only then send it."""
        entry = self._outbox_entry(Event.INITIATED)
        begun = False

        def create() -> tuple[R, bool]:
            nonlocal begun
            written = self._written_before(values) if begun else None
            begun = True
            return self._create(values, entry) if written is None else (written, True)

        # Tried again it charges nobody twice: what a first try may have written is in the way.
        record, created = self._before_sending(create)
        if not created:
            return check_repeated(record, values, self.store.shop_columns(extra))
        self._dispatch((entry, record))
        self.store.disconnect()
        try:
            report = self._send(request)
        except Exception as error:  # noqa: BLE001 - the money may move: the caller gets the record
            # Something outside this library broke; whether bytes had left, nobody knows.
            log_failure(
                "payment.interrupted",
                error,
                operation=record.operation,
                third_party_reference=record.third_party_reference,
            )
            report = StatusReport(evidence=Evidence.NOTHING, description="Interrupted by an error")
        return self._after_sending(record, report)

    def _create(self, values: dict[str, Any], outbox: Sequence[OutboxEntry]) -> tuple[R, bool]:
        if not self._has_tables:  # looked at once, by the first payment of each process
            require_tables(self.store)
            self._has_tables = True
        return self.store.create(values, outbox)

    def _written_before(self, values: dict[str, Any]) -> R | None:
        """The record of this call's own first try, whose commit was done and not heard of.

        Only by a reference that was made for this call: one that was given may be another call's.
        """
        reference = values["third_party_reference"]
        found = self.store.find(reference) if made_about(reference, utc_now()) else None
        return exact_match(found, "third_party_reference", reference)

    def _reread(self, record: R) -> R:
        """Read a record again for the caller; as it was, where that cannot be.

        Receivers and others have had it meanwhile. What they wrote of the shop's own columns, a
        `save()` of the caller's would else undo.
        """
        try:
            # Isolated by itself, so that a connection that breaks here is given up.
            return self.store.isolated(lambda: self.store.get(record), writes=False)
        except Exception as error:  # noqa: BLE001 - what matters is written
            reference = record.third_party_reference
            log_failure("payment.not_read", error, third_party_reference=reference)
            return record

    def _before_sending(self, call: Callable[[], _T]) -> _T:
        try:
            return self.step(call)
        except (CalledInTransaction, RecordsUnavailable) as error:
            text = str(error).removeprefix("Nothing was sent. ")
            raise type(error)(f"Nothing was sent. {text}") from (error.__cause__ or error)

    def _after_sending(self, record: R, report: StatusReport) -> R:
        """Write down what was learnt of a payment, and raise nothing: its money may have moved."""
        written: list[R] = []

        def write() -> R:
            if not written:
                written.append(self._apply(record, report))
            return self._reread(self._apply_waiting_callbacks(written[0]))

        try:
            return persist(self.store, write, patience=AFTER_SENDING)
        except BaseException as error:
            # Where nothing was written, this is the one place where the answer is kept, until
            # reconcile has asked again.
            log_failure(
                "callback.not_applied" if written else "payment.not_written",
                error,
                operation=record.operation,
                third_party_reference=record.third_party_reference,
                evidence=report.evidence,
                code=report.code,
                conversation_id=report.conversation_id,
                transaction_id=report.transaction_id,
            )
            if not isinstance(error, Exception):
                raise  # the process is to end
        if written:
            return written[0]
        if contradicts(record, report):
            return record
        return self.store.with_values(record, self._change_by(record, report).values)

    def _send(self, request: PreparedRequest) -> StatusReport:
        try:
            return report_of_result(self.client.send(request))
        except MpesaError as error:
            return report_of_error(error)

    def _apply(self, record: R, report: StatusReport) -> R:
        """Move a record on by a piece of evidence; whoever else has news of it may go first."""
        report = self._without_originals_id(record, report)
        while True:
            if contradicts(record, report):
                return self._note_conflict(record, report)
            change = self._change_by(record, report)
            if not change.values:
                return record
            try:
                changed = self._make(change, record)
            except TransactionClaimed as claimed:
                noted = self._note_claimed(record, report, change, claimed)
                # All else that the news said: that it was asked for, and in which conversation.
                report = replace(report, evidence=Evidence.NOTHING, transaction_id=None)
                return self._apply(noted, report)
            if changed is not None:
                return changed
            record = self.store.get(record)

    def _without_originals_id(self, record: R, report: StatusReport) -> StatusReport:
        """The transaction that a reversal gives back is the original's, whoever names it."""
        if record.operation != "reversal" or not report.transaction_id:
            return report
        named = self.store.find_paid(report.transaction_id)
        if named is None or named.pk != record.original_id:
            return report
        return replace(report, transaction_id=None)

    def _change_by(self, record: R, report: StatusReport) -> Change:
        step = transition(State(record.state), report.evidence)
        completes = step.changed and step.state is State.COMPLETED
        reverses = completes and record.operation == "reversal"
        values = changed_columns(record, step, report)
        dispatched = self._outbox_entry(EVENT_OF_STATE[step.state]) if step.changed else ()
        if "conflict" in values:
            dispatched += self._outbox_entry(Event.CONFLICT)
        return Change(
            values=values,
            outbox=dispatched,
            reverses=reverses,
            original_outbox=self._outbox_entry(Event.REVERSED) if reverses else (),
        )

    def _make(self, change: Change, record: R) -> R | None:
        """Change a record and tell of it; None where it is not in its state any more."""
        state = State(record.state)
        changed = written(
            lambda spelling: self.store.change(record, state, spelled_change(change, spelling)),
            texts_of(change),
        )
        if changed is None:
            return None
        self._note(changed[0], change)
        if changed[1] is not None:
            self._note_state(changed[1])
            self._dispatch((change.outbox, changed[0]), (change.original_outbox, changed[1]))
            return changed[0]
        self._dispatch((change.outbox, changed[0]))
        if change.reverses:
            logger.error(
                "reversal.unbooked third_party_reference=%s: more was given back than paid",
                record.third_party_reference,
            )
        return changed[0]

    def _note(self, record: R, change: Change) -> None:
        if "state" in change.values:
            self._note_state(record)
        if "conflict" in change.values:
            reference = record.third_party_reference
            logger.error(
                "payment.conflict third_party_reference=%s state=%s", reference, record.state
            )

    def _note_state(self, record: R) -> None:
        logger.info(
            "payment.%s operation=%s third_party_reference=%s",
            record.state,
            record.operation,
            record.third_party_reference,
        )
        count_transition(self.alias, record.operation, record.state)

    def _note_conflict(self, record: R, report: StatusReport) -> R:
        said = f"{report.evidence} ({report.code or 'no code'}, "
        said += f"transaction {report.transaction_id or 'N/A'}): {report.description}"
        return self._note_for_a_person(record, said, report)

    def _note_claimed(
        self, record: R, report: StatusReport, change: Change, claimed: TransactionClaimed
    ) -> R:
        # The same words whoever brings it: a person is told once.
        said = f"{report.evidence} (transaction {change.values['claimed_transaction_id']}), "
        said += f"but that transaction is payment {claimed.reference}'s"
        return self._note_for_a_person(record, said, report)

    def _note_for_a_person(self, record: R, said: str, report: StatusReport) -> R:
        entry = self._outbox_entry(Event.CONFLICT)
        noted = written(
            lambda spelling: self.store.note_conflict(record, spelling(said[:255]), entry), [said]
        )
        if noted is None:
            return self.store.get(record)
        logger.error(
            "payment.conflict third_party_reference=%s state=%s evidence=%s",
            record.third_party_reference,
            record.state,
            report.evidence,
        )
        self._dispatch((entry, noted))
        return noted

    def _outbox_entry(self, event: Event) -> tuple[OutboxEntry, ...]:
        return (OutboxEntry(event),) if self.notifier.wants(event) else ()

    def _dispatch(self, *told_of: tuple[Sequence[OutboxEntry], R]) -> None:
        """Tell the shop what has just been committed."""
        due = [(entry, record) for outbox, record in told_of for entry in outbox]
        # All of them at once: the receivers of the first may take longer than a lease lasts.
        leases = hold(self.store, [entry.id for entry, _ in due], DISPATCH_GRACE)
        for entry, record in due:
            self._notify(entry, record, leases.pop(0))

    def dispatch(self, due: DueOutboxEntry[R]) -> bool:
        """Tell the shop of an event whose process died; False where that failed.

        Whatever is wrong with it is logged and stops nothing: it is handed out again, later each
        time.

        Raises:
            RecordsUnavailable: the database is away, for all events.
        """
        try:
            dispatched = self._dispatch_late(due)
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            log_failure("signal.not_sent", error, event=due.event, event_id=due.id)
            self.raise_if_unavailable(error)
            dispatched = False
        if not dispatched and due.attempts >= MOST_ATTEMPTS:
            logger.error(
                "signal.never_sent event=%s event_id=%s attempts=%d: it needs a person",
                due.event,
                due.id,
                due.attempts,
            )
        return dispatched

    def _dispatch_late(self, due: DueOutboxEntry[R]) -> bool:
        if due.attempts > 1:
            # Before it is tried: last time, a receiver may have ended the process.
            later = utc_now() + backoff(due.attempts)
            self.step(lambda: self.store.defer_outbox([due.id], later))
        record = due.record
        if record is None:
            logger.warning("signal.payment_gone event=%s event_id=%s", due.event, due.id)
            self.step(lambda: self.store.settle_outbox([due.id]))
            return True
        entry = OutboxEntry(Event(due.event), due.id)
        (lease,) = hold(self.store, [due.id], DISPATCH_GRACE)
        # Other receivers may have written to it since it was handed out.
        return self._notify(entry, self.step(partial(self.store.get, record)), lease)

    def _notify(self, entry: OutboxEntry, record: R, lease: Lease) -> bool:
        """Have receivers called, and note that they were; it raises nothing."""

        def dispatched() -> None:
            lease.end()
            self._settle(entry)

        try:
            self.notifier.notify(entry, record, dispatched)
        except Exception as error:  # noqa: BLE001 - a payment is not undone by who hears of it
            lease.end()
            log_failure("signal.not_sent", error, event=entry.event, event_id=entry.id)
            return False
        return True

    def _settle(self, entry: OutboxEntry) -> None:
        try:
            self.store.isolated(lambda: self.store.settle_outbox([entry.id]))
        except Exception as error:  # noqa: BLE001 - it was told, and may be told again
            log_failure("signal.not_settled", error, event=entry.event, event_id=entry.id)

    def _apply_waiting_callbacks(self, record: R) -> R:
        """Look again at callbacks that overtook the answer, now that more is known."""
        if not record.conversation_id and State(record.state) in OPEN_STATES:
            return record
        if self.client.config.callback_token is None:
            return record  # without a token, no callback was ever let in
        waiting = self.store.waiting_callbacks(record.third_party_reference)
        for entry, body in waiting:
            if self._try_to_decide(entry, body) is not None:
                self._leave_to_worker(entry, record)
        return self.store.get(record) if waiting else record

    def _leave_to_worker(self, entry: C, record: R) -> None:
        """Have a callback tried again by whoever looks for undecided ones, who counts the tries."""
        try:
            self.store.set_verdict(entry, Verdict.RECEIVED, record)
        except Exception as error:  # noqa: BLE001 - the payment has moved on
            log_failure("callback.not_put_off", error, account=self.alias)

    def _apply_at_once(self, callback: Callback, kept: dict[str, Any]) -> bool:
        """Store a callback with what it changes, in one transaction, where it plainly does.

        False says that nothing was done: it is to be stored by itself, and decided then.
        """
        record = self._find(callback)
        if record is None or record.conversation_id != callback.conversation_id:
            return False
        report = self._without_originals_id(record, report_of_callback(callback))
        step = transition(State(record.state), report.evidence)
        if not step.changed or self.settings.verify_callbacks or contradicts(record, report):
            return False
        kept = {**kept, "verdict": Verdict.APPLIED}
        change = replace(self._change_by(record, report), callback=kept)
        try:
            applied = self._make(change, record) is not None
        except TransactionClaimed:
            return False
        except Exception as error:  # noqa: BLE001
            # Whatever broke: what arrived is stored, by itself, before that is tried again.
            log_failure("callback.not_applied", error, account=self.alias)
            return False
        if applied:
            count_callback(self.alias, Verdict.APPLIED.value)
        return applied

    def _find(self, callback: Callback) -> R | None:
        reference = callback.third_party_reference
        if not is_third_party_reference(reference):
            return None  # a database may not even compare it with what it has
        return exact_match(self.store.find(reference), "third_party_reference", reference)

    def _decide(self, entry: C, callback: Callback) -> None:
        record = self._find(callback)
        if record is not None and not record.conversation_id:
            self.store.set_verdict(entry, Verdict.EARLY, record)
            # The answer may have come since the record was read, and have missed this callback.
            record = self.store.get(record)
            if not record.conversation_id:
                self._decide_without_conversation(entry, callback, record)
                return
        verdict = self._verdict(record, callback)
        count_callback(self.alias, verdict.value)
        self.store.set_verdict(entry, verdict, record)
        if verdict in REJECTED:
            self._reject(entry, verdict)

    def _decide_without_conversation(self, entry: C, callback: Callback, record: R) -> None:
        """Nothing says yet, or ever, that the callback is this payment's."""
        report = self._without_originals_id(record, report_of_callback(callback))
        if State(record.state) in OPEN_STATES:
            self._ask_soon(record)
        elif contradicts(record, report):
            # No answer will name its conversation any more: a person must hear of it.
            self._note_conflict(record, report)
            self.store.set_verdict(entry, Verdict.CONFLICT, record)
        elif report.transaction_id and report.transaction_id == record.transaction_id:
            self.store.set_verdict(entry, Verdict.REPEATED, record)

    def _ask_soon(self, record: R) -> None:
        self.store.change(record, State(record.state), Change(values={"next_check_at": utc_now()}))

    def _reject(self, entry: C, verdict: Verdict) -> None:
        logger.warning("callback.rejected account=%s verdict=%s", self.alias, verdict)
        try:
            self.notifier.callback_rejected(entry, verdict)
        except Exception as error:  # noqa: BLE001 - whatever a framework or receiver does
            log_failure("signal.not_sent", error, event=CALLBACK_REJECTED, account=self.alias)

    def _verdict(self, record: R | None, callback: Callback) -> Verdict:
        if record is None:
            return Verdict.UNMATCHED
        if record.conversation_id != callback.conversation_id:
            return Verdict.MISMATCHED
        report = self._without_originals_id(record, report_of_callback(callback))
        before = State(record.state)
        step = transition(before, report.evidence)
        if report.evidence is Evidence.NOTHING and before in OPEN_STATES:
            self._ask_soon(record)
            return Verdict.UNCONFIRMED
        if step.changed and self.settings.verify_callbacks:
            return self._confirm(record, report)
        after = self._apply(record, report)
        if step.conflict or names_another_transaction(after, report):
            return Verdict.CONFLICT
        succeeded = report.evidence is Evidence.SUCCEEDED
        if succeeded and not _is_settled(after, kept_id(report.transaction_id)):
            return Verdict.CONFLICT
        return Verdict.APPLIED if after.state != before else Verdict.REPEATED

    def _confirm(self, record: R, report: StatusReport) -> Verdict:
        """Believe a callback only when the gateway, asked, says so too."""
        self.store.disconnect()
        try:
            answer = self.query_status(record)
        except MpesaError as error:
            self.defer(record, error)
            return Verdict.UNCONFIRMED
        said = self._report_of_status(record, answer)
        if not agree(said.evidence, report.evidence):
            self._apply(record, said)
            return Verdict.UNCONFIRMED
        # The callback knows better why, and the query which transaction.
        known = said.transaction_id or report.transaction_id
        after = self._apply(record, replace(report, asked=True, transaction_id=known))
        settled = State(after.state) in FINAL_STATES
        moved = State(after.state) in MONEY_MOVED_STATES
        return (
            Verdict.APPLIED
            if settled and moved == (report.evidence is Evidence.SUCCEEDED)
            else Verdict.CONFLICT
        )


def is_token(given: str, expected: str | None) -> bool:
    """Whether a callback URL's token is the one expected, compared in constant time."""
    return expected is not None and hmac.compare_digest(
        given.encode(errors="surrogatepass"), expected.encode()
    )


def _read_again(body: bytes) -> Callback | None:
    """Read a stored callback; None where that cannot be, as it could by what stored it."""
    try:
        return read_callback(body)
    except UnreadableBody:
        return None


def _is_settled(record: Record, transaction_id: str | None) -> bool:
    """Whether a payment stands as the news of a success, with that transaction, would have it."""
    has_it = bool(record.transaction_id) or not transaction_id
    return State(record.state) in MONEY_MOVED_STATES and has_it
