"""The signals of what becomes of a payment.

Sender: the transaction model. Arguments: `transaction`, the record as it now is, and `event_id`, by
which a receiver recognises an event that is dispatched again. `callback_rejected` has `callback`
(the stored CallbackLog) and `verdict` in their place.
"""

from django.dispatch import Signal

payment_initiated = Signal()
payment_pending = Signal()
payment_completed = Signal()
payment_failed = Signal()
payment_cancelled = Signal()
payment_unknown = Signal()
payment_reversed = Signal()
payment_conflict = Signal()
payment_stuck = Signal()
callback_rejected = Signal()
