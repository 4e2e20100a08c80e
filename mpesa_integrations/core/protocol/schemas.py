"""Marshmallow schemas: strict for what is sent, lenient for what comes back.

They check and normalise values. What an answer proves is decided in `answers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from ..messages import Message
from ..text import clean, plain
from .msisdn import DEFAULT_PREFIXES, normalise_msisdn
from .references import THIRD_PARTY_REFERENCE

if TYPE_CHECKING:  # marshmallow 3's Field cannot be subscripted at run time
    _StringField = fields.Field[str | None]
    _DecimalField = fields.Field[Decimal]
else:
    _StringField = _DecimalField = fields.Field

_AMOUNT_TEXT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
_LONGEST = 10**50  # no reference, ID or shortcode is a longer whole number
_CENTAVO = Decimal("0.01")
AMOUNT_LIMIT = Decimal(10) ** 12
"""Amounts stay below this: far over any wallet, and within what records can hold."""
NOT_APPLICABLE = "N/A"
GATEWAY_ID = r"[!-~]{1,100}"
"""An ID of the gateway's, as a regular expression. No shape of theirs is documented, so any may
be sent back that goes into a query string and a line of a log, without a space."""
# In place of marshmallow's own words, which its next release may change.
_NEEDED: dict[str, Any] = {"required": Message("is missing"), "null": Message("is missing")}


class Msisdn(_StringField):
    """A phone number, however people type it; normalised to `258` and nine digits."""

    rule = Message("must be 258, then 84 or 85, then seven digits, as in 258841234567")
    default_error_messages = _NEEDED

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return normalise_msisdn(value, getattr(self.root, "msisdn_prefixes", DEFAULT_PREFIXES))
        except ValueError as error:
            raise ValidationError(error.args[0]) from None


class Amount(_DecimalField):
    """Meticais: a positive decimal of two places at most, given as str, int or Decimal."""

    rule = Message(
        "must be a positive number of meticais with at most 2 decimals, as in 150 or 99.50, "
        "and less than 1000000000000"
    )
    default_error_messages = _NEEDED

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        amount = parse_amount(value)
        if amount is None or not 0 < amount < AMOUNT_LIMIT:
            raise ValidationError(_amount_problem(value))
        return amount


class PatternText(_StringField):
    """Text that must match a pattern whole; spaces around it and invisible marks are forgiven.

    A whole number is taken, too, as an order's primary key is one.
    """

    default_error_messages = _NEEDED

    def __init__(
        self, pattern: str, rule: Message, *, clean: Callable[[str], str] = plain, **kwargs: Any
    ) -> None:
        self._pattern = re.compile(pattern)
        self._clean = clean
        self.rule = rule
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValidationError(
                Message("must be text or a whole number, not %(type)s", type=type(value).__name__)
            )
        if isinstance(value, int):
            value = str(value) if abs(value) < _LONGEST else ""
        text = self._clean(value)
        if not self._pattern.fullmatch(text):
            raise ValidationError(self.rule)
        return text


def parse_amount(value: object) -> Decimal | None:
    """Read an amount exactly, or None where it is not one.

    Args:
        value: `"10.50"`, `10` or `Decimal("10.50")`. A float is refused: it is not exact. Text with
            three decimals is refused too, since `1.000` is a thousand to many readers.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str):
        text = plain(value)
        return Decimal(text) if _AMOUNT_TEXT.fullmatch(text) else None
    if isinstance(value, Decimal) and value.is_finite() and abs(value) < AMOUNT_LIMIT:
        exact = value.quantize(_CENTAVO)
        return exact if exact == value else None
    return None


def amount_text(amount: Decimal) -> str:
    """Write an amount as the gateway takes it: `10`, or `10.50` where there are centavos."""
    whole = amount.to_integral_value()
    return str(int(whole)) if whole == amount else f"{amount:.2f}"


def _amount_problem(value: object) -> Message:
    if isinstance(value, float):
        return Message("must not be a float, which is not exact: give a Decimal, an int or text")
    return Amount.rule


def _transaction_reference() -> PatternText:
    return PatternText(
        r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,20}",
        Message("must have 1 to 20 characters on one line"),
        clean=clean,  # as it was written: the customer reads it
        required=True,
    )


def _third_party_reference() -> PatternText:
    return PatternText(
        THIRD_PARTY_REFERENCE,
        Message("must have 1 to 20 letters and digits, and nothing else"),
        required=True,
    )


def _shortcode() -> PatternText:
    return PatternText(
        r"[0-9]{5,6}", Message("must be a shortcode of 5 or 6 digits"), required=True
    )


