"""Payments recorded with SQLAlchemy 2: the models' columns, their protection, and the store.

For programs without a web framework, or with one that has no adapter here; Flask's is over it.

    class Payment(TransactionMixin, Base): ...
    class PaymentCallback(CallbackLogMixin, Base): ...
    class PaymentOutboxEntry(OutboxMixin, Base): ...

    records = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)
    mpesa = Mpesa({"default": {"API_KEY": ..., ...}}, records=records)
    payment = mpesa.c2b(order="ORDER-7", msisdn="84 123 4567", amount="150.00")
"""

from ..core.payments.endpoint import CallbackAnswer
from ..core.payments.public_status import StatusAnswer
from ..worker.options import WorkerOptions
from .accounts import Mpesa
from .models import CallbackLogMixin, OutboxMixin, TransactionMixin
from .records import Records

__all__ = [
    "CallbackAnswer",
    "CallbackLogMixin",
    "Mpesa",
    "OutboxMixin",
    "Records",
    "StatusAnswer",
    "TransactionMixin",
    "WorkerOptions",
]
