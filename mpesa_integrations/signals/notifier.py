"""Calls receivers and handlers so that none harms the payment or another of them.

Each runs in a thread and a context of its own, and so with a session of its own: a
`scoped_session` is bound to the one or the other.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Protocol

from blinker import NamedSignal

from ..core.payments.application_calls import AsSync, call_to_its_end
from ..core.payments.events import Event
from ..core.payments.persistence import describe, persist
from ..core.payments.records import OutboxEntry, Verdict
from ..core.payments.store import Store
from . import callback_rejected, handler_failed, signal_of

logger: logging.Logger = logging.getLogger("mpesa_integrations")

PATIENCE = 10.0
"""Seconds for which a call waits for its receivers. One that waits for what the calling code has
locked would otherwise wait for ever."""


class _Store(Store[Any, Any], Protocol):
    def get_callback(self, entry: Any) -> Any:
        """Read a callback anew."""


Context = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """Whose receivers and handlers are called.

    Attributes:
        sender: the signals' sender.
        context: gives the context in which one is called.
        as_sync: runs coroutine functions.
    """

    sender: Any
    context: Context = nullcontext
    as_sync: AsSync


def run_coroutines(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make of a coroutine function one that runs it, in an event loop of its own."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(function(*args, **kwargs))

    return run


class SignalNotifier:
    """Dispatches events: it sends an application's signals.

    Args:
        app: the application.
        store: of which each receiver is given a record of its own.
    """

    def __init__(self, app: Application, store: _Store) -> None:
        self._app = app
        self._store = store

    def wants(self, event: Event) -> bool:
        """Whether a receiver is connected."""
        return bool(signal_of(event).has_receivers_for(self._app.sender))

    def notify(self, entry: OutboxEntry, record: Any, dispatched: Callable[[], None]) -> None:
        """Send it now: the change is committed.

        Receivers that are not done within `PATIENCE` go on by themselves.

        Args:
            entry: the event.
            record: the payment.
            dispatched: called when all receivers are done, then or later.

        Raises:
            Exception: the record cannot be read, so that not every receiver was called.
        """
        receivers = self._receivers(signal_of(entry.event))

        def send() -> None:
            for receive in receivers:
                receive(transaction=self._reread(record), event_id=entry.id)
            dispatched()

        if receivers:
            _run_with_patience(f"signal={entry.event}", send)
        else:
            dispatched()

    def run(self, handler: str, work: Callable[[], None]) -> None:
        """Do it now, in a thread and an app context of its own, as receivers are called.

        Raises:
            Exception: what the work raised within `PATIENCE`.
        """

        def in_context() -> None:
            with self._app.context():
                work()

        _run_with_patience(f"handler={handler}", in_context)

    def handler_failed(self, handler: str, record: Any, event_id: str) -> None:
        """Send it now."""
        for receive in self._receivers(handler_failed):
            receive(transaction=self._reread(record), handler=handler, event_id=event_id)

    def callback_rejected(self, entry: Any, verdict: Verdict) -> None:
        """Send it now."""
        for receive in self._receivers(callback_rejected):
            try:
                own = persist(self._store, lambda: self._store.get_callback(entry))
            except Exception as error:  # noqa: BLE001 - it is stored, for a person to find
                logger.error("callback.not_told verdict=%s problem=%s", verdict, describe(error))
                return
            receive(callback=own, verdict=verdict.value)

    def _reread(self, record: Any) -> Any:
        return persist(self._store, lambda: self._store.get(record))

    def _receivers(self, signal: NamedSignal) -> list[Callable[..., None]]:
        # A list, since receivers may connect and disconnect others.
        found = list(signal.receivers_for(self._app.sender))
        return [partial(_run_apart, self._app, signal.name, receiver) for receiver in found]


def _run_with_patience(what: str, send: Callable[[], None]) -> None:
    """Run what calls receivers or a handler, and go on without it where it takes too long.

    Args:
        what: a signal or handler and its name, for the log.
        send: what is run.
    """
    errors: list[Exception] = []

    def work() -> None:
        try:
            send()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for, else logged
            errors.append(error)
            if not waited.is_set():
                return  # who waits is given it
            logger.error("signal.not_sent %s problem=%s", what, describe(error))

    waited = threading.Event()
    thread = _thread(what, work)
    thread.join(PATIENCE)
    waited.set()
    if errors:
        raise errors[0]
    if thread.is_alive():
        logger.warning(
            "signal.receiver_slow %s seconds=%.0f: the call goes on without it. If it waits "
            "for what the session of the calling code has locked, commit before you call",
            what,
            PATIENCE,
        )


def _run_apart(app: Application, signal: str, receiver: Callable[..., Any], **values: Any) -> None:
    """Call a receiver, and wait for its end; nothing that it does or leaves open reaches others."""

    def work() -> None:
        try:
            with app.context():
                call_to_its_end(receiver, app.as_sync, app.sender, **values)
        except BaseException:
            logger.exception("signal.receiver_failed signal=%s", signal)

    _thread(signal, work).join()


def _thread(what: str, work: Callable[[], None]) -> threading.Thread:
    # The context is copied for what traces and logs keep in it.
    thread = threading.Thread(target=copy_context().run, args=(work,), name=f"mpesa-{what}")
    thread.start()
    return thread
