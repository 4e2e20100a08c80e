"""The public face of the library: client, configuration, results, codes and errors.

    from mpesa_integrations import MpesaClient, MpesaConfig

What is imported from here stays as it is between releases; `mpesa_integrations.core` may move.
"""

from .core.client.blocking import MpesaClient
from .core.client.transport import RequestsTransport
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
from .core.markets.mozambique import normalise_msisdn, read_callback
from .core.markets.mozambique.codes import CODES, ResponseCode
from .core.messages import Message
from .core.payments.lifecycle import State
from .core.payments.records import Event, Verdict
from .core.protocol.answers import UnreadableBody
from .core.protocol.callbacks import Callback, acknowledgement
from .core.protocol.codes import Kind
from .core.protocol.http import HttpRequest, HttpResponse, NoAnswer, NotConnected, Transport
from .core.protocol.msisdn import MsisdnError
from .core.protocol.requests import CallContext, PreparedRequest
from .core.protocol.results import (
    CustomerNameResult,
    Result,
    TransactionStatus,
    TransactionStatusResult,
)
from .core.settings.client import MpesaConfig
from .core.settings.public_key import bearer_token
from .version import __version__

Problem = Message
"""The name that `Message` had before."""

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
    "Message",
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
    "__version__",
    "acknowledgement",
    "bearer_token",
    "normalise_msisdn",
    "read_callback",
]
