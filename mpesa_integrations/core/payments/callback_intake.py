"""Callbacks: stored as they come, matched with a payment, decided, tried again, given up.

Who may call, and how the HTTP request is read, is in `endpoint`. What a callback does to the
payment's record is `recorder`'s.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import IntEnum
from functools import partial
from typing import Any, Generic

from ..client.blocking import MpesaClient
from ..errors import MpesaError
from ..failures import log_failure
from ..protocol.answers import UnreadableBody
from ..protocol.callbacks import Callback, acknowledgement, read_callback
from ..protocol.market import Market
from ..protocol.references import is_third_party_reference
from ..settings.account import AccountSettings
from ..telemetry import count_callback
from .encodings import substituted, write_in_charset
from .events import CALLBACK_REJECTED
from .evidence import (
    StatusReport,
    agree,
    contradicts,
    kept_id,
    names_another_transaction,
    report_of_callback,
)
from .lifecycle import (
    AWAITED_STATES,
    FINAL_STATES,
    MONEY_MOVED_STATES,
    OPEN_STATES,
    Evidence,
    State,
    transition,
)
from .notifier import Notifier
from .persistence import persist, raise_if_database_is_away
from .recorder import Recorder
from .records import (
    MAY_BE_APPLIED_AGAIN,
    REJECTED,
    C,
    DueCallback,
    R,
    Record,
    StoredCallback,
    TransactionClaimed,
    Verdict,
)
from .schedule import DISPATCH_GRACE, MOST_ATTEMPTS, backoff, time_left, utc_now
from .status_queries import StatusQueries, seconds_under_way
from .store import Store, find_exactly

logger: logging.Logger = logging.getLogger("mpesa_integrations")


class Named(IntEnum):
    """What a callback names of an account's payments; the largest makes it that account's."""

    NOTHING = 0
    UNKNOWN = 1
    """The account's settings are broken: the callback is to come again."""
    REFERENCE = 2
    REFERENCE_WITHOUT_CONVERSATION = 3
    """The payment has no conversation yet: the callback may have come before the answer."""
    REFERENCE_AND_CONVERSATION = 4


