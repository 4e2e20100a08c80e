"""What a shop is told of. Sender: the transaction model; `transaction`: the record as it now is.

`callback_rejected` has `callback` (the stored CallbackLog) and `verdict` in its place.
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
callback_rejected = Signal()
