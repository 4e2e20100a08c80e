"""The public face of the library: client, configuration, results, codes and errors.

    from mpesa_integrations import MpesaClient, MpesaConfig

What is imported from here stays as it is between releases; `mpesa_integrations.core` may move.
"""

from importlib import import_module
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
    from .core.payments.events import Event
    from .core.payments.handler_runs import Ran
    from .core.payments.lifecycle import State
    from .core.payments.records import UnfinishedHandler, Verdict

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


_WHEN_ASKED_FOR = {
    "AsyncMpesaClient": ".core.client.asynchronous",
    "Event": ".core.payments.events",
    "Ran": ".core.payments.handler_runs",
    "State": ".core.payments.lifecycle",
    "UnfinishedHandler": ".core.payments.records",
    "Verdict": ".core.payments.records",
}
"""Names that most programs need not: asyncio, or what only recorded payments have."""


def __getattr__(name: str) -> Any:
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_WHEN_ASKED_FOR[name], __name__), name)
    globals()[name] = value
    return value
