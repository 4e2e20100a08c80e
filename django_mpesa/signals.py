"""The signals of what becomes of a payment, each of one thing; docs/signals.md.

Sender: the transaction model. Arguments: `transaction`, the record as it now is, and `event_id`, by
which a receiver recognises an event that is dispatched again. `callback_rejected` has `callback`
(the stored CallbackLog) and `verdict` in their place; `handler_failed`, of a durable handler that
waits for a person, has `handler`, its name, too.
"""

from __future__ import annotations

from django.dispatch import Signal

from mpesa_integrations.core.payments.events import CALLBACK_REJECTED, HANDLER_FAILED, Event


class MpesaSignal(Signal):
    """A signal that has a name.

    Args:
        name: the value of the event that it is sent of.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


_OF_EVENT = {event: MpesaSignal(event.value) for event in Event}


def signal_of(event: Event) -> MpesaSignal:
    """The signal that is sent of an event."""
    return _OF_EVENT[event]


payment_queued: MpesaSignal = signal_of(Event.PAYMENT_QUEUED)
payment_initiated: MpesaSignal = signal_of(Event.PAYMENT_INITIATED)
payment_pending: MpesaSignal = signal_of(Event.PAYMENT_PENDING)
payment_unknown: MpesaSignal = signal_of(Event.PAYMENT_UNKNOWN)
payment_completed: MpesaSignal = signal_of(Event.PAYMENT_COMPLETED)
payment_failed: MpesaSignal = signal_of(Event.PAYMENT_FAILED)
payment_cancelled: MpesaSignal = signal_of(Event.PAYMENT_CANCELLED)
payment_reversed: MpesaSignal = signal_of(Event.PAYMENT_REVERSED)
payout_queued: MpesaSignal = signal_of(Event.PAYOUT_QUEUED)
payout_initiated: MpesaSignal = signal_of(Event.PAYOUT_INITIATED)
payout_pending: MpesaSignal = signal_of(Event.PAYOUT_PENDING)
payout_unknown: MpesaSignal = signal_of(Event.PAYOUT_UNKNOWN)
payout_completed: MpesaSignal = signal_of(Event.PAYOUT_COMPLETED)
payout_failed: MpesaSignal = signal_of(Event.PAYOUT_FAILED)
payout_cancelled: MpesaSignal = signal_of(Event.PAYOUT_CANCELLED)
payout_reversed: MpesaSignal = signal_of(Event.PAYOUT_REVERSED)
reversal_queued: MpesaSignal = signal_of(Event.REVERSAL_QUEUED)
reversal_initiated: MpesaSignal = signal_of(Event.REVERSAL_INITIATED)
reversal_pending: MpesaSignal = signal_of(Event.REVERSAL_PENDING)
reversal_unknown: MpesaSignal = signal_of(Event.REVERSAL_UNKNOWN)
reversal_completed: MpesaSignal = signal_of(Event.REVERSAL_COMPLETED)
reversal_failed: MpesaSignal = signal_of(Event.REVERSAL_FAILED)
reversal_cancelled: MpesaSignal = signal_of(Event.REVERSAL_CANCELLED)
payment_conflict: MpesaSignal = signal_of(Event.PAYMENT_CONFLICT)
payment_stuck: MpesaSignal = signal_of(Event.PAYMENT_STUCK)
callback_rejected: MpesaSignal = MpesaSignal(CALLBACK_REJECTED)
handler_failed: MpesaSignal = MpesaSignal(HANDLER_FAILED)
