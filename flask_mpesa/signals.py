"""What a shop is told of, and how: blinker signals whose receivers harm neither payment nor peers.

Sender: the Flask app; `transaction`: the record as it now is; `event_id`: by which a receiver
recognises what it was told before. `callback_rejected` has `callback` and `verdict` in their place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask

from mpesa_integrations.core.records import CALLBACK_REJECTED, Event, Notice, Verdict

logger = logging.getLogger("mpesa_integrations")

_signals = Namespace()
payment_initiated = _signals.signal(Event.INITIATED.value)
payment_pending = _signals.signal(Event.PENDING.value)
payment_completed = _signals.signal(Event.COMPLETED.value)
payment_failed = _signals.signal(Event.FAILED.value)
payment_cancelled = _signals.signal(Event.CANCELLED.value)
payment_unknown = _signals.signal(Event.UNKNOWN.value)
payment_reversed = _signals.signal(Event.REVERSED.value)
payment_conflict = _signals.signal(Event.CONFLICT.value)
payment_stuck = _signals.signal(Event.STUCK.value)
callback_rejected = _signals.signal(CALLBACK_REJECTED)


class SignalNotifier:
    """Sends an app's signals."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def wants(self, event: Event) -> bool:
        """Whether a receiver is connected."""
        return bool(_signals[event.value].has_receivers_for(self._app))

    def notify(self, notice: Notice, record: Any, told: Callable[[], None]) -> None:
        """Send it now: the change is committed."""
        signal = _signals[notice.event.value]
        self._send(signal, transaction=record, event_id=notice.id)
        told()

    def callback_rejected(self, entry: Any, verdict: Verdict) -> None:
        """Send it now."""
        self._send(callback_rejected, callback=entry, verdict=verdict.value)

    def _send(self, signal: NamedSignal, **values: Any) -> None:
        for receiver in signal.receivers_for(self._app):
            try:
                self._app.ensure_sync(receiver)(self._app, **values)
            except Exception:
                logger.exception("signal.receiver_failed signal=%s", signal.name)
