"""Sends an app's signals so that no receiver harms the payment or another receiver.

Each receiver runs in a thread and an app context of its own, and so with a session of its own: a
`scoped_session` is bound to the one or the other. Which signals there are is in `signals`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

from blinker import NamedSignal
from flask import Flask

from mpesa_integrations.core.payments.persistence import describe, persist
from mpesa_integrations.core.payments.records import Event, OutboxEntry, Verdict
from mpesa_integrations.core.payments.store import Store

from .signals import callback_rejected, signal_of

logger = logging.getLogger("mpesa_integrations")

PATIENCE = 10.0
"""Seconds for which a call waits for its receivers. One that waits for what the calling code has
locked would otherwise wait for ever."""


class _Store(Store[Any, Any], Protocol):
    def get_callback(self, entry: Any) -> Any:
        """Read a callback anew."""


class SignalNotifier:
    """Dispatches events: it sends an app's signals.

    Args:
        app: the app, which is the sender.
        store: of which each receiver is given a record of its own.
    """

    def __init__(self, app: Flask, store: _Store) -> None:
        self._app = app
        self._store = store

    def wants(self, event: Event) -> bool:
        """Whether a receiver is connected."""
        return bool(signal_of(event).has_receivers_for(self._app))

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
                own = persist(self._store, lambda: self._store.get(record))
                receive(transaction=own, event_id=entry.id)
            dispatched()

        if receivers:
            _run_with_patience(entry.event.value, send)
        else:
            dispatched()

    def callback_rejected(self, entry: Any, verdict: Verdict) -> None:
        """Send it now."""
        for receive in self._receivers(callback_rejected):
            try:
                own = persist(self._store, lambda: self._store.get_callback(entry))
            except Exception as error:  # noqa: BLE001 - it is stored, for a person to find
                logger.error("callback.not_told verdict=%s problem=%s", verdict, describe(error))
                return
            receive(callback=own, verdict=verdict.value)

    def _receivers(self, signal: NamedSignal) -> list[Callable[..., None]]:
        # A list, since receivers may connect and disconnect others.
        found = list(signal.receivers_for(self._app))
        return [partial(_run_apart, self._app, signal.name, receiver) for receiver in found]


def _run_with_patience(signal: str, send: Callable[[], None]) -> None:
    """Run what calls receivers, and go on without it where it takes too long."""
    errors: list[Exception] = []

    def work() -> None:
        try:
            send()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for, else logged
            errors.append(error)
            if not waited.is_set():
                return  # who waits is given it
            logger.error("signal.not_sent signal=%s problem=%s", signal, describe(error))

    waited = threading.Event()
    thread = _thread(signal, work)
    thread.join(PATIENCE)
    waited.set()
    if errors:
        raise errors[0]
    if thread.is_alive():
        logger.warning(
            "signal.receiver_slow signal=%s seconds=%.0f: the call goes on without it. If it waits "
            "for what the session of the calling code has locked, commit before you call",
            signal,
            PATIENCE,
        )


def _run_apart(app: Flask, signal: str, receiver: Callable[..., Any], **values: Any) -> None:
    """Call a receiver, and wait for its end; nothing that it does or leaves open reaches others."""

    def work() -> None:
        try:
            with app.app_context():
                app.ensure_sync(receiver)(app, **values)
        except BaseException:
            logger.exception("signal.receiver_failed signal=%s", signal)

    _thread(signal, work).join()


def _thread(signal: str, work: Callable[[], None]) -> threading.Thread:
    # The context is copied for what traces and logs keep in it.
    thread = threading.Thread(target=copy_context().run, args=(work,), name=f"mpesa-{signal}")
    thread.start()
    return thread
