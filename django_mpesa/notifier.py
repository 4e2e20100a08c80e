"""Tells the shop by Django signals, after the commit; inside `atomic()`, after the caller's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections, transaction
from django.dispatch import Signal

from mpesa_integrations.core.errors import CalledInTransaction
from mpesa_integrations.core.records import Event, Notice, Verdict

from . import signals
from .models import AbstractTransaction, CallbackLog

_T = TypeVar("_T")
_deferred = threading.local()


class SignalNotifier:
    """Sends signals; what a receiver raises is logged by Django, and harms nothing."""

    def __init__(self, model: type[AbstractTransaction]) -> None:
        self._model = model

    def wants(self, event: Event) -> bool:
        """Whether a receiver is connected."""
        return _signal(event).has_listeners(self._model)

    def notify(self, notice: Notice, record: AbstractTransaction, told: Callable[[], None]) -> None:
        """Send it now, or when the caller's transaction commits."""

        def send() -> None:
            _signal(notice.event).send_robust(
                sender=self._model, transaction=record, event_id=notice.id
            )
            told()

        waiting: list[Callable[[], None]] | None = getattr(_deferred, "events", None)
        if waiting is None:
            send()
        else:
            waiting.append(send)

    def callback_rejected(self, entry: CallbackLog, verdict: Verdict) -> None:
        """Send it now; there is no caller's transaction."""
        signals.callback_rejected.send_robust(
            sender=self._model, callback=entry, verdict=verdict.value
        )


def run_isolated(alias: str, call: Callable[[], _T]) -> _T:
    """Run a call so that its records are committed, whatever the caller's transaction does.

    Inside `atomic()`, or with autocommit off, it runs on a connection of its own, in a thread of
    its own; its signals are sent when the caller's `atomic()` commits.
    """
    connection = connections[alias]
    # Django's TestCase wraps each test; what is committed inside of it, is committed for the test.
    within = any(not block._from_testcase for block in connection.atomic_blocks)  # type: ignore[attr-defined]
    if not within and (connection.in_atomic_block or connection.get_autocommit()):
        return call()
    if connection.vendor == "sqlite":
        raise CalledInTransaction(
            "Nothing was sent. An M-Pesa call inside transaction.atomic(), or with autocommit off, "
            "cannot be recorded safely on SQLite, which has one writer at a time: call it outside, "
            "or with transaction.on_commit(); see also ATOMIC_REQUESTS"
        )
    events: list[Callable[[], None]] = []

    def work() -> _T:
        _deferred.events = events
        try:
            connections[alias].set_autocommit(True)  # the setting may be otherwise
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1, thread_name_prefix="mpesa-recorded") as pool:
        result = pool.submit(work).result()
    for send in events:
        if within:
            transaction.on_commit(send, using=alias, robust=True)
        else:
            send()
    return result


def _signal(event: Event) -> Signal:
    found: Signal = getattr(signals, event.value)
    return found
