"""What an answer says about money, in words and a colour: by what it proves, not by HTTP status."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import LazyString
from flask_babel import lazy_gettext as _

from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.protocol.codes import Kind
from mpesa_integrations.core.protocol.results import TransactionStatus

GOOD, BAD, DOUBTFUL, WAITING = "good", "bad", "doubtful", "waiting"
"""The colours, as the style sheet names them."""
NO_OPERATION = "no_operation"
"""In place of a `Kind`: there is nothing at the path by that verb."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to say of an answer.

    Attributes:
        tone: `GOOD`, `BAD`, `DOUBTFUL` or `WAITING`.
        text: one sentence.
    """

    tone: str
    text: LazyString


_OF_PAYMENTS = {
    Kind.SUCCESS: Verdict(GOOD, _("Success: the money moved.")),
    Kind.ACCEPTED: Verdict(WAITING, _("Accepted: the result is still to come.")),
    Kind.FAILED: Verdict(BAD, _("Failed: no money moved.")),
    Kind.CANCELLED: Verdict(BAD, _("Cancelled by the customer: no money moved.")),
    Kind.DUPLICATE: Verdict(
        DOUBTFUL,
        _("Duplicate: this request did nothing. The first one with its reference decides."),
    ),
    Kind.VALIDATION: Verdict(BAD, _("Refused: no money moved.")),
    Kind.AUTHENTICATION: Verdict(BAD, _("Not authorised: no money moved.")),
    Kind.NOT_ACCEPTED: Verdict(
        DOUBTFUL, _("Not accepted: too busy. This very request may be sent again.")
    ),
    Kind.UNKNOWN: Verdict(DOUBTFUL, _("Outcome unknown: money may have moved.")),
}
_OF_QUESTIONS = {
    Kind.SUCCESS: Verdict(GOOD, _("Answered.")),
    Kind.VALIDATION: Verdict(BAD, _("Refused.")),
    Kind.AUTHENTICATION: Verdict(BAD, _("Not authorised.")),
}
_NO_ANSWER = Verdict(
    DOUBTFUL, _("No answer to rely on. It was only a question: it may be asked again.")
)
_NOWHERE = Verdict(BAD, _("There is no operation at this path by this verb: nothing was done."))
_OF_STATUSES: dict[str, Verdict] = {
    TransactionStatus.COMPLETED: Verdict(GOOD, _("Completed: the money moved.")),
    TransactionStatus.PENDING: Verdict(WAITING, _("Pending: nobody has decided it yet.")),
    TransactionStatus.CANCELLED: Verdict(BAD, _("Cancelled: no money moved.")),
    TransactionStatus.EXPIRED: Verdict(BAD, _("Expired: no money moved.")),
    TransactionStatus.FAILED: Verdict(BAD, _("Failed: no money moved.")),
}
_NO_SUCH = Verdict(DOUBTFUL, _("The gateway knows no such transaction."))


def verdict_on(kind: str, operation: str, status: str) -> Verdict:
    """Say what an answer proves.

    Args:
        kind: a value of `Kind`, or `NO_OPERATION`.
        operation: the name of what was called.
        status: of a status query, the status that it was answered.
    """
    if kind == NO_OPERATION:
        return _NOWHERE
    if OPERATIONS[operation].moves_money:
        return _OF_PAYMENTS[Kind(kind)]
    if kind == Kind.SUCCESS and operation == "query_transaction_status":
        return _OF_STATUSES.get(status, _NO_SUCH)
    return _OF_QUESTIONS.get(Kind(kind), _NO_ANSWER)
