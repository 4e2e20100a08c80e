"""One account's recorded payments: the calls that an application makes.

What a call does is done by the parts that stand beside this file, which are put together here:
`sending`, `reversals`, `checks`, `resolutions`, `callback_intake` and `reconcile`, all of them over
`recorder`, `outbox` and a store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from ..client.blocking import MpesaClient
from ..client.by_loop import ClientsByLoop
from ..client.in_flight import InFlight, InThreads, calls_in_flight
from ..errors import nothing_sent
from ..messages import Message
from ..protocol.results import CustomerNameResult, TransactionStatusResult
from ..redaction import forgetful_calls
from ..settings.account import AccountSettings, Send
from .async_calls import AsyncCalls
from .async_sending import AsyncSender
from .async_steps import blocking
from .callback_intake import CallbackIntake, Named, is_token
from .checks import Checks
from .handler_runs import HandlerRuns, Ran
from .handlers import Handlers
from .keys import Key
from .lifecycle import State
from .limits import check_counts
from .notifier import Notifier
from .orders import attempt_that_stands, paid_attempt
from .outbox import Outbox
from .ownership import check_metadata, refuse_other_account
from .persistence import persist
from .queue_sender import QueueSender
from .queued import Queue
from .rate_limits import RateLimit, limit_of
from .reconcile import Reconciled, Reconciler
from .recorder import Recorder
from .records import REJECTED, C, R, StoredCallback, UnfinishedHandler, Verdict
from .resolutions import Resolutions
from .reversals import Reversals
from .schedule import utc_now
from .sending import Sender
from .status_queries import StatusQueries
from .store import Store
from .waiting import FOR_A_PIN, Waiting


@forgetful_calls
class Payments(AsyncCalls[R, C]):
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
        notifier: calls the application's receivers.
        handlers: the application's durable handlers; None means none.
        enqueue: puts a task that calls `send_queued` on the application's task queue; called with
            the account and the payment's third-party reference. None means there is no queue.
    """

    def __init__(
        self,
        alias: str,
        settings: AccountSettings,
        store: Store[R, C],
        notifier: Notifier[R, C],
        handlers: Handlers | None = None,
        *,
        enqueue: Callable[[str, str], object] | None = None,
    ) -> None:
        self._alias = alias
        self._settings = settings
        self._client = client = MpesaClient(settings.config, transport=settings.transport)
        self._store = store
        self._notifier = notifier
        self._handler_runs = HandlerRuns(store, notifier, handlers or Handlers())
        self._outbox = Outbox(store, notifier, self._handler_runs)
        self._recorder = Recorder(alias, store, self._outbox, stuck_after=settings.stuck_after)
        queries = StatusQueries(settings, client, store)
        self._callbacks = CallbackIntake(
            alias,
            store,
            settings=settings,
            client=client,
            notifier=notifier,
            recorder=self._recorder,
            queries=queries,
        )
        self._queue = Queue(
            alias,
            settings=settings,
            client=client,
            store=store,
            outbox=self._outbox,
            recorder=self._recorder,
            callbacks=self._callbacks,
            enqueue=enqueue,
        )
        self._checks = Checks(
            alias,
            store,
            queries=queries,
            recorder=self._recorder,
            callbacks=self._callbacks,
            queue=self._queue,
        )
        self._sender = Sender(
            client,
            store,
            outbox=self._outbox,
            recorder=self._recorder,
            callbacks=self._callbacks,
            queue=self._queue,
        )
        self._reversals = Reversals(alias, store, self._sender)
        self._waiting = Waiting(alias, store, self._queue)
        clients = ClientsByLoop(client, settings.transport)
        self._async_sender = AsyncSender(store, self._sender, self._checks, clients)
        self._resolutions = Resolutions(alias, store, self._recorder, self._callbacks)

    # Read-only, since the parts have the same objects: another one would reach only some of them.

    @property
    def alias(self) -> str:
        """The account's name in the settings."""
        return self._alias

    @property
    def settings(self) -> AccountSettings:
        """The account's settings."""
        return self._settings

    @property
    def client(self) -> MpesaClient:
        """What sends the account's calls."""
        return self._client

    @property
    def store(self) -> Store[R, C]:
        """The account's records."""
        return self._store

    @property
    def notifier(self) -> Notifier[R, C]:
        """What calls the application's receivers."""
        return self._notifier

    @blocking
    def c2b(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int | None = None,
        order: Any = None,
        again: bool = False,
        third_party_reference: str | int | None = None,
        idempotency_key: Key | None = None,
        send: Send | None = None,
        **extra: Any,
    ) -> R:
        """Take a payment from a customer.

        With `order=`, at most one payment of the order is open or paid, whoever calls, and however
        often. The call gives the one that is, and sends nothing, whatever number it names; after
        one that failed it sends another.

        Args:
            msisdn: the customer's number, as typed or normalised.
            amount: meticais with at most 2 decimals; never a float.
            reference: 1 to 20 characters, or a whole number, for the statement; the order's if left
                out.
            order: what is sold: 1 to 100 characters, a whole number or a UUID; in Django also a
                saved object, which is then what the payment is `paid_for`.
            again: whether an order of which all the money was given back may be paid once more.
            third_party_reference: 1 to 20 letters and digits; made if left out.
            idempotency_key: 1 to 100 characters, a whole number or a UUID; the same key with the
                same arguments gives the same record and sends nothing.
            send: "now" or "worker": whether the call sends the payment, or records it as `queued`
                and returns, for a worker to send within `send_within`; the account's setting if
                left out.
            extra: the shop's own: `metadata`, a dict; `paid_for`, what it is for, where the
                framework has it; and columns of its own model.

        Returns:
            The record, as the answer left it; of an order, the one that is open, paid or given
            back, or that failed and is said to have been paid, which a person is to decide.

        Raises:
            ValidationError: an argument is wrong, or names a column of the library's or none, or
                a payment of the order is open or paid with another amount; nothing was recorded or
                sent.
            IdempotencyConflict: the key was used with other arguments, `metadata` excepted.
            DuplicateTransaction: the third-party reference is on record already.
        """
        begun = self._sender.begin_payment(
            "c2b",
            {"msisdn": msisdn, "amount": amount, "reference": reference},
            third_party_reference,
            idempotency_key,
            extra,
            order=order,
            again=again,
            send=send,
        )
        return self._sender.finish(begun)

    @blocking
    def b2c(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int | None = None,
        order: Any = None,
        again: bool = False,
        third_party_reference: str | int | None = None,
        idempotency_key: Key | None = None,
        send: Send | None = None,
        **extra: Any,
    ) -> R:
        """Pay out to a customer. Arguments, result and errors as for `c2b`."""
        begun = self._sender.begin_payment(
            "b2c",
            {"msisdn": msisdn, "amount": amount, "reference": reference},
            third_party_reference,
            idempotency_key,
            extra,
            order=order,
            again=again,
            send=send,
        )
        return self._sender.finish(begun)

    @blocking
    def b2b(
        self,
        *,
        receiver_shortcode: str,
        amount: str | int | Decimal,
        reference: str | int | None = None,
        order: Any = None,
        again: bool = False,
        third_party_reference: str | int | None = None,
        idempotency_key: Key | None = None,
        send: Send | None = None,
        **extra: Any,
    ) -> R:
        """Pay another business, by its shortcode of 5 or 6 digits. Otherwise as `c2b`."""
        begun = self._sender.begin_payment(
            "b2b",
            {"receiver_shortcode": receiver_shortcode, "amount": amount, "reference": reference},
            third_party_reference,
            idempotency_key,
            extra,
            order=order,
            again=again,
            send=send,
        )
        return self._sender.finish(begun)

    @blocking
    def attempts(self, order: Any, *, operation: str = "c2b") -> list[R]:
        """Give the payments of an order, the oldest first: those that failed, and the one that not.

        One that no worker has sent in time fails by this, as by a worker.

        Args:
            order: as for `c2b`.
            operation: `c2b`, or `b2c` or `b2b` for payouts.

        Raises:
            ValidationError: that cannot be an order.
        """
        return self._attempts(order, operation)

    def _attempts(self, order: Any, operation: str) -> list[R]:
        key = self._sender.read_order(order).key
        found = self.store.isolated(lambda: self.store.attempts(key, operation), writes=False)
        return [self._queue.expire_overdue(attempt) for attempt in found]

    @blocking
    def paid(self, order: Any, *, operation: str = "c2b") -> R | None:
        """Give the payment of an order whose money, or a part of it, is with the shop; or None.

        Arguments and errors as for `attempts`.
        """
        return paid_attempt(self._attempts(order, operation))

    @blocking
    def standing(self, order: Any, *, operation: str = "c2b") -> R | None:
        """Give the payment that says where an order stands; None where nothing was ever sent.

        It is the one that is open or paid, else one that a person is to decide, else the newest.
        Arguments and errors as for `attempts`.
        """
        return attempt_that_stands(self._attempts(order, operation))

    @blocking
    def reverse(
        self,
        payment: R | None = None,
        amount: str | int | Decimal | None = None,
        *,
        transaction_id: str | None = None,
        third_party_reference: str | int | None = None,
        idempotency_key: Key | None = None,
        send: Send | None = None,
        **extra: Any,
    ) -> R:
        """Give a recorded payment's money back; the reversal is a record of its own.

        While its outcome is open, the payment's `reversal_pending` has its amount.

        Args:
            payment: its record; it may be old.
            amount: meticais; None means all that was not given back yet.
            transaction_id: the payment's, as `4XDF12345`, in place of its record.
            third_party_reference: of the reversal; made if left out.
            idempotency_key: as for `c2b`.
            send: as for `c2b`.
            extra: as for `c2b`.

        Raises:
            ValidationError: no such payment is on record, it did not complete, or the amount is
                more than is left of it, the reversals under way counted; nothing was sent.
        """
        begun = self._reversals.begin(
            payment,
            transaction_id,
            amount,
            third_party_reference=third_party_reference,
            idempotency_key=idempotency_key,
            extra=extra,
            queued=self._queue.is_for(send),
        )
        return self._sender.finish(begun)

    @blocking
    def withdraw(self, payment: R) -> R:
        """Take back a payment that is queued, so that it is never sent.

        Args:
            payment: its record; it may be old.

        Returns:
            The record: `cancelled` where it was taken back. In any other state it was too late: a
            worker has begun to send it, or it has ended by itself.

        Raises:
            ValidationError: the record is another account's.
            CalledInTransaction: as for `c2b`.
            RecordsUnavailable: likewise.
        """
        return self._queue.withdraw(payment)

    @blocking
    def query_transaction_status(self, *, query_reference: str) -> TransactionStatusResult:
        """Ask where any transaction stands, changing no record. As the client's method."""
        return self.client.query_transaction_status(query_reference=query_reference)

    @blocking
    def query_customer_name(self, *, msisdn: str) -> CustomerNameResult:
        """Ask for a customer's name, partly masked. As the client's method."""
        return self.client.query_customer_name(msisdn=msisdn)

    @blocking
    def check(self, record: R) -> R:
        """Ask the gateway what became of a payment, and move the record on by what it says.

        Of a payment that is queued nothing was sent: it is given as it is, and nothing is asked.
        While a payment's own call is under way, only what decides it moves it on.

        Raises:
            GatewayUnavailable: no readable answer; the record's next check was deferred.
            AuthenticationError: the credentials were refused; likewise.
            CalledInTransaction: as for `c2b`; not where the outcome is known already.
            RecordsUnavailable: the answer could not be written down; `reconcile` asks again.
            ValidationError: the record is another account's; nothing was asked.
        """
        return self._checks.check(record)

    @blocking
    def wait(self, payment: R, *, timeout: float = FOR_A_PIN) -> R:
        """Wait until a payment is decided, by a callback or a worker; nobody is asked.

        Its record is looked at again and again, after 2 seconds at the most, and in between no
        connection is held, unless the caller's own transaction needs it.

        Args:
            payment: its record; it may be old.
            timeout: seconds to wait at the most, up to a day; 0 looks once.

        Returns:
            The record as it then is. Where time is over first, its `is_open` says so: nobody knows
            yet, and nothing is to be sent again.

        Raises:
            ValidationError: the time-out is none, or the payment is another account's or not on
                record.
            RecordsUnavailable: the database was away when time was over; before that, it is
                waited for.
            CalledInTransaction: inside the caller's transaction on SQLite, no change could be seen.
        """
        return self._waiting.wait(payment, timeout)

    async def await_outcome(
        self,
        payment: R,
        *,
        timeout: float = FOR_A_PIN,
    ) -> R:
        """Wait until a payment is decided, in a coroutine, which holds no thread meanwhile.

        It may be cancelled at any time. Arguments, result and errors as for `wait`.
        """
        return await self._waiting.await_outcome(payment, timeout)

    @blocking
    def resolve(self, record: R, state: State, *, by: str, note: str) -> R:
        """Decide, as a person who knows better than the gateway said, what became of a payment.

        Args:
            record: a payment whose outcome is open, or that was contradicted after it was known.
            state: `COMPLETED`, `FAILED` or `CANCELLED`. A payment that failed, and that the
                gateway then said had gone through, completes by `COMPLETED`; by the others it stays
                as it is, and its order may be tried again.
            by: who decides.
            note: on what grounds, as in "seen on the statement of 3 May".

        Raises:
            ValidationError: the state is none of these, the outcome is known and uncontradicted,
                it is to have failed while its call is under way, the record is another account's,
                the payment has the transaction ID of another that completed, or another of its
                order is open or paid.
        """
        return self._resolutions.resolve(record, state, by=by, note=note)

    @blocking
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
        refuse_other_account(record.account, self.alias)
        shops = self.store.shop_columns(columns)
        check_metadata(columns)
        written = {name: value for values in shops.values() for name, value in values.items()}
        linked = self.store.link(record, written)
        if linked is None:
            raise nothing_sent({"record": [Message("is not on record")]})
        return linked

    @blocking
    def oldest_open(self) -> timedelta | None:
        """The age of the oldest payment whose outcome is open, for a health check; or None.

        More than `stuck_after` and growing: reconcile does not run, or the gateway does not know.
        """
        oldest = self.store.oldest_open()
        return None if oldest is None else self._recorder.age(oldest)

    def queued(self) -> tuple[int, timedelta | None]:
        """How many payments wait for a worker to send them, and the age of the oldest, if any."""
        count, oldest = self.store.queued()
        return count, None if oldest is None else utc_now() - oldest

    def expire_overdue(self, payment: R) -> R:
        """Fail a payment that was just read where it is queued and no worker has sent it in time.

        It raises nothing: any other payment, and one that cannot be written now, is given as it is.

        Args:
            payment: its record, as it now is.
        """
        return self._queue.expire_overdue(payment)

    def accepts(self, token: str) -> bool:
        """Whether a callback URL's token is the account's, compared in constant time."""
        return is_token(token, self.client.config.callback_token)

    def named_in(self, body: bytes) -> Named:
        """What a callback names of the account's payments; nothing where it cannot be read.

        Raises:
            RecordsUnavailable: the database is away.
        """
        return self._callbacks.named_in(body)

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
        return self._callbacks.receive(body, apply=apply, origin=origin)

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
        return self._callbacks.apply_claimed(utc_now(), limit, older_than=older_than)[0]

    def rejected_callbacks(self, *, limit: int = 1000) -> list[StoredCallback[C]]:
        """The callbacks that are of no payment, or could not be applied, the newest first.

        Args:
            limit: how many at the most.

        Raises:
            ValidationError: the limit is not a number from 1 to 10,000.
        """
        check_counts(limit=limit)
        find = partial(self._store.callbacks, limit=limit, verdicts=REJECTED)
        return persist(self._store, find)

    def apply_callback_again(self, key: Any) -> Verdict | None:
        """Decide a stored callback anew, now: its payment may be on record, or known better, since.

        It is believed as much, or as little, as when it came.

        Args:
            key: its primary key.

        Returns:
            What became of it; None where no callback of the account's has that key, or where it
            was applied already or cannot be read.

        Raises:
            CalledInTransaction: as for `c2b`.
            RecordsUnavailable: the database is away.
        """
        return self._callbacks.apply_again(key)

    def unfinished_handlers(self, *, limit: int = 1000) -> list[UnfinishedHandler]:
        """The durable handlers that are still to be run, those that wait for a person first.

        Args:
            limit: how many at the most.

        Raises:
            ValidationError: the limit is not a number from 1 to 10,000.
        """
        check_counts(limit=limit)
        return self._handler_runs.unfinished(limit)

    def run_again(self, event_id: str) -> Ran | None:
        """Have a durable handler tried now, and as often as a new one, whatever came of it before.

        Args:
            event_id: of one of the `unfinished_handlers`.

        Returns:
            What came of it; None where no handler is left with that ID.
        """
        return self._handler_runs.run_again(event_id)

    def queue_sender(
        self,
        concurrency: int = 20,
        *,
        rate: float | RateLimit | None = None,
        stop: threading.Event | None = None,
        on_answer: Callable[[], object] | None = None,
    ) -> QueueSender[R, C]:
        """What sends the account's queued payments, for a worker that runs it bit by bit.

        Args:
            concurrency: payments under way at a time.
            rate: payments a second at the most, by this object, or a limit that others share;
                None means no limit.
            stop: when set, nothing is taken any more.
            on_answer: called, in another thread, when `run_once` has an answer to write down.

        Raises:
            ValidationError: an argument is 0, negative or no number.
        """
        own_transport = self._settings.transport is not None
        calls = calls_in_flight(self._client, own_transport=own_transport)
        return self._queue_sender(calls, concurrency, rate=rate, stop=stop, on_answer=on_answer)

    def send_queued(self, third_party_reference: str) -> bool:
        """Send one queued payment, and wait for what comes of it, as a task does.

        Any number of tasks and workers may be told of a payment: one of them sends it.

        Args:
            third_party_reference: the payment's.

        Returns:
            Whether it was this call that sent it.

        Raises:
            RecordsUnavailable: the database is away; where it had been claimed, `reconcile` asks.
        """
        sender = self._queue_sender(InThreads(self._client), 1, reference=third_party_reference)
        done = sender.run_once()
        while sender.in_flight:
            sender.wait(self._client.longest_attempt.total_seconds())
            done += sender.run_once()
        return done.claimed > 0

    def _queue_sender(
        self,
        calls: InFlight,
        concurrency: int,
        *,
        rate: float | RateLimit | None = None,
        stop: threading.Event | None = None,
        on_answer: Callable[[], object] | None = None,
        reference: str | None = None,
    ) -> QueueSender[R, C]:
        return QueueSender(
            alias=self._alias,
            store=self._store,
            queue=self._queue,
            sender=self._sender,
            outbox=self._outbox,
            calls=calls,
            concurrency=concurrency,
            rate=limit_of(rate),
            stop=stop,
            on_answer=on_answer,
            reference=reference,
        )

    def to_be_checked(self) -> tuple[int, timedelta | None]:
        """How many payments are to be asked for, and in how long the first is due, if any."""
        count, first = persist(self._store, self._store.to_be_checked)
        return count, None if first is None else max(first - utc_now(), timedelta(0))

    def reconcile(
        self, *, batch: int = 100, workers: int = 4, rate: float | None = None, now: bool = False
    ) -> Reconciled:
        """Check all payments that are due, and dispatch what was not; see `reconciler`.

        Raises:
            ValidationError: an argument is 0, negative or no number.
        """
        return self.reconciler(batch=batch, workers=workers, rate=rate, now=now).run()

    def reconciler(
        self,
        *,
        batch: int = 100,
        workers: int = 4,
        rate: float | RateLimit | None = None,
        stop: threading.Event | None = None,
        now: bool = False,
    ) -> Reconciler[R, C]:
        """What reconciles the account's payments, for a worker that runs it bit by bit.

        Args:
            batch: records in memory at a time.
            workers: status queries at a time.
            rate: status queries a second at the most, or a limit that others share; None means no
                limit.
            stop: when set, what is under way is ended and the rest is left to others.
            now: whether a run begins with all that may be asked for, due or not; only payments that
                are being sent are left alone. What an answer proves, it proves no sooner for that.

        Raises:
            ValidationError: an argument is 0, negative or no number.
        """
        return Reconciler(
            store=self.store,
            client=self.client,
            checks=self._checks,
            queue=self._queue,
            outbox=self._outbox,
            callbacks=self._callbacks,
            batch=batch,
            workers=workers,
            rate=limit_of(rate),
            stop=stop,
            now=now,
        )

    def close(self) -> None:
        """Close the connections to the gateway, of every event loop, too."""
        self._client.close()
        self._async_sender.clients.forget()

    # The twins of what has to do with the store alone; the others are in `async_calls`.

    async def aattempts(self, order: Any, *, operation: str = "c2b") -> list[R]:
        """As `attempts`, to be awaited."""
        return await self._store.in_thread(partial(self.attempts, order, operation=operation))

    async def apaid(self, order: Any, *, operation: str = "c2b") -> R | None:
        """As `paid`, to be awaited."""
        return await self._store.in_thread(partial(self.paid, order, operation=operation))

    async def astanding(self, order: Any, *, operation: str = "c2b") -> R | None:
        """As `standing`, to be awaited."""
        return await self._store.in_thread(partial(self.standing, order, operation=operation))

    async def awithdraw(self, payment: R) -> R:
        """As `withdraw`, to be awaited."""
        return await self._store.in_thread(partial(self.withdraw, payment))

    async def aresolve(self, record: R, state: State, *, by: str, note: str) -> R:
        """As `resolve`, to be awaited."""
        return await self._store.in_thread(partial(self.resolve, record, state, by=by, note=note))

    async def alink(self, record: R, **columns: Any) -> R:
        """As `link`, to be awaited."""
        return await self._store.in_thread(partial(self.link, record, **columns))

    async def aoldest_open(self) -> timedelta | None:
        """As `oldest_open`, to be awaited."""
        return await self._store.in_thread(self.oldest_open)

    async def areceive(
        self, body: bytes, *, apply: bool = True, **origin: Any
    ) -> tuple[int, Mapping[str, str]]:
        """As `receive`, to be awaited."""
        return await self._store.in_thread(partial(self.receive, body, apply=apply, **origin))
