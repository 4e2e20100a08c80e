"""The public face of the library: client, configuration, results, codes and errors.

    from mpesa_integrations import MpesaClient, MpesaConfig

What is imported from here stays as it is between releases; `mpesa_integrations.core` may move.
"""

__version__ = "0.1.0"

from .core.answers import UnreadableBody
from .core.callbacks import Callback, acknowledgement, read_callback
from .core.client import CallContext, MpesaClient, PreparedRequest
from .core.codes import CODES, Kind, ResponseCode
from .core.config import MpesaConfig
from .core.credentials import bearer_token
from .core.errors import (
    AuthenticationError,
    CalledInTransaction,
    ConfigurationError,
    DuplicateTransaction,
    GatewayUnavailable,
    IdempotencyConflict,
    MpesaError,
    OutcomeUnknown,
    PaymentDeclined,
    ProtectedRecord,
    RecordLocked,
    RecordsUnavailable,
    ValidationError,
)
from .core.lifecycle import State
from .core.msisdn import MsisdnError, normalise_msisdn
from .core.problems import Problem
from .core.records import Event, Verdict
from .core.results import (
    CustomerNameResult,
    Result,
    TransactionStatus,
    TransactionStatusResult,
)
from .core.transport import (
    HttpRequest,
    HttpResponse,
    NoAnswer,
    NotConnected,
    RequestsTransport,
    Transport,
)

__all__ = [
    "CODES",
    "AuthenticationError",
    "CallContext",
    "Callback",
    "CalledInTransaction",
    "ConfigurationError",
    "CustomerNameResult",
    "DuplicateTransaction",
    "Event",
    "GatewayUnavailable",
    "HttpRequest",
    "HttpResponse",
    "IdempotencyConflict",
    "Kind",
    "MpesaClient",
    "MpesaConfig",
    "MpesaError",
    "MsisdnError",
    "NoAnswer",
    "NotConnected",
    "OutcomeUnknown",
    "PaymentDeclined",
    "PreparedRequest",
    "Problem",
    "ProtectedRecord",
    "RecordLocked",
    "RecordsUnavailable",
    "RequestsTransport",
    "ResponseCode",
    "Result",
    "State",
    "TransactionStatus",
    "TransactionStatusResult",
    "Transport",
    "UnreadableBody",
    "ValidationError",
    "Verdict",
    "acknowledgement",
    "bearer_token",
    "normalise_msisdn",
    "read_callback",
]
