"""The signals that are sent about payments and callbacks, by blinker; docs/signals.md.

Sender: the Flask app, or the `Mpesa` object where there is none; `transaction`: the record as it
now is; `event_id`: by which a receiver recognises an event that it was sent before.
`callback_rejected` has `callback` and `verdict` in their place; `handler_failed`, of a durable
handler that waits for a person, has `handler`, its name, too. How they are sent is in `notifier`.
"""

from blinker import NamedSignal, Namespace

from ..core.payments.events import CALLBACK_REJECTED, HANDLER_FAILED, Event

__all__ = [
    "callback_rejected",
    "handler_failed",
    "payment_cancelled",
    "payment_completed",
    "payment_conflict",
    "payment_failed",
    "payment_initiated",
    "payment_pending",
    "payment_queued",
    "payment_reversed",
    "payment_stuck",
    "payment_unknown",
    "payout_cancelled",
    "payout_completed",
    "payout_failed",
    "payout_initiated",
    "payout_pending",
    "payout_queued",
    "payout_reversed",
    "payout_unknown",
    "reversal_cancelled",
    "reversal_completed",
    "reversal_failed",
    "reversal_initiated",
    "reversal_pending",
    "reversal_queued",
    "reversal_unknown",
    "signal_of",
]
_signals = Namespace()


def signal_of(event: Event) -> NamedSignal:
    """The signal that is sent of an event."""
    return _signals.signal(event.value)


payment_queued: NamedSignal = signal_of(Event.PAYMENT_QUEUED)
payment_initiated: NamedSignal = signal_of(Event.PAYMENT_INITIATED)
payment_pending: NamedSignal = signal_of(Event.PAYMENT_PENDING)
payment_unknown: NamedSignal = signal_of(Event.PAYMENT_UNKNOWN)
payment_completed: NamedSignal = signal_of(Event.PAYMENT_COMPLETED)
payment_failed: NamedSignal = signal_of(Event.PAYMENT_FAILED)
payment_cancelled: NamedSignal = signal_of(Event.PAYMENT_CANCELLED)
payment_reversed: NamedSignal = signal_of(Event.PAYMENT_REVERSED)
payout_queued: NamedSignal = signal_of(Event.PAYOUT_QUEUED)
payout_initiated: NamedSignal = signal_of(Event.PAYOUT_INITIATED)
payout_pending: NamedSignal = signal_of(Event.PAYOUT_PENDING)
payout_unknown: NamedSignal = signal_of(Event.PAYOUT_UNKNOWN)
payout_completed: NamedSignal = signal_of(Event.PAYOUT_COMPLETED)
payout_failed: NamedSignal = signal_of(Event.PAYOUT_FAILED)
payout_cancelled: NamedSignal = signal_of(Event.PAYOUT_CANCELLED)
payout_reversed: NamedSignal = signal_of(Event.PAYOUT_REVERSED)
reversal_queued: NamedSignal = signal_of(Event.REVERSAL_QUEUED)
reversal_initiated: NamedSignal = signal_of(Event.REVERSAL_INITIATED)
reversal_pending: NamedSignal = signal_of(Event.REVERSAL_PENDING)
reversal_unknown: NamedSignal = signal_of(Event.REVERSAL_UNKNOWN)
reversal_completed: NamedSignal = signal_of(Event.REVERSAL_COMPLETED)
reversal_failed: NamedSignal = signal_of(Event.REVERSAL_FAILED)
reversal_cancelled: NamedSignal = signal_of(Event.REVERSAL_CANCELLED)
payment_conflict: NamedSignal = signal_of(Event.PAYMENT_CONFLICT)
payment_stuck: NamedSignal = signal_of(Event.PAYMENT_STUCK)
callback_rejected: NamedSignal = _signals.signal(CALLBACK_REJECTED)
handler_failed: NamedSignal = _signals.signal(HANDLER_FAILED)
