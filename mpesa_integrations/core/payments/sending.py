"""Sends a payment in three steps: record it, committed; send it; write down what came of it.

They are apart so that a worker or an asynchronous client can do one without the others: `begin` and
`write_down` are the store's work, and between them nothing of it is held. After any crash, each
request that may have reached the gateway has a record, and none is sent twice. What an answer means
for the record is in `recorder`; docs/design.md, "Invariants".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ..client.blocking import MpesaClient
from ..errors import (
    CalledInTransaction,
    MpesaError,
    RecordLocked,
    RecordsUnavailable,
    nothing_sent,
)
from ..failures import log_failure
from ..messages import Message
from ..protocol.references import made_about
from ..protocol.requests import PreparedRequest
from ..protocol.results import Result
from ..settings.account import Send
from .callback_intake import CallbackIntake
from .events import event_of
from .evidence import StatusReport, contradicts, report_of_error, report_of_result
from .idempotency import check_repeated
from .keys import Key, check_key
from .lifecycle import Evidence, State
from .orders import Order, order_of_key, standing_attempt
from .outbox import Outbox
from .persistence import AFTER_SENDING, persist, reread
from .queued import Queue, is_overdue
from .recorder import Recorder
from .records import C, OrderClaimed, R, Record
from .schedule import FIRST_CHECK, time_left, utc_now
from .store import Store, find_exactly
from .tables import require_tables

_T = TypeVar("_T")
_ROUNDS = 10
"""Times that an order's attempts are looked at, where each time another call was faster."""


@dataclass(frozen=True, slots=True)
class Begun(Generic[R]):
    """A payment after the first step.

    Attributes:
        record: the payment; one that was there before, where a call is repeated.
        request: what is now to be sent of it, once; None where nothing is.
    """

    record: R
    request: PreparedRequest | None


def interrupted(record: Record, error: Exception) -> StatusReport:
    """What is known of a request that something outside this library broke in: nothing.

    Whether bytes had left, nobody knows.
    """
    log_failure(
        "payment.interrupted",
        error,
        operation=record.operation,
        third_party_reference=record.third_party_reference,
    )
    return StatusReport(evidence=Evidence.NOTHING, description="Interrupted by an error")


def _may_be_queued(values: Mapping[str, Any], error: RecordsUnavailable) -> RecordsUnavailable:
    """The error of a call whose record may be committed, so that a worker may send it yet."""
    text = str(error).removeprefix("Nothing was sent. ")
    return RecordsUnavailable(
        f"Nothing was sent yet. {text}. Should payment {values['third_party_reference']} be queued "
        "all the same, a worker sends it: look for it before you ask for the money anew"
    )