class CallbackIntake(Generic[R, C]):
    """One account's callbacks.

    Args:
        alias: the account's name.
        store: where callbacks and records are.
        settings: whether a callback must be confirmed by a status query.
        client: whose settings say how long that takes, and whether there is a callback token.
        notifier: sends the signal of a callback that is not believed.
        recorder: moves a payment on by what a callback reports.
        queries: confirm a callback.
    """

    def __init__(
        self,
        alias: str,
        store: Store[R, C],
        *,
        settings: AccountSettings,
        client: MpesaClient,
        notifier: Notifier[R, C],
        recorder: Recorder[R, C],
        queries: StatusQueries[R, C],
    ) -> None:
        self._alias = alias
        self._settings = settings
        self._client = client
        self._store = store
        self._notifier = notifier
        self._recorder = recorder
        self._queries = queries

    def receive(
        self, body: bytes, *, apply: bool, origin: dict[str, Any]
    ) -> tuple[int, Mapping[str, str]]:
        """Store a callback, decide it and answer it; as `Payments.receive`."""
        callback: Callback | None = None
        problem = ""
        try:
            callback = read_callback(body, self._settings.config.market)
        except UnreadableBody as error:
            problem = f"The body {error}"
        entry = persist(self._store, lambda: self._store_or_apply(body, callback, apply, origin))
        if callback is None:
            return 400, {"output_ResponseCode": "1", "output_ResponseDesc": problem}
        if apply and entry is not None:
            # Where that fails it is stored, and a worker tries again.
            self._try_to_decide(entry, body)
        return 200, acknowledgement(callback)

    def named_in(self, body: bytes) -> Named:
        """What a callback names of the account's payments; as `Payments.named_in`."""
        callback = _read_again(body, self._settings.config.market)
        if callback is None:
            return Named.NOTHING
        record = persist(self._store, partial(self._find, callback))
        if record is None:
            return Named.NOTHING
        if not record.conversation_id:
            return Named.REFERENCE_WITHOUT_CONVERSATION
        if record.conversation_id == callback.conversation_id:
            return Named.REFERENCE_AND_CONVERSATION
        return Named.REFERENCE

    def apply_claimed(
        self,
        now: datetime,
        limit: int,
        *,
        older_than: timedelta,
        stopped: Callable[[], bool] = lambda: False,
    ) -> tuple[int, int]:
        """Decide stored callbacks that nobody has decided, by any number of workers.

        Args:
            now: those that are due by then.
            limit: how many at the most.
            older_than: only those that came so long ago.
            stopped: whether to leave the rest to others.

        Returns:
            How many were looked at, and how many of them failed.
        """
        # One that must be confirmed takes a query; what a worker that died had, waits no longer.
        left = time_left(DISPATCH_GRACE)
        until = utc_now() + DISPATCH_GRACE + self._client.longest_attempt
        claimed = persist(
            self._store,
            lambda: self._store.claim_callbacks(now, until, limit, older_than=older_than),
        )
        done = failed = 0
        for due in claimed:
            if stopped() or (done and left() <= 0):
                break
            done += 1
            failed += not self._decide_claimed(due)
        if done < len(claimed):
            rest = [due.entry for due in claimed[done:]]
            persist(self._store, lambda: self._store.defer_callbacks(rest, utc_now()))
        return done, failed

    def apply_again(self, key: Any) -> Verdict | None:
        """Decide a stored callback anew, as if it came now; see `Payments.apply_callback_again`."""
        for found in self._stored(key, MAY_BE_APPLIED_AGAIN):
            callback = _read_again(found.body, self._settings.config.market)
            if callback is not None:
                persist(self._store, partial(self._decide, found.entry, callback))
                return next((each.verdict for each in self._stored(key, frozenset(Verdict))), None)
        return None

    def _stored(self, key: Any, verdicts: Collection[Verdict]) -> list[StoredCallback[C]]:
        find = partial(self._store.callbacks, limit=1, verdicts=verdicts, key=key)
        return persist(self._store, find)

    def apply_waiting(self, record: R) -> R:
        """Look again at callbacks that overtook the answer, now that more is known."""
        if not record.conversation_id and State(record.state) in OPEN_STATES:
            return record
        if self._client.config.callback_token is None:
            return record  # without a token, no callback was ever let in
        waiting = self._store.waiting_callbacks(record.third_party_reference)
        for entry, body in waiting:
            if self._try_to_decide(entry, body) is not None:
                self._leave_to_worker(entry, record)
        return self._store.get(record) if waiting else record

    def _store_or_apply(
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
        kept["verdict"] = Verdict.RECEIVED if callback else Verdict.UNREADABLE
        entry = write_in_charset(
            lambda substitute: self._store.store_callback(substituted(kept, substitute)),
            kept.values(),
        )
        if callback is None:
            self._reject(entry, Verdict.UNREADABLE)
        return entry

    def _apply_at_once(self, callback: Callback, kept: dict[str, Any]) -> bool:
        """Store a callback with what it changes, in one transaction, where it plainly does.

        False says that nothing was done: it is to be stored by itself, and decided then.
        """
        record = self._find(callback)
        if record is None or record.conversation_id != callback.conversation_id:
            return False
        report = self._report_of(record, callback)
        step = transition(State(record.state), report.evidence)
        if not step.changed or self._settings.verify_callbacks or contradicts(record, report):
            return False
        kept = {**kept, "verdict": Verdict.APPLIED}
        change = replace(self._recorder.change_for(record, report), callback=kept)
        try:
            applied = self._recorder.write(change, record) is not None
        except TransactionClaimed:
            return False
        except Exception as error:  # noqa: BLE001
            # Whatever broke: what arrived is stored, by itself, before that is tried again.
            log_failure("callback.not_applied", error, account=self._alias)
            return False
        if applied:
            count_callback(self._alias, Verdict.APPLIED.value)
        return applied

    def _decide_claimed(self, due: DueCallback[C]) -> bool:
        """Decide a callback that was handed to this worker; False where that failed."""
        later = backoff(due.attempts)
        try:
            if due.attempts > 1:
                # Before it is tried: last time, it may have ended the process.
                self._defer(due.entry, later)
            if due.attempts <= MOST_ATTEMPTS:
                problem = self._try_to_decide(due.entry, due.body)
                if problem is None:
                    return True
                raise_if_database_is_away(self._store, problem)
            if due.attempts < MOST_ATTEMPTS:
                self._defer(due.entry, later)
            else:
                persist(self._store, lambda: self._give_up(due.entry))
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            log_failure("callback.not_put_off", error, account=self._alias)
            raise_if_database_is_away(self._store, error)
        return False

    def _defer(self, entry: C, later: timedelta) -> None:
        persist(self._store, lambda: self._store.defer_callbacks([entry], utc_now() + later))

    def _try_to_decide(self, entry: C, body: bytes) -> Exception | None:
        """Decide a stored callback; what went wrong is logged, given back, and stops nothing."""
        reference = ""
        try:
            callback = _read_again(body, self._settings.config.market)
            if callback is None:
                persist(
                    self._store,
                    lambda: self._store.set_verdict(entry, Verdict.UNREADABLE, None),
                )
                self._reject(entry, Verdict.UNREADABLE)
            else:
                reference = callback.third_party_reference
                persist(self._store, partial(self._decide, entry, callback))
        except Exception as error:  # noqa: BLE001 - whatever a row does, the others go on
            log_failure(
                "callback.not_decided", error, account=self._alias, third_party_reference=reference
            )
            return error
        return None

    def _give_up(self, entry: C) -> None:
        """Leave a callback to a person: it is kept, and tried no more."""
        self._store.set_verdict(entry, Verdict.FAILED, None)
        count_callback(self._alias, Verdict.FAILED.value)
        self._reject(entry, Verdict.FAILED)

    def _leave_to_worker(self, entry: C, record: R) -> None:
        """Have a callback tried again by a worker, which counts the attempts."""
        try:
            self._store.set_verdict(entry, Verdict.RECEIVED, record)
        except Exception as error:  # noqa: BLE001 - the payment has moved on
            log_failure("callback.not_put_off", error, account=self._alias)

    def _decide(self, entry: C, callback: Callback) -> None:
        record = self._find(callback)
        if record is not None and not record.conversation_id:
            self._store.set_verdict(entry, Verdict.EARLY, record)
            # The answer may have come since the record was read, and have missed this callback.
            record = self._store.get(record)
            if not record.conversation_id:
                self._decide_without_conversation(entry, callback, record)
                return
        verdict = self._verdict(record, callback)
        count_callback(self._alias, verdict.value)
        self._store.set_verdict(entry, verdict, record)
        if verdict in REJECTED:
            self._reject(entry, verdict)

    def _decide_without_conversation(self, entry: C, callback: Callback, record: R) -> None:
        """Nothing says yet, or ever, that the callback is this payment's."""
        if seconds_under_way(self._store, record):
            # Its answer is to come, and then this is looked at again. Were it asked for now, it
            # would look as if its call had ended, and the order might be paid again meanwhile.
            return
        report = self._report_of(record, callback)
        if State(record.state) in AWAITED_STATES:
            self._recorder.check_now(record)
        elif State(record.state) is State.QUEUED:
            # Nothing was sent. It stays early until an answer names the conversation, or there
            # will be none.
            return
        elif contradicts(record, report):
            # No answer will name its conversation any more: a person must look.
            self._recorder.note_conflict(record, report)
            self._store.set_verdict(entry, Verdict.CONFLICT, record)
        elif report.transaction_id and report.transaction_id == record.transaction_id:
            self._store.set_verdict(entry, Verdict.REPEATED, record)

    def _verdict(self, record: R | None, callback: Callback) -> Verdict:
        if record is None:
            return Verdict.UNMATCHED
        if record.conversation_id != callback.conversation_id:
            return Verdict.MISMATCHED
        report = self._report_of(record, callback)
        before = State(record.state)
        step = transition(before, report.evidence)
        if report.evidence is Evidence.NOTHING and before in AWAITED_STATES:
            self._recorder.check_now(record)
            return Verdict.UNCONFIRMED
        if step.changed and self._settings.verify_callbacks:
            return self._confirm(record, report)
        after = self._recorder.apply(record, report)
        if step.conflict or names_another_transaction(after, report):
            return Verdict.CONFLICT
        succeeded = report.evidence is Evidence.SUCCEEDED
        if succeeded and not _is_settled(after, kept_id(report.transaction_id)):
            return Verdict.CONFLICT
        return Verdict.APPLIED if after.state != before else Verdict.REPEATED

    def _confirm(self, record: R, report: StatusReport) -> Verdict:
        """Believe a callback only when the gateway, asked, says so too."""
        self._store.disconnect()
        try:
            answer = self._queries.query_status(record)
        except MpesaError as error:
            self._recorder.defer(record, error)
            return Verdict.UNCONFIRMED
        said = self._queries.report_on(record, answer)
        if not agree(said.evidence, report.evidence):
            self._recorder.apply(record, said)
            return Verdict.UNCONFIRMED
        # The callback knows better why, and the query which transaction.
        known = said.transaction_id or report.transaction_id
        after = self._recorder.apply(record, replace(report, asked=True, transaction_id=known))
        settled = State(after.state) in FINAL_STATES
        moved = State(after.state) in MONEY_MOVED_STATES
        return (
            Verdict.APPLIED
            if settled and moved == (report.evidence is Evidence.SUCCEEDED)
            else Verdict.CONFLICT
        )

    def _find(self, callback: Callback) -> R | None:
        reference = callback.third_party_reference
        if not is_third_party_reference(reference):
            return None  # a database may not even compare it with what it has
        return find_exactly(self._store, reference)

    def _report_of(self, record: R, callback: Callback) -> StatusReport:
        return self._recorder.without_originals_id(record, report_of_callback(callback))

    def _reject(self, entry: C, verdict: Verdict) -> None:
        logger.warning("callback.rejected account=%s verdict=%s", self._alias, verdict)
        try:
            self._notifier.callback_rejected(entry, verdict)
        except Exception as error:  # noqa: BLE001 - whatever a framework or receiver does
            log_failure("signal.not_sent", error, event=CALLBACK_REJECTED, account=self._alias)


def is_token(given: str, expected: str | None) -> bool:
    """Whether a callback URL's token is the one expected, compared in constant time."""
    return expected is not None and hmac.compare_digest(
        given.encode(errors="surrogatepass"), expected.encode()
    )


def _read_again(body: bytes, market: Market) -> Callback | None:
    """Read a callback whose body is reported elsewhere; None where that cannot be."""
    try:
        return read_callback(body, market)
    except UnreadableBody:
        return None


def _is_settled(record: Record, transaction_id: str | None) -> bool:
    """Whether a payment stands as a report of success, with that transaction, would have it."""
    has_it = bool(record.transaction_id) or not transaction_id
    return State(record.state) in MONEY_MOVED_STATES and has_it
