"""M-Pesa for Flask: payments, callbacks and signals, over the framework-free core.

mpesa = Mpesa(app)
payment = mpesa.c2b(msisdn="84 123 4567", amount="150.00", reference="ORDER 7")
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

from .current import current_mpesa
from .extension import Mpesa

__all__ = [
    "AuthenticationError",
    "CalledInTransaction",
    "ConfigurationError",
    "DuplicateTransaction",
    "Event",
    "GatewayUnavailable",
    "IdempotencyConflict",
    "Mpesa",
    "MpesaError",
    "ProtectedRecord",
    "RecordLocked",
    "RecordsUnavailable",
    "State",
    "ValidationError",
    "Verdict",
    "current_mpesa",
]