class Sender(Generic[R, C]):
    """Sends one account's payments.

    Args:
        client: sends.
        store: where the records are.
        outbox: dispatches that a payment was recorded.
        recorder: writes down what came of it.
        callbacks: of which some may overtake the answer.
        queue: has what a worker is to send.
    """

    def __init__(
        self,
        client: MpesaClient,
        store: Store[R, C],
        *,
        outbox: Outbox[R, C],
        recorder: Recorder[R, C],
        callbacks: CallbackIntake[R, C],
        queue: Queue[R, C],
    ) -> None:
        self._client = client
        self._store = store
        self._outbox = outbox
        self._recorder = recorder
        self._callbacks = callbacks
        self._queue = queue
        self._has_tables = False

    def prepare(
        self,
        operation: str,
        arguments: Mapping[str, Any],
        third_party_reference: str | int | None,
    ) -> PreparedRequest:
        """Check a call's arguments. Each attempt of what they make must begin within `FIRST_CHECK`.

        Args:
            operation: its name, as `c2b`.
            arguments: the arguments of the client's method.
            third_party_reference: None to have one made.

        Raises:
            ValidationError: one is wrong.
        """
        prepared = self._client.prepare(
            operation, third_party_reference=third_party_reference, **arguments
        )
        # Of what begins by then, each answer has come or is given up by the `next_check_at` that is
        # written: from then on a person may decide that it failed, and the order is paid anew.
        return replace(prepared, time_left=time_left(FIRST_CHECK))

    def before_sending(self, call: Callable[[], _T]) -> _T:
        """Do a step of the store's work whose errors say that nothing was sent."""
        try:
            return persist(self._store, call)
        except (CalledInTransaction, RecordsUnavailable) as error:
            text = str(error).removeprefix("Nothing was sent. ")
            raise type(error)(f"Nothing was sent. {text}") from (error.__cause__ or error)

    def begin_payment(
        self,
        operation: str,
        arguments: Mapping[str, Any],
        third_party_reference: str | int | None,
        idempotency_key: Key | None,
        extra: Mapping[str, Any],
        *,
        order: object = None,
        again: bool = False,
        send: Send | None = None,
    ) -> Begun[R]:
        """The first step of `c2b`, `b2c` or `b2b`: check the arguments, and record the payment.

        Args:
            operation: its name.
            arguments: those that are the client's, too: they are columns of the record.
            third_party_reference: as `Payments.c2b` takes it.
            idempotency_key: likewise.
            extra: the shop's own, likewise.
            order: likewise.
            again: likewise.
            send: likewise.
        """
        key = check_key(idempotency_key)
        queued = self._queue.is_for(send)
        ordered = self._read_order(order, key)
        if ordered is not None:
            extra = {**ordered.columns, **extra}
            if arguments["reference"] is None:
                arguments = {**arguments, "reference": ordered.reference}
        self._store.shop_columns(extra)
        request = self.prepare(operation, arguments, third_party_reference)
        columns = {name: request.values[name] for name in arguments}
        if ordered is None:
            return self.begin(request, columns, key, extra, queued=queued)
        claim = {"order_key": ordered.key, "claimed_order_key": ordered.key}
        values = self._values(request, {**columns, **claim}, extra, queued=queued)
        return self._attempt(request, values, again)

    def read_order(self, order: object) -> Order:
        """Read an order as a call names it.

        Raises:
            ValidationError: it cannot be one.
        """
        return order_of_key(order) or self._store.order_of(order)

    def _read_order(self, order: object, idempotency_key: str | None) -> Order | None:
        if order is None:
            return None
        if idempotency_key is not None:
            problem = Message("goes without an idempotency key, since an order may be tried again")
            raise nothing_sent({"order": [problem]})
        return self.read_order(order)

    def begin(
        self,
        request: PreparedRequest,
        columns: Mapping[str, Any],
        idempotency_key: str | None,
        extra: Mapping[str, Any],
        *,
        queued: bool,
    ) -> Begun[R]:
        """The first step: record a checked call.

        Args:
            request: the call.
            columns: what it says of the record: amount, number and so on.
            idempotency_key: as text, checked.
            extra: the shop's own, as `Payments.c2b` takes it.
            queued: whether a worker is to send it.
        """
        values = {
            **self._values(request, columns, extra, queued=queued),
            "idempotency_key": idempotency_key,
        }
        record, is_new = self._record(values)
        if is_new:
            return Begun(record, None if queued else request)
        return self.repeated(record, values, self._store.shop_columns(extra))

    def repeated(
        self, record: R, values: Mapping[str, Any], shops: Mapping[str, Mapping[str, Any]]
    ) -> Begun[R]:
        """Give the payment that has a call's idempotency key, as `check_repeated`."""
        check_repeated(record, values, shops)
        if is_overdue(self._store, record):
            record = self.before_sending(lambda: self._queue.expire(record))
        return Begun(record, None)

    def finish(self, begun: Begun[R]) -> R:
        """Do the other two steps of a payment that was begun.

        Returns:
            The record, as the answer left it; as it is, where nothing is to be sent.
        """
        if begun.request is None:
            return begun.record
        report = self.send(begun.record, begun.request)
        return self.write_down(begun.record, report, for_caller=True)

    def request_of(self, record: R) -> PreparedRequest:
        """Make the request of a recorded payment anew, as its call had it.

        Raises:
            ValidationError: the account's settings do not allow it any more.
            ConfigurationError: they lack something that it needs.
        """
        arguments: dict[str, Any] = {"amount": record.amount}
        if record.operation == "reversal":
            original = self._store.original_of(record)
            arguments["transaction_id"] = None if original is None else original.transaction_id
        else:
            arguments["reference"] = record.reference
            arguments["msisdn"] = record.msisdn or None
            arguments["receiver_shortcode"] = record.receiver_shortcode or None
        return self.prepare(record.operation, arguments, record.third_party_reference)

    def _values(
        self,
        request: PreparedRequest,
        columns: Mapping[str, Any],
        extra: Mapping[str, Any],
        *,
        queued: bool,
    ) -> dict[str, Any]:
        """What is to be written of a payment before it is sent."""
        at_once = {
            "state": State.INITIATED,
            # If this process dies now, reconcile asks once no answer can come to any attempt.
            "next_check_at": utc_now() + self._client.longest_attempt + FIRST_CHECK,
        }
        return {
            **extra,
            **columns,
            "operation": request.operation.name,
            "third_party_reference": request.third_party_reference,
            **(self._queue.columns() if queued else at_once),
        }

    def _attempt(
        self, request: PreparedRequest, values: Mapping[str, Any], again: bool
    ) -> Begun[R]:
        """Begin a payment of an order, unless another of the order stands: then give that."""

        def standing() -> R | None:
            attempts = self._store.attempts(values["order_key"], values["operation"])
            still = [self._queue.expire(attempt) for attempt in attempts]
            return standing_attempt(still, values["amount"], again=again)

        refused: BaseException
        for _ in range(_ROUNDS):
            try:
                record, is_new = self._record(values, standing)
            except OrderClaimed as claimed:
                # Another call was faster: its payment stands now, or has failed meanwhile.
                refused = claimed.__cause__ or claimed
            else:
                queued = values["state"] is State.QUEUED
                return Begun(record, request if is_new and not queued else None)
        raise refused

    def _record(
        self, values: Mapping[str, Any], standing: Callable[[], R | None] | None = None
    ) -> tuple[R, bool]:
        """The payment's record, committed; False with it if it was there.

        Args:
            values: what is written.
            standing: finds another payment that is given in its place.

        Raises:
            OrderClaimed: another payment of the order is open or paid.
        """
        outbox = self._outbox.entries_for(event_of(values["operation"], values["state"]))
        begun = False

        def create() -> tuple[R, bool]:
            nonlocal begun
            self._require_tables()
            before = self._recorded_before(values) if begun else None
            begun = True
            if before is not None:
                return before, True
            stands = standing() if standing else None
            return (stands, False) if stands is not None else self._store.create(values, outbox)

        # Tried again it charges nobody twice: what a first try may have written is in the way.
        try:
            record, created = self.before_sending(create)
        except RecordsUnavailable as error:
            if begun and values["state"] is State.QUEUED and not isinstance(error, RecordLocked):
                raise _may_be_queued(values, error) from (error.__cause__ or error)
            raise
        if created:
            self._outbox.dispatch((outbox, record))
            if values["state"] is State.QUEUED:
                self._queue.announce(record)
        return record, created

    def _require_tables(self) -> None:
        if not self._has_tables:  # looked at once, by the first payment of each process
            require_tables(self._store)
            self._has_tables = True

    def _recorded_before(self, values: Mapping[str, Any]) -> R | None:
        """The record of this call's own first try, whose commit was done and not heard of.

        Only by a reference that was made for this call, or by the moment until which a worker may
        send it: a reference that was given may be another call's.
        """
        reference = values["third_party_reference"]
        is_made, until = made_about(reference, utc_now()), values.get("send_before")
        if not is_made and until is None:
            return None
        found = find_exactly(self._store, reference)
        if found is None or is_made:
            return found
        kept = found.send_before
        return found if kept is not None and self._store.aware(kept) == until else None

    def send(self, record: R, request: PreparedRequest) -> StatusReport:
        """The second step: send it once, holding no connection, and report; raises nothing."""
        self._store.disconnect()
        return self.report_of(record, lambda: self._client.send(request))

    def report_of(self, record: R, send: Callable[[], Result]) -> StatusReport:
        """What came of sending a payment's request; raises nothing, and touches no record.

        Args:
            record: the payment.
            send: sends the request, or gives what came of it; raises as the client does.
        """
        try:
            return report_of_result(send())
        except MpesaError as error:
            return report_of_error(error)
        except Exception as error:  # noqa: BLE001 - the money may move: the caller gets the record
            return interrupted(record, error)

    def write_down(self, record: R, report: StatusReport, *, for_caller: bool = False) -> R:
        """The third step: write the report down, and raise nothing: the money may have moved.

        Args:
            record: the payment.
            report: what came of it.
            for_caller: whether the record is given to the shop, so that it is to have what
                receivers wrote.
        """
        written: list[R] = []

        def write() -> R:
            if not written:
                written.append(self._recorder.apply(record, report))
            known = self._callbacks.apply_waiting(written[0])
            return reread(self._store, known) if for_caller else known

        try:
            return persist(self._store, write, patience=AFTER_SENDING)
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
        return self._store.with_values(record, self._recorder.change_for(record, report).values)
