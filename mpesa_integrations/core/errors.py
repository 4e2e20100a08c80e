"""The errors a caller can meet, one class per thing the caller can do about it.

The rule: a call returns only when the gateway said yes (`Kind.SUCCESS` or `Kind.ACCEPTED`);
everything else raises one of these, which carries the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .messages import Message, in_language

if TYPE_CHECKING:
    from .protocol.results import Result


class MpesaError(Exception):
    """Base of every error of this library.

    Attributes:
        result: the gateway's answer as far as it could be read, None when there was none.
            The underlying exception, when there was one, is `__cause__`.
        third_party_reference: the reference of the request, None when none was built yet.
    """

    def __init__(
        self,
        message: str,
        *,
        result: Result | None = None,
        third_party_reference: str | None = None,
    ) -> None:
        super().__init__(message)
        self.result = result
        self.third_party_reference = third_party_reference


class ConfigurationError(MpesaError):
    """A setting is missing or wrong: mend the configuration. Nothing was sent.

    Attributes:
        setting: the name of the setting, as `MpesaConfig` spells it.
    """

    def __init__(self, message: str, *, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


class ValidationError(MpesaError):
    """A value was refused, before sending (`result` is None) or by the gateway. No money moved.

    Attributes:
        errors: what is wrong, by argument name, as in `{"amount": ["must be at most 5.00"]}`. In
            English, as the error's own text.
    """

    def __init__(
        self,
        message: str,
        *,
        errors: Mapping[str, list[str]] | None = None,
        result: Result | None = None,
        third_party_reference: str | None = None,
    ) -> None:
        super().__init__(message, result=result, third_party_reference=third_party_reference)
        self.errors: dict[str, list[str]] = dict(errors or {})

    def errors_in(self, language: str | None) -> dict[str, list[str]]:
        """Give `errors` in the language of the person who reads them.

        Args:
            language: `pt`, `pt-MZ`, `pt_BR` and so on give Portuguese; any other, or None, English.
        """
        return {
            argument: [in_language(message, language) for message in messages]
            for argument, messages in self.errors.items()
        }


class AuthenticationError(MpesaError):
    """The gateway refused the account's key or rights: renew or correct it. No money moved.

    Attributes:
        result: the gateway's answer; there always is one.
    """

    result: Result


class PaymentDeclined(MpesaError):  # noqa: N818 - a business outcome, named as the field names it
    """The payment failed or the customer cancelled it, for good. No money moved.

    Attributes:
        result: the gateway's answer; there always is one.
    """

    result: Result


class DuplicateTransaction(MpesaError):  # noqa: N818
    """The third-party reference was used before: the first request with it decides.

    A status query by the reference is answered about that one, and proves nothing about the
    request that was refused.

    Attributes:
        result: the gateway's answer; None where the records know the reference, and nothing was
            sent.
    """


class GatewayUnavailable(MpesaError):  # noqa: N818
    """Surely not accepted (never connected, or INS-16), or only a question: safe to try again.

    Attributes:
        result: the gateway's answer; None where there was no connection or no answer.
    """


class OutcomeUnknown(MpesaError):  # noqa: N818
    """The request may have been accepted and money may have moved: query it, never send again.

    Attributes:
        result: the gateway's answer, which proves nothing; None where no answer came.
    """


class IdempotencyConflict(MpesaError):  # noqa: N818 - named after the key, as the field does
    """The idempotency key was used before, with other arguments. Nothing was sent."""


class CalledInTransaction(MpesaError):  # noqa: N818
    """The payment cannot be recorded safely inside the caller's transaction. Nothing was sent."""


class CalledInEventLoop(MpesaError):  # noqa: N818
    """A blocking call was made where an event loop runs: await its twin. Nothing was sent."""


class RecordsUnavailable(MpesaError):  # noqa: N818
    """The database of the records is away, or kept them locked; `__cause__` is its own error.

    Where a payment's call raises it, nothing was sent; where a worker is to send the payment, it
    may be queued all the same, and the text says so. The database's error may show what was to be
    written; this one's text does not.
    """


class RecordLocked(CalledInTransaction, RecordsUnavailable):
    """Somebody keeps the record locked: it may be the caller's own `select_for_update()`."""


class ProtectedRecord(MpesaError):  # noqa: N818
    """The application would have written a column that the library owns. Nothing was written.

    Attributes:
        columns: those columns, as `("state",)`; none where a whole record was to be made or
            deleted.
    """

    def __init__(self, message: str, *, columns: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.columns = columns


def wrong_setting(setting: str, what: str) -> ConfigurationError:
    """Make the error for a setting's value that cannot be, as in `port must be …`."""
    return ConfigurationError(f"{setting} {what}", setting=setting)


def nothing_sent(errors: Mapping[str, list[str]]) -> ValidationError:
    """Make the error for arguments that were refused before anything was sent."""
    parts = (f"{name}: {' '.join(messages).rstrip('.')}." for name, messages in errors.items())
    text = f"Nothing was sent. {' '.join(parts)}"
    return ValidationError(Message(text), errors=errors)
