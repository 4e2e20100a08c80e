"""Where apps import their records from; what they are is in `flask_mpesa.sqlalchemy`.

class Payment(TransactionMixin, Base): ...
class PaymentCallback(CallbackLogMixin, Base): ...
class PaymentOutboxEntry(OutboxMixin, Base): ...

records = Records(engine, Payment, PaymentCallback, PaymentOutboxEntry)
"""

from .sqlalchemy.models import CallbackLogMixin, NoticeMixin, OutboxMixin, TransactionMixin
from .sqlalchemy.records import Records

__all__ = ["CallbackLogMixin", "NoticeMixin", "OutboxMixin", "Records", "TransactionMixin"]
