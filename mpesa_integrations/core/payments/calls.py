"""One account's recorded payments: the calls that an application makes.

What a call does is done by the parts that stand beside this file, which are put together here:
`sending`, `reversals`, `checks`, `resolutions`, `callback_intake` and `reconcile`, all of them over
`recorder`, `outbox` and a store.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Generic

from ..client.blocking import MpesaClient
from ..errors import nothing_sent
from ..messages import Message
from ..protocol.results import CustomerNameResult, TransactionStatusResult
from ..redaction import forgetful_calls
from ..settings.account import AccountSettings
from .callback_intake import CallbackIntake, is_token
from .checks import Checks
from .idempotency import IdempotencyKey
from .lifecycle import State
from .limits import check_counts
from .notifier import Notifier
from .outbox import Outbox
from .ownership import check_metadata, refuse_other_account
from .reconcile import Reconciled, Reconciler
from .recorder import Recorder
from .records import C, R
from .resolutions import Resolutions
from .reversals import Reversals
from .schedule import utc_now
from .sending import Sender
from .status_queries import StatusQueries
from .store import Store


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
        notifier: calls the application's receivers.
    """

    def __init__(
        self,
        alias: str,
        settings: AccountSettings,
        store: Store[R, C],
        notifier: Notifier[R, C],
    ) -> None:
        self._alias = alias
        self._settings = settings
        self._client = client = MpesaClient(settings.config, transport=settings.transport)
        self._store = store
        self._notifier = notifier
        self._outbox = Outbox(store, notifier)
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
        self._checks = Checks(alias, store, queries, self._recorder, self._callbacks)
        self._sender = Sender(client, store, self._outbox, self._recorder, self._callbacks)
        self._reversals = Reversals(store, self._sender)
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
        return self._sender.pay(
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
        return self._sender.pay(
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
        return self._sender.pay(
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
        return self._reversals.reverse(
            transaction_id, amount, third_party_reference, idempotency_key, extra
        )

    def query_transaction_status(self, *, query_reference: str) -> TransactionStatusResult:
        """Ask where any transaction stands, changing no record. As the client's method."""
        return self.client.query_transaction_status(query_reference=query_reference)

    def query_customer_name(self, *, msisdn: str) -> CustomerNameResult:
        """Ask for a customer's name, partly masked. As the client's method."""
        return self.client.query_customer_name(msisdn=msisdn)

    def check(self, record: R) -> R:
        """Ask the gateway what became of a payment, and move the record on by what it says.

        Raises:
            GatewayUnavailable: no readable answer; the record's next check was deferred.
            AuthenticationError: the credentials were refused; likewise.
            CalledInTransaction: as for `c2b`; not where the outcome is known already.
            RecordsUnavailable: the answer could not be written down; `reconcile` asks again.
            ValidationError: the record is another account's; nothing was asked.
        """
        return self._checks.check(record)

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
        return self._resolutions.resolve(record, state, by=by, note=note)

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

    def oldest_open(self) -> timedelta | None:
        """The age of the oldest payment whose outcome is open, for a health check; or None.

        More than `stuck_after` and growing: reconcile does not run, or the gateway does not know.
        """
        oldest = self.store.oldest_open()
        return None if oldest is None else self._recorder.age(oldest)

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

    def reconcile(
        self, *, batch: int = 100, workers: int = 4, rate: float | None = None
    ) -> Reconciled:
        """Check all payments that are due, and dispatch what was not; see `reconciler`.

        Raises:
            ValidationError: an argument is 0, negative or no number.
        """
        return self.reconciler(batch=batch, workers=workers, rate=rate).run()

    def reconciler(
        self,
        *,
        batch: int = 100,
        workers: int = 4,
        rate: float | None = None,
        stop: threading.Event | None = None,
    ) -> Reconciler[R, C]:
        """What reconciles the account's payments, for a worker that runs it bit by bit.

        Args:
            batch: records in memory at a time.
            workers: status queries at a time.
            rate: status queries a second at the most; None means no limit.
            stop: when set, what is under way is ended and the rest is left to others.

        Raises:
            ValidationError: an argument is 0, negative or no number.
        """
        return Reconciler(
            store=self.store,
            client=self.client,
            checks=self._checks,
            outbox=self._outbox,
            callbacks=self._callbacks,
            batch=batch,
            workers=workers,
            rate=rate,
            stop=stop,
        )
