"""Dispatches events as Django signals, after the commit; inside `atomic()`, after the caller's.

Which events are in the outbox, and when a worker dispatches what was left there, core decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.db import router
from django.dispatch import Signal

from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.application_calls import call_to_its_end
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.records import OutboxEntry, Verdict

from . import signals
from .isolation import after_commit
from .models import AbstractTransaction, CallbackLog
from .protection import LibraryRecords

_dispatch_logger = logging.getLogger("django.dispatch")


class SignalNotifier:
    """Sends signals; what a receiver raises is logged by Django, and harms nothing."""

    def __init__(self, model: type[AbstractTransaction]) -> None:
        self._model = model
        self._alias = router.db_for_write(model)
        self._records = LibraryRecords[AbstractTransaction](model, using=self._alias)

    def wants(self, event: Event) -> bool:
        """Whether a receiver is connected."""
        return signals.signal_of(event).has_listeners(self._model)

    def notify(
        self, entry: OutboxEntry, record: AbstractTransaction, dispatched: Callable[[], None]
    ) -> None:
        """Send the event's signal now, or when the caller's transaction commits.

        Args:
            entry: the outbox entry.
            record: the payment; read again where the signal waits for the commit.
            dispatched: called after the last receiver. Where the transaction is rolled back it is
                neither called nor referred to any more, by which core sees that nobody waits.
        """
        at_once = True

        def send() -> None:
            now = record if at_once else self._reread(record)
            self._send(signals.signal_of(entry.event), now, entry.id)
            dispatched()

        after_commit(self._alias, send)
        at_once = False

    def run(self, handler: str, work: Callable[[], None]) -> None:
        """Do it now, or when the caller's transaction commits."""
        after_commit(self._alias, work)

    def handler_failed(self, handler: str, record: AbstractTransaction, event_id: str) -> None:
        """Send the signal now: the handler was run outside any transaction of the caller's."""
        self._send(signals.handler_failed, record, event_id, handler=handler)

    def callback_rejected(self, entry: CallbackLog, verdict: Verdict) -> None:
        """Send the signal now: a callback is taken in outside any transaction of the caller's."""
        signal = signals.callback_rejected
        for receiver in _receivers(signal, self._model):
            self._call(receiver, signal=signal, callback=entry, verdict=verdict.value)

    def _send(
        self, signal: Signal, record: AbstractTransaction, event_id: str, **more: str
    ) -> None:
        """Call each receiver, with the record as the receivers before it have left it."""
        for number, receiver in enumerate(_receivers(signal, self._model)):
            given = self._reread(record) if number else record
            self._call(receiver, signal=signal, transaction=given, event_id=event_id, **more)

    def _call(self, receiver: Callable[..., Any], **values: Any) -> None:
        """Call one receiver as `send_robust` does, and log its error as that does."""
        try:
            call_to_its_end(receiver, async_to_sync, sender=self._model, **values)
        except Exception as error:
            name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
            _dispatch_logger.error(
                "Error calling %s in Signal.send_robust() (%s)", name, error, exc_info=error
            )

    def _reread(self, record: AbstractTransaction) -> AbstractTransaction:
        """The record read again, or as it was where that fails."""
        try:
            found: AbstractTransaction = self._records.get(pk=record.pk)
        except Exception as error:  # noqa: BLE001 - the receiver is called in any case
            reference = record.third_party_reference
            log_failure("signal.record_not_read", error, third_party_reference=reference)
            return record
        return found


def _receivers(signal: Any, sender: object) -> list[Callable[..., Any]]:
    """The receivers, in order; Django 5 gives the asynchronous ones apart, and they come last."""
    found = signal._live_receivers(sender)
    return [*found[0], *found[1]] if isinstance(found, tuple) else found
