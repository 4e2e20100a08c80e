"""Tells the shop by Django signals, after the commit; inside `atomic()`, after the caller's."""

from __future__ import annotations

from collections.abc import Callable

from django.db import router
from django.dispatch import Signal

from mpesa_integrations.core.records import Event, Notice, Verdict

from . import signals
from .isolation import after_commit
from .models import AbstractTransaction, CallbackLog


class SignalNotifier:
    """Sends signals; what a receiver raises is logged by Django, and harms nothing."""

    def __init__(self, model: type[AbstractTransaction]) -> None:
        self._model = model
        self._alias = router.db_for_write(model)

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

        after_commit(self._alias, send)

    def callback_rejected(self, entry: CallbackLog, verdict: Verdict) -> None:
        """Send it now; there is no caller's transaction."""
        signals.callback_rejected.send_robust(
            sender=self._model, callback=entry, verdict=verdict.value
        )


def _signal(event: Event) -> Signal:
    found: Signal = getattr(signals, event.value)
    return found
