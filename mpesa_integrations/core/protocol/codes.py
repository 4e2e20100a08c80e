"""What a response code proves, and what a customer can do. The tables of codes are the markets'.

Nothing here reads an answer or decides a payment's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, TypeVar

from ..messages import Message, in_language
from .words import Word

_Code = TypeVar("_Code", bound="GatewayCode")

SUCCESS_CODE = "INS-0"
DUPLICATE_CODE = "INS-10"
"""These two mean the same in every market, so that a record can be read without its market."""


class Kind(str, Enum):
    """What an answer proves, and so what a caller may do next."""

    SUCCESS = "success"
    """Processed: the money moved, or the query was answered."""
    ACCEPTED = "accepted"
    """Taken in for asynchronous processing; the result comes by callback."""
    FAILED = "failed"
    """Refused for good; no money moved."""
    CANCELLED = "cancelled"
    """The customer said no; no money moved."""
    DUPLICATE = "duplicate"
    """The third-party reference was used before: the first request with it decides."""
    VALIDATION = "validation"
    """A parameter was refused; no money moved."""
    AUTHENTICATION = "authentication"
    """The account's credentials or rights were refused; no money moved."""
    NOT_ACCEPTED = "not_accepted"
    """The gateway was too busy to take the request: it may be sent again."""
    UNKNOWN = "unknown"
    """Nothing is proved: money may have moved. Ask, never send again."""

    def __str__(self) -> str:
        return self.value


class Advice(str, Enum):
    """What a customer can do whose payment failed with a code."""

    PHONE_AT_HAND = "phone_at_hand"
    """Try again, and be quicker with the PIN."""
    CHECK_PIN = "check_pin"
    """Try again, with the right PIN."""
    WAIT = "wait"
    """Try again in a minute."""
    ADD_MONEY = "add_money"
    """Put money into the account, or pay from another number."""
    CHECK_NUMBER = "check_number"
    """Correct the phone number."""
    OTHER_NUMBER = "other_number"
    """Pay from another number: this one cannot."""
    OPERATORS_SHOP = "operators_shop"
    """Have the account put right where M-Pesa is at home, or pay from another number."""
    NOT_NOW = "not_now"
    """Nothing: the fault is the business's, in its settings, its account or its request."""
    TRY_AGAIN = "try_again"
    """Try again, or pay from another number: no more is known."""

    def __str__(self) -> str:
        return self.value


class CodeInfo(NamedTuple):
    """One row of a market's table of response codes."""

    http_status: int
    meaning: str
    kind: Kind
    advice: Advice


class GatewayCode(Word):
    """A response code of a gateway. Each market's own enum derives from it and brings its table.

    Gateways give one code different meanings, so a code is known only with its market. A code that
    is not in the table becomes a member too, of kind unknown.
    """

    @classmethod
    def table(cls) -> Mapping[str, CodeInfo]:
        """The market's documented codes."""
        raise NotImplementedError

    @classmethod
    def of_result(cls: type[_Code], text: str | None) -> _Code | None:
        """Read a code as callbacks and name queries write it, where `0` means `INS-0`."""
        if text is None:
            return None
        return cls(SUCCESS_CODE if text == "0" else text)

    @property
    def known(self) -> bool:
        """Whether the code is in the gateway's documented table."""
        return self.value in self.table()

    @property
    def kind(self) -> Kind:
        """What the code proves; `Kind.UNKNOWN` for a code that is not in the table."""
        info = self.table().get(self.value)
        return info.kind if info else Kind.UNKNOWN

    @property
    def advice(self) -> Advice:
        """What a customer can do; `Advice.TRY_AGAIN` for a code that is not in the table."""
        info = self.table().get(self.value)
        return info.advice if info else Advice.TRY_AGAIN

    @property
    def meaning(self) -> str:
        """The documented meaning; says so for a code that is not in the table."""
        info = self.table().get(self.value)
        return info.meaning if info else Message("Not in the documented table")

    def meaning_in(self, language: str | None) -> str:
        """Give the meaning in the language of the person who reads it.

        Args:
            language: `pt`, `pt-MZ`, `pt_BR` and so on give Portuguese; any other, or None, English.
        """
        return in_language(self.meaning, language)

    @property
    def http_status(self) -> int | None:
        """The HTTP status the code is documented with, None for an undocumented code."""
        info = self.table().get(self.value)
        return info.http_status if info else None
