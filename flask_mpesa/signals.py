"""The signals that are sent about an app's payments and callbacks, by blinker.

Sender: the Flask app; `transaction`: the record as it now is; `event_id`: by which a receiver
recognises an event that it was sent before. `callback_rejected` has `callback` and `verdict` in
their place. How they are sent is in `notifier`.
"""

from blinker import NamedSignal, Namespace

from mpesa_integrations.core.payments.records import CALLBACK_REJECTED, Event

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


def signal_of(event: Event) -> NamedSignal:
    """The signal that is sent of an event."""
    return _signals[event.value]
