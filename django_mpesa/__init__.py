"""M-Pesa for Django: recorded payments, callbacks, signals and admin, over the framework-free core.

from django_mpesa import mpesa

payment = mpesa.c2b(order="ORDER-7", msisdn="84 123 4567", amount="150.00")
"""

from mpesa_integrations.core.errors import (
    AuthenticationError,
    CalledInEventLoop,
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
from mpesa_integrations.core.payments.events import Event
from mpesa_integrations.core.payments.handler_runs import Ran
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.records import UnfinishedHandler, Verdict

from .accounts import mpesa
from .swapping import get_transaction_model

__all__ = [
    "AuthenticationError",
    "CalledInEventLoop",
    "CalledInTransaction",
    "ConfigurationError",
    "DuplicateTransaction",
    "Event",
    "GatewayUnavailable",
    "IdempotencyConflict",
    "MpesaError",
    "ProtectedRecord",
    "Ran",
    "RecordLocked",
    "RecordsUnavailable",
    "State",
    "UnfinishedHandler",
    "ValidationError",
    "Verdict",
    "get_transaction_model",
    "mpesa",
]
