"""The jobs of an account that a worker does; what they do of it is core's."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..core.payments.calls import Payments
from ..core.payments.queue_sender import QueueSender, Sent
from ..core.payments.rate_limits import RateLimit
from ..core.payments.reconcile import Reconciler
from ..core.payments.registry import Accounts
from ..core.payments.store import Store
from .options import WorkerOptions


class AccountJob:
    """The base of what is done for an account, which may be broken for a while.

    Args:
        accounts: in which it is.
        account: its name.
        options: how much at a time.
        rate: the account's, for all that is sent and asked.
        stop: when set, nothing new is taken.
    """

    kind = ""
    is_urgent = False
    """Whether it is rung where the database says that there is something to do."""

    def __init__(
        self,
        accounts: Accounts[Any, Any],
        account: str,
        options: WorkerOptions,
        rate: RateLimit,
        stop: threading.Event,
    ) -> None:
        self.account = account
        self.done: Counter[str] = Counter()
        self.bell: threading.Event = threading.Event()
        self._accounts = accounts
        self._options = options
        self._rate = rate
        self._stop = stop
        self._store: Store[Any, Any] | None = None

    @property
    def payments(self) -> Payments[Any, Any]:
        """The account's; what it raises is what is wrong with the settings."""
        found = self._accounts[self.account]
        self._store = found.store
        return found

    def look(self) -> bool:
        """Do what is to be done now."""
        raise NotImplementedError

    def rest(self) -> None:
        """Give the store's connection back."""
        if self._store is not None:
            self._store.disconnect()

    def patience(self, poll: float) -> float:
        """Wait for as long as was asked for."""
        return poll

    def finish(self, seconds: float) -> None:
        """Nothing is under way between two looks."""


class Send(AccountJob):
    """Sends what is queued, and writes down what comes of it."""

    kind = "send"
    is_urgent = True
    _sender: QueueSender[Any, Any] | None = None
    _of: Payments[Any, Any] | None = None
    _former: tuple[QueueSender[Any, Any], ...] = ()

    @property
    def in_flight(self) -> int:
        """How many payments are under way."""
        senders = (*self._former, *([self._sender] if self._sender else []))
        return sum(sender.in_flight for sender in senders)

    def look(self) -> bool:
        """Take what there is room for, and write down what came."""
        try:
            sender = self._sender_of_now()
        finally:
            self._write_down_former()
        self._count(sender.run_once())
        return False

    def _sender_of_now(self) -> QueueSender[Any, Any]:
        """What sends with the settings of now."""
        try:
            payments = self.payments
        except Exception:
            self._retire()
            raise
        if self._sender is not None and payments is self._of:
            return self._sender
        self._retire()
        self._of = payments
        self._sender = payments.queue_sender(
            self._options.concurrency,
            rate=self._rate,
            stop=self._stop,
            on_answer=self.bell.set,
        )
        return self._sender

    def _retire(self) -> None:
        """Have what sends end what it has under way, and take no more."""
        if self._sender is not None:
            self._sender.take_no_more()
            self._former += (self._sender,)
            self._sender = None

    def _write_down_former(self) -> None:
        for former in self._former:
            self._count(former.run_once())
        self._let_go(0.0, [former for former in self._former if not former.in_flight])

    def _let_go(self, seconds: float, senders: Sequence[QueueSender[Any, Any]]) -> None:
        until = time.monotonic() + seconds
        self._former = tuple(former for former in self._former if former not in senders)
        for sender in senders:
            self._count(sender.finish(max(0.0, until - time.monotonic())))

    def patience(self, poll: float) -> float:
        """Until the rate allows a next one."""
        return poll if self._sender is None else self._sender.pause(poll)

    def finish(self, seconds: float) -> None:
        """Wait for answers; what is not begun by then is queued again."""
        self._retire()
        self._let_go(seconds, self._former)

    def _count(self, done: Sent) -> None:
        self.done.update(
            sent=done.claimed - done.handed_back,
            answered=done.written,
            expired=done.expired,
            failed=done.failed,
        )


class Reconcile(AccountJob):
    """Asks about payments that are due, and dispatches events and runs handlers that are."""

    kind = "reconcile"
    _reconciler: Reconciler[Any, Any] | None = None
    _of: Payments[Any, Any] | None = None

    def look(self) -> bool:
        """Do one batch of each."""
        payments = self.payments
        if self._reconciler is None or payments is not self._of:
            self._of = payments
            self._reconciler = payments.reconciler(
                batch=self._options.batch, rate=self._rate, stop=self._stop
            )
        done = self._reconciler.run_batch()
        self.done.update(
            asked=done.asked,
            dispatched=done.dispatched,
            callbacks=done.callbacks,
            expired=done.expired,
            failed=done.failed,
        )
        return done.may_be_more(self._options.batch)


class DecideCallbacks(AccountJob):
    """Decides callbacks that their requests have only stored."""

    kind = "callbacks"
    is_urgent = True

    def look(self) -> bool:
        """Do one batch, where the account leaves them to a worker."""
        payments = self.payments
        if payments.settings.apply_callbacks != "worker":
            return False
        looked_at = payments.apply_callbacks(self._options.batch)
        self.done["callbacks"] += looked_at
        return looked_at >= self._options.batch
