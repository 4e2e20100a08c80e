"""Where apps import their records from; what they are is in `mpesa_integrations.sqlalchemy`.

class Payment(TransactionMixin, Base): ...
class PaymentCallback(CallbackLogMixin, Base): ...
class PaymentOutboxEntry(OutboxMixin, Base): ...

records = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)
"""

from mpesa_integrations.sqlalchemy.models import (
    CallbackLogMixin,
    NoticeMixin,
    OutboxMixin,
    TransactionMixin,
)
from mpesa_integrations.sqlalchemy.records import Records

__all__ = ["CallbackLogMixin", "NoticeMixin", "OutboxMixin", "Records", "TransactionMixin"]
