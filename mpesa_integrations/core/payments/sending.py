"""Sends a payment in three steps: record it, committed; send it; write down what came of it.

They are apart so that a worker or an asynchronous client can do one without the others. After any
crash, each request that may have reached the gateway has a record, and none is sent twice. What an
answer means for the record is in `recorder`; docs/design.md, "Invariants".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from ..client.blocking import MpesaClient
from ..errors import CalledInTransaction, MpesaError, RecordsUnavailable
from ..failures import log_failure
from ..protocol.references import made_about
from ..protocol.requests import PreparedRequest
from .callback_intake import CallbackIntake
from .evidence import StatusReport, contradicts, report_of_error, report_of_result
from .idempotency import IdempotencyKey, check_key, check_repeated
from .lifecycle import Evidence, State
from .outbox import Outbox
from .persistence import AFTER_SENDING, persist, reread
from .recorder import Recorder
from .records import C, Event, OutboxEntry, R, exact_match
from .schedule import FIRST_CHECK, utc_now
from .store import Store
from .tables import require_tables

_T = TypeVar("_T")


class Sender(Generic[R, C]):
    """Sends one account's payments.

    Args:
        client: sends.
        store: where the records are.
        outbox: dispatches that a payment was recorded.
        recorder: writes down what came of it.
        callbacks: of which some may overtake the answer.
    """

    def __init__(
        self,
        client: MpesaClient,
        store: Store[R, C],
        outbox: Outbox[R, C],
        recorder: Recorder[R, C],
        callbacks: CallbackIntake[R, C],
    ) -> None:
        self._client = client
        self._store = store
        self._outbox = outbox
        self._recorder = recorder
        self._callbacks = callbacks
        self._has_tables = False

    def prepare(
        self,
        operation: str,
        arguments: Mapping[str, Any],
        third_party_reference: str | int | None,
    ) -> PreparedRequest:
        """Check a call's arguments.

        Args:
            operation: its name, as `c2b`.
            arguments: the arguments of the client's method.
            third_party_reference: None to have one made.

        Raises:
            ValidationError: one is wrong.
        """
        return self._client.prepare(
            operation, third_party_reference=third_party_reference, **arguments
        )

    def before_sending(self, call: Callable[[], _T]) -> _T:
        """Do a step of the store's work whose errors say that nothing was sent."""
        try:
            return persist(self._store, call)
        except (CalledInTransaction, RecordsUnavailable) as error:
            text = str(error).removeprefix("Nothing was sent. ")
            raise type(error)(f"Nothing was sent. {text}") from (error.__cause__ or error)

    def pay(
        self,
        operation: str,
        arguments: Mapping[str, Any],
        third_party_reference: str | int | None,
        idempotency_key: IdempotencyKey | None,
        extra: Mapping[str, Any],
    ) -> R:
        """Check the arguments of `c2b`, `b2c` or `b2b`, record the payment and send it.

        Args:
            operation: its name.
            arguments: those that are the client's, too: they are columns of the record.
            third_party_reference: as `Payments.c2b` takes it.
            idempotency_key: likewise.
            extra: the shop's own, likewise.
        """
        key = check_key(idempotency_key)
        self._store.shop_columns(extra)
        request = self.prepare(operation, arguments, third_party_reference)
        columns = {name: request.values[name] for name in arguments}
        return self.start(request, columns, key, extra)

    def start(
        self,
        request: PreparedRequest,
        columns: Mapping[str, Any],
        idempotency_key: str | None,
        extra: Mapping[str, Any],
    ) -> R:
        """Record a checked call and send it.

        Args:
            request: the call.
            columns: what it says of the record: amount, number and so on.
            idempotency_key: as text, checked.
            extra: the shop's own, as `Payments.c2b` takes it.

        Returns:
            The record, as the answer left it; of a repeated call, the one on record.
        """
        values = {
            **extra,
            **columns,
            "operation": request.operation.name,
            "state": State.INITIATED,
            "third_party_reference": request.third_party_reference,
            "idempotency_key": idempotency_key,
            # If this process dies now, reconcile asks once no answer can come to a first try.
            "next_check_at": utc_now() + self._client.longest_attempt + FIRST_CHECK,
        }
        return self._record_and_send(request, values, extra)

    def _record_and_send(
        self, request: PreparedRequest, values: Mapping[str, Any], extra: Mapping[str, Any]
    ) -> R:
        record, created = self._record(values)
        if not created:
            return check_repeated(record, values, self._store.shop_columns(extra))
        return self._write_down(record, self._send(record, request))

    def _record(self, values: Mapping[str, Any]) -> tuple[R, bool]:
        """The first step: the payment's record, committed; False with it if it was there."""
        outbox = self._outbox.entries_for(Event.INITIATED)
        begun = False

        def create() -> tuple[R, bool]:
            nonlocal begun
            before = self._recorded_before(values) if begun else None
            begun = True
            return self._create(values, outbox) if before is None else (before, True)

        # Tried again it charges nobody twice: what a first try may have written is in the way.
        record, created = self.before_sending(create)
        if created:
            self._outbox.dispatch((outbox, record))
        return record, created

    def _create(self, values: Mapping[str, Any], outbox: Sequence[OutboxEntry]) -> tuple[R, bool]:
        if not self._has_tables:  # looked at once, by the first payment of each process
            require_tables(self._store)
            self._has_tables = True
        return self._store.create(values, outbox)

    def _recorded_before(self, values: Mapping[str, Any]) -> R | None:
        """The record of this call's own first try, whose commit was done and not heard of.

        Only by a reference that was made for this call: one that was given may be another call's.
        """
        reference = values["third_party_reference"]
        found = self._store.find(reference) if made_about(reference, utc_now()) else None
        return exact_match(found, "third_party_reference", reference)

    def _send(self, record: R, request: PreparedRequest) -> StatusReport:
        """The second step: send it once, holding no connection, and report; raises nothing."""
        self._store.disconnect()
        try:
            return self._report_of(request)
        except Exception as error:  # noqa: BLE001 - the money may move: the caller gets the record
            # Something outside this library broke; whether bytes had left, nobody knows.
            log_failure(
                "payment.interrupted",
                error,
                operation=record.operation,
                third_party_reference=record.third_party_reference,
            )
            return StatusReport(evidence=Evidence.NOTHING, description="Interrupted by an error")

    def _report_of(self, request: PreparedRequest) -> StatusReport:
        try:
            return report_of_result(self._client.send(request))
        except MpesaError as error:
            return report_of_error(error)

    def _write_down(self, record: R, report: StatusReport) -> R:
        """The third step: write the report down, and raise nothing: the money may have moved."""
        written: list[R] = []

        def write() -> R:
            if not written:
                written.append(self._recorder.apply(record, report))
            return reread(self._store, self._callbacks.apply_waiting(written[0]))

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
