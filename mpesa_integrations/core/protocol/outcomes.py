"""From what came of one attempt, an answer or a transport's failure, to a result or an error.

Whether another attempt follows is `exchange`'s; how an answer's bytes are read is in `answers`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import (
    AuthenticationError,
    DuplicateTransaction,
    GatewayUnavailable,
    MpesaError,
    OutcomeUnknown,
    PaymentDeclined,
    ValidationError,
)
from ..messages import Message
from .answers import read_answer
from .codes import GatewayCode, Kind
from .http import HttpResponse, NoAnswer, NotConnected
from .market import Market
from .operations import Operation
from .requests import GatewaySettings
from .results import Result

Answer = HttpResponse | NotConnected | NoAnswer
"""What a transport gives back, or raises."""

_ERRORS: dict[Kind, type[MpesaError]] = {
    Kind.FAILED: PaymentDeclined,
    Kind.CANCELLED: PaymentDeclined,
    Kind.DUPLICATE: DuplicateTransaction,
    Kind.VALIDATION: ValidationError,
    Kind.AUTHENTICATION: AuthenticationError,
    Kind.NOT_ACCEPTED: GatewayUnavailable,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one attempt of a call came to.

    Attributes:
        result: the answer as it was read; None where there was none.
        error: what the call raises if it ends so; None where the gateway said yes.
        not_accepted: whether the request surely was not accepted, so that it may be sent again.
    """

    result: Result | None = None
    error: MpesaError | None = None
    not_accepted: bool = False


def interpret(
    answer: Answer,
    *,
    operation: Operation,
    settings: GatewaySettings,
    reference: str | None,
    elapsed: float,
    answered_before: bool = False,
) -> Outcome:
    """Say what an attempt came to.

    Args:
        answer: the gateway's answer, or the transport's failure.
        operation: what was called.
        settings: the account's.
        reference: the third-party reference that was sent.
        elapsed: seconds since the first attempt began.
        answered_before: whether an earlier attempt of the same call was answered.
    """
    if isinstance(answer, NotConnected):
        return _not_connected(answer, reference)
    if isinstance(answer, NoAnswer):
        return Outcome(error=unanswered(answer, operation, reference))
    result = read_answer(
        operation,
        settings.market.codes,
        http_status=answer.status,
        body=answer.body,
        third_party_reference=reference,
        elapsed=elapsed,
    )
    if result.kind in (Kind.SUCCESS, Kind.ACCEPTED):
        return Outcome(result=result)
    final = _of_its_own(result) if answered_before else result
    return Outcome(
        result=result,
        error=_error_for(final, operation, settings),
        not_accepted=result.kind is Kind.NOT_ACCEPTED,
    )


def _not_connected(failure: NotConnected, reference: str | None) -> Outcome:
    error = GatewayUnavailable(f"Nothing was sent: {failure}", third_party_reference=reference)
    error.__cause__ = failure
    return Outcome(error=error, not_accepted=failure.retryable)


def unanswered(failure: NoAnswer, operation: Operation, reference: str | None) -> MpesaError:
    """What it means that a request was sent, and that no answer came.

    Args:
        failure: what happened.
        operation: the request's.
        reference: the third-party reference that was sent.

    Returns:
        `OutcomeUnknown` where money may have moved; `GatewayUnavailable` of a question.
    """
    error: MpesaError
    if operation.moves_money:
        error = OutcomeUnknown(
            f"Outcome unknown: {failure}. The request may have been accepted: query its status "
            f"with third-party reference {reference}, and do not send it again",
            third_party_reference=reference,
        )
    else:
        error = GatewayUnavailable(
            f"No answer: {failure}. It was only a question: it may be asked again",
            third_party_reference=reference,
        )
    error.__cause__ = failure
    return error


def _of_its_own(result: Result) -> Result:
    """A later attempt's result: what it duplicates may be the attempt before, which got in."""
    if result.kind is not Kind.DUPLICATE:
        return result
    text = f"An earlier attempt of this call may have got in: {result.description}"
    return replace(result, kind=Kind.UNKNOWN, description=text)


def _error_for(result: Result, operation: Operation, settings: GatewaySettings) -> MpesaError:
    reference = result.third_party_reference
    label = f"{result.code} {result.description}" if result.code else result.description
    text = f"{label} (third-party reference {reference})" if reference else label
    if result.kind is Kind.VALIDATION and result.code is not None:
        return ValidationError(
            text,
            errors=_refused_argument(result.code, label, settings.market),
            result=result,
            third_party_reference=reference,
        )
    if _is_absent(result, operation, settings):
        text = (
            f"{text}. The sandbox has no customer name service: ask in production, or the local "
            "gateway"
        )
    unknown = OutcomeUnknown if operation.moves_money else GatewayUnavailable
    return _ERRORS.get(result.kind, unknown)(text, result=result, third_party_reference=reference)


def _refused_argument(code: GatewayCode, label: str, market: Market) -> dict[str, list[str]]:
    """The argument that the gateway means, and what it said of it."""
    problem = Message(
        "%(code)s %(meaning)s",
        english=label,  # as the gateway worded it
        code=code.value,
        meaning=code.meaning,
    )
    return {market.argument_of_code.get(code, "request"): [problem]}


def _is_absent(result: Result, operation: Operation, settings: GatewaySettings) -> bool:
    """Whether the sandbox said that it has no such operation."""
    if result.kind is not Kind.AUTHENTICATION or settings.environment != "sandbox":
        return False
    return operation.absent_in_sandbox is not None and result.code == operation.absent_in_sandbox
