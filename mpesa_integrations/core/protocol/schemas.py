"""Marshmallow fields and bases of schemas: strict for what is sent, lenient for what comes back.

They check and normalise values. The schemas of operations are the markets'; what an answer proves
is decided in `answers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from ..messages import Message
from ..text import clean, plain
from .msisdn import MsisdnError, Numbering, normalise_msisdn
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
_NO_FLOAT = Message("must not be a float, which is not exact: give a Decimal, an int or text")
# In place of marshmallow's own words, which its next release may change.
_NEEDED: dict[str, Any] = {"required": Message("is missing"), "null": Message("is missing")}


class Msisdn(_StringField):
    """A phone number of the schema's market, however people type it; brought to one form."""

    default_error_messages: dict[str, Any] = _NEEDED

    @property
    def rule(self) -> Message:
        """The form in words."""
        return self._schema.numbering.rule

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        schema = self._schema
        try:
            return normalise_msisdn(value, schema.numbering, schema.msisdn_prefixes)
        except MsisdnError as error:
            raise ValidationError(error.problem) from None

    @property
    def _schema(self) -> RequestSchema:
        return cast("RequestSchema", self.root)


class Amount(_DecimalField):
    """An amount: a positive decimal of two places at most, given as str, int or Decimal.

    Args:
        rule: that in words, with the currency's name.
    """

    default_error_messages: dict[str, Any] = _NEEDED

    def __init__(self, rule: Message, **kwargs: Any) -> None:
        self.rule = rule
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        amount = parse_amount(value)
        if amount is None or not 0 < amount < AMOUNT_LIMIT:
            raise ValidationError(_NO_FLOAT if isinstance(value, float) else self.rule)
        return amount


class PatternText(_StringField):
    """Text that must match a pattern whole; spaces around it and invisible marks are forgiven.

    A whole number is taken, too, as an order's primary key is one.
    """

    default_error_messages: dict[str, Any] = _NEEDED

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


def transaction_reference() -> PatternText:
    """A field for what the customer and the statement see."""
    return PatternText(
        r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,20}",
        Message("must have 1 to 20 characters on one line"),
        clean=clean,  # as it was written: the customer reads it
        required=True,
    )


class RequestSchema(Schema):
    """Base of the request schemas: checks arguments by their Python names.

    A market's schemas add their arguments. `wire` gives each argument's name in the gateway's table
    of parameters.

    Args:
        numbering: the phone numbers of the market.
        msisdn_prefixes: the operator prefixes that are accepted; None means the market's.
    """

    error_messages: dict[str, Any] = {"unknown": Message("is no argument of this call")}  # noqa: RUF012
    wire: Mapping[str, str] = {}

    third_party_reference: PatternText = PatternText(
        THIRD_PARTY_REFERENCE,
        Message("must have 1 to 20 letters and digits, and nothing else"),
        required=True,
    )

    def __init__(
        self, *, numbering: Numbering, msisdn_prefixes: tuple[str, ...] | None = None
    ) -> None:
        self.numbering = numbering
        self.msisdn_prefixes: tuple[str, ...] = msisdn_prefixes or numbering.prefixes
        super().__init__()

    def parameters(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The gateway's parameters, all of them text, of values that `load` has passed."""
        return {
            self.wire[name]: amount_text(value) if isinstance(value, Decimal) else value
            for name, value in values.items()
        }


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
    """The fields that every answer may carry, whatever the market. Others stay in `raw`.

    A market's schemas add `third_party_reference`, and what its operations answer.
    """

    class Meta:
        """Fields that a later gateway adds must not make its answers unreadable."""

        unknown = EXCLUDE

    code: LenientText = LenientText("output_ResponseCode")
    description: LenientText = LenientText("output_ResponseDesc")
    conversation_id: LenientText = LenientText("output_ConversationID")
    transaction_id: LenientText = LenientText("output_TransactionID")
    # Seen in place of a code, on a bad key or session.
    error: LenientText = LenientText("output_error", documented=False)


class CallbackSchema(Schema):
    """An asynchronous result, as the gateway posts it; a market adds `third_party_reference`."""

    class Meta:
        """As for answers: unknown fields are kept raw, not refused."""

        unknown = EXCLUDE

    conversation_id: LenientText = LenientText("input_OriginalConversationID")
    transaction_id: LenientText = LenientText("input_TransactionID")
    code: LenientText = LenientText("input_ResultCode")
    description: LenientText = LenientText("input_ResultDesc")


_Reading = TypeVar("_Reading", bound=Schema)


@lru_cache(maxsize=256)
def _made(schema: type[Schema]) -> Schema:
    return schema()


def reading(schema: type[_Reading]) -> _Reading:
    """Give the one instance of an answer's or a callback's schema.

    A schema copies its fields when it is made, which costs more than reading an answer does.
    """
    return cast("_Reading", _made(schema))