class RequestSchema(Schema):
    """Base of the request schemas: checks arguments by their Python names.

    `wire` gives each argument's name in the gateway's parameter table.
    """

    error_messages = {"unknown": Message("is no argument of this call")}  # noqa: RUF012
    wire: Mapping[str, str] = {}

    third_party_reference = _third_party_reference()

    def __init__(self, *, msisdn_prefixes: tuple[str, ...] = DEFAULT_PREFIXES) -> None:
        self.msisdn_prefixes = msisdn_prefixes
        super().__init__()

    def parameters(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The gateway's parameters, all of them text, of values that `load` has passed."""
        return {
            self.wire[name]: amount_text(value) if isinstance(value, Decimal) else value
            for name, value in values.items()
        }


class PaymentRequestSchema(RequestSchema):
    """C2B and B2C: between a customer's phone and the business."""

    wire = {  # noqa: RUF012 - marshmallow's metaclass owns the class body
        "reference": "input_TransactionReference",
        "msisdn": "input_CustomerMSISDN",
        "amount": "input_Amount",
        "third_party_reference": "input_ThirdPartyReference",
        "service_provider_code": "input_ServiceProviderCode",
    }
    reference = _transaction_reference()
    msisdn = Msisdn(required=True)
    amount = Amount(required=True)
    service_provider_code = _shortcode()


class B2BRequestSchema(RequestSchema):
    """B2B: from one business's shortcode to another's."""

    wire = {  # noqa: RUF012
        "reference": "input_TransactionReference",
        "amount": "input_Amount",
        "third_party_reference": "input_ThirdPartyReference",
        "service_provider_code": "input_PrimaryPartyCode",
        "receiver_shortcode": "input_ReceiverPartyCode",
    }
    reference = _transaction_reference()
    amount = Amount(required=True)
    service_provider_code = _shortcode()
    receiver_shortcode = _shortcode()


class ReversalRequestSchema(RequestSchema):
    """Reversal of a transaction, whole or in part."""

    wire = {  # noqa: RUF012
        "transaction_id": "input_TransactionID",
        "security_credential": "input_SecurityCredential",
        "initiator_identifier": "input_InitiatorIdentifier",
        "third_party_reference": "input_ThirdPartyReference",
        "service_provider_code": "input_ServiceProviderCode",
        "amount": "input_ReversalAmount",
    }
    transaction_id = PatternText(
        GATEWAY_ID, Message("must be a transaction ID, as in 4XDF12345"), required=True
    )
    security_credential = fields.String(required=True)
    initiator_identifier = fields.String(required=True)
    service_provider_code = _shortcode()
    amount = Amount()


class QueryTransactionStatusRequestSchema(RequestSchema):
    """Query transaction status, by any of the three identifiers."""

    wire = {  # noqa: RUF012
        "query_reference": "input_QueryReference",
        "service_provider_code": "input_ServiceProviderCode",
        "third_party_reference": "input_ThirdPartyReference",
    }
    query_reference = PatternText(
        GATEWAY_ID,
        Message("must be a transaction ID, a conversation ID or a third-party reference"),
        required=True,
    )
    service_provider_code = _shortcode()


class QueryCustomerNameRequestSchema(RequestSchema):
    """Query the name a phone number is registered under."""

    wire = {  # noqa: RUF012
        "msisdn": "input_CustomerMSISDN",
        "service_provider_code": "input_ServiceProviderCode",
        "third_party_reference": "input_ThirdPartyReference",
    }
    msisdn = Msisdn(required=True)
    service_provider_code = _shortcode()


class LenientText(_StringField):
    """Text of an answer: `N/A`, empty, missing and things that are no text become None.

    Args:
        data_key: the gateway's name of it.
        documented: False for what some gateways were seen to answer and none documents.
    """

    def __init__(self, data_key: str, *, documented: bool = True, **kwargs: Any) -> None:
        super().__init__(data_key=data_key, load_default=None, allow_none=True, **kwargs)
        self.documented = documented

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        text = value.strip() if isinstance(value, str) else ""
        return text if text and text.upper() != NOT_APPLICABLE else None


class AnswerSchema(Schema):
    """The fields that every answer may carry. Unknown fields stay in the result's `raw`."""

    class Meta:
        """Fields that a later gateway adds must not make its answers unreadable."""

        unknown = EXCLUDE

    code = LenientText("output_ResponseCode")
    description = LenientText("output_ResponseDesc")
    conversation_id = LenientText("output_ConversationID")
    transaction_id = LenientText("output_TransactionID")
    third_party_reference = LenientText("output_ThirdPartyReference")
    error = LenientText(
        "output_error", documented=False
    )  # seen in place of a code, on a bad key or session


class TransactionStatusAnswerSchema(AnswerSchema):
    """A status query's answer."""

    transaction_status = LenientText("output_ResponseTransactionStatus")
    # Read where the documented one is missing.
    undocumented_status = LenientText("output_TransactionStatus", documented=False)


class CustomerNameAnswerSchema(AnswerSchema):
    """A customer name query's answer, which names its code and description in two ways."""

    result_code = LenientText("output_ResultCode")
    result_description = LenientText("output_ResultDesc")
    customer_name = LenientText("output_CustomerName")


class CallbackSchema(Schema):
    """An asynchronous result, as the gateway posts it; docs/protocol.md, "Answers"."""

    class Meta:
        """As for answers: unknown fields are kept raw, not refused."""

        unknown = EXCLUDE

    conversation_id = LenientText("input_OriginalConversationID")
    third_party_reference = LenientText("input_ThirdPartyReference")
    transaction_id = LenientText("input_TransactionID")
    code = LenientText("input_ResultCode")
    description = LenientText("input_ResultDesc")
