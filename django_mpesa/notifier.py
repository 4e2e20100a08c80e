"""Tells the shop by Django signals, after the commit; inside `atomic()`, after the caller's."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.db import router
from django.dispatch import Signal

from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.payments.records import Event, OutboxEntry, Verdict

from . import signals
from .isolation import after_commit
from .models import AbstractTransaction, CallbackLog

_dispatch_logger = logging.getLogger("django.dispatch")


class SignalNotifier:
    """Sends signals; what a receiver raises is logged by Django, and harms nothing."""

    def __init__(self, model: type[AbstractTransaction]) -> None:
        self._model = model
        self._alias = router.db_for_write(model)

    def wants(self, event: Event) -> bool:
        """Whether a receiver is connected."""
        return _signal(event).has_listeners(self._model)

    def notify(
        self, entry: OutboxEntry, record: AbstractTransaction, dispatched: Callable[[], None]
    ) -> None:
        """Send it now, or when the caller's transaction commits.

        Who waits for that refers to `told`: once the transaction is rolled back, nobody does.
        """
        at_once = True

        def send() -> None:
            now = record if at_once else self._reread(record)
            self._send(_signal(entry.event), now, entry.id)
            dispatched()

        after_commit(self._alias, send)
        at_once = False

    def callback_rejected(self, entry: CallbackLog, verdict: Verdict) -> None:
        """Send it now; there is no caller's transaction."""
        signals.callback_rejected.send_robust(
            sender=self._model, callback=entry, verdict=verdict.value
        )

    def _send(self, signal: Signal, record: AbstractTransaction, event_id: str) -> None:
        """Call each receiver with the record as those before it have left it."""
        receivers = _receivers(signal, self._model)
        if len(receivers) < 2:
            signal.send_robust(sender=self._model, transaction=record, event_id=event_id)
            return
        for number, receiver in enumerate(receivers):
            given = self._reread(record) if number else record
            self._call(receiver, signal=signal, transaction=given, event_id=event_id)

    def _call(self, receiver: Callable[..., Any], **values: Any) -> None:
        """Call one as `send_robust` does, and log as it does."""
        call = async_to_sync(receiver) if inspect.iscoroutinefunction(receiver) else receiver
        try:
            call(sender=self._model, **values)
        except Exception as error:
            name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
            _dispatch_logger.error(
                "Error calling %s in Signal.send_robust() (%s)", name, error, exc_info=error
            )

    def _reread(self, record: AbstractTransaction) -> AbstractTransaction:
        """Read the record again; as it was, where that cannot be."""
        try:
            found: AbstractTransaction = self._model._base_manager.using(self._alias).get(
                pk=record.pk
            )
        except Exception as error:  # noqa: BLE001 - the receiver is told in any case
            reference = record.third_party_reference
            log_failure("signal.record_not_read", error, third_party_reference=reference)
            return record
        return found


def _signal(event: Event) -> Signal:
    found: Signal = getattr(signals, event.value)
    return found


def _receivers(signal: Any, sender: object) -> list[Callable[..., Any]]:
    """Who is connected; from Django 5 on, the asynchronous ones are given apart, and come last."""
    found = signal._live_receivers(sender)
    return [*found[0], *found[1]] if isinstance(found, tuple) else found
