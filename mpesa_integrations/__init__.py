"""The public face of the library: client, configuration, results, codes and errors.

    from mpesa_integrations import MpesaClient, MpesaConfig

What is imported from here stays as it is between releases; `mpesa_integrations.core` may move.
"""

from typing import TYPE_CHECKING, Any

from .core.client.blocking import MpesaClient
from .core.client.transport import RequestsTransport
from .core.errors import (
    AuthenticationError,
    CalledInEventLoop,
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
from .core.markets.mozambique import format_msisdn, normalise_msisdn, read_callback
from .core.markets.mozambique.codes import CODES, ResponseCode
from .core.messages import Message
from .core.payments.events import Event
from .core.payments.handler_runs import Ran
from .core.payments.lifecycle import State
from .core.payments.records import UnfinishedHandler, Verdict
from .core.protocol.answers import UnreadableBody
from .core.protocol.callbacks import Callback, acknowledgement
from .core.protocol.codes import Kind
from .core.protocol.http import (
    AsyncTransport,
    HttpRequest,
    HttpResponse,
    NoAnswer,
    NotConnected,
    Sending,
    Transport,
)
from .core.protocol.msisdn import MsisdnError
from .core.protocol.requests import CallContext, PreparedRequest
from .core.protocol.results import (
    CustomerNameResult,
    Result,
    TransactionStatus,
    TransactionStatusResult,
)
from .core.settings.client import MpesaConfig
from .core.settings.loader import AccountLoader
from .core.settings.public_key import bearer_token
from .version import __version__

if TYPE_CHECKING:
    from .core.client.asynchronous import AsyncMpesaClient

Problem = Message
"""The name that `Message` had before."""

__all__ = [
    "CODES",
    "AccountLoader",
    "AsyncMpesaClient",
    "AsyncTransport",
    "AuthenticationError",
    "CallContext",
    "Callback",
    "CalledInEventLoop",
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
    "Ran",
    "RecordLocked",
    "RecordsUnavailable",
    "RequestsTransport",
    "ResponseCode",
    "Result",
    "Sending",
    "State",
    "TransactionStatus",
    "TransactionStatusResult",
    "Transport",
    "UnfinishedHandler",
    "UnreadableBody",
    "ValidationError",
    "Verdict",
    "__version__",
    "acknowledgement",
    "bearer_token",
    "format_msisdn",
    "normalise_msisdn",
    "read_callback",
]


def __getattr__(name: str) -> Any:
    """Import the asynchronous client when it is asked for: most programs need no asyncio."""
    if name != "AsyncMpesaClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .core.client.asynchronous import AsyncMpesaClient

    globals()[name] = AsyncMpesaClient
    return AsyncMpesaClient
