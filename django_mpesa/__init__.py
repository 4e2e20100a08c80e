"""M-Pesa for Django: recorded payments, callbacks, signals and admin, over the framework-free core.

from django_mpesa import mpesa

transaction = mpesa.c2b(msisdn="84 123 4567", amount="150.00", reference="ORDER 7")
"""

from mpesa_integrations.core.errors import (
    AuthenticationError,
    CalledInTransaction,
    ConfigurationError,
    DuplicateTransaction,
    GatewayUnavailable,
    IdempotencyConflict,
    MpesaError,
    ProtectedRecord,
    RecordLocked,
    RecordsUnavailable,
    ValidationError,
)
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.records import Event, Verdict

from .accounts import mpesa
from .swapping import get_transaction_model

__all__ = [
    "AuthenticationError",
    "CalledInTransaction",
    "ConfigurationError",
    "DuplicateTransaction",
    "Event",
    "GatewayUnavailable",
    "IdempotencyConflict",
    "MpesaError",
    "ProtectedRecord",
    "RecordLocked",
    "RecordsUnavailable",
    "State",
    "ValidationError",
    "Verdict",
    "get_transaction_model",
    "mpesa",
]
