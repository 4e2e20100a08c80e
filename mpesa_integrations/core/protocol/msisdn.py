"""Phone numbers as people type them, in the form the gateway takes. Masked in `core.masking`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from ..messages import Message
from ..text import plain

_LONGEST = 10**20  # no phone number of the world has more than 15 digits
_TYPED = re.compile(r"[\s(]*\+?[0-9()./\s-]*")
_URI = re.compile(r"tel:[+0-9()./%\s-]*(;.*)?", re.IGNORECASE)  # RFC 3966
_LONGEST_TEXT = 100


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Numbering:
    """The phone numbers of a country, and which of them M-Pesa is on.

    Attributes:
        country_code: digits, as `258`.
        region: the country's ISO 3166 code, as `MZ`.
        length: how many digits follow the country code.
        mobile: the digit that a mobile number begins with, as a regular expression.
        prefix_length: the number of digits by which an operator is known.
        prefix_rule: both in words, for who sets the accepted prefixes.
        prefixes: the prefixes that are accepted unless an account sets others.
        operators: whose numbers those with another prefix are, by the prefix.
        example: a number as people write it, with `%s` for its prefix.
        rule: the gateway's form in words.
        wrong_length: what is said of too many or too few digits (`example`, `count`).
        wrong_country: what is said of another country's number (`example`).
    """

    country_code: str
    region: str
    length: int
    mobile: str
    prefix_length: int
    prefix_rule: str
    prefixes: tuple[str, ...]
    operators: Mapping[str, str]
    example: str
    rule: Message
    wrong_length: Message
    wrong_country: Message

    def is_prefix(self, text: str) -> bool:
        """Whether a text can be the prefix of an operator."""
        return re.fullmatch(f"{self.mobile}[0-9]{{{self.prefix_length - 1}}}", text) is not None

    def is_canonical(self, text: str) -> bool:
        """Whether a text has the gateway's form: the country code and the number, digits alone."""
        return re.fullmatch(f"{self.country_code}[0-9]{{{self.length}}}", text) is not None


class MsisdnError(ValueError):
    """A text that is no phone number that M-Pesa is on.

    Attributes:
        problem: what is wrong, in words for the person who typed it, without the number.
    """

    def __init__(self, problem: Message) -> None:
        super().__init__(problem)
        self.problem = problem


def normalise_msisdn(value: object, numbering: Numbering, prefixes: Sequence[str]) -> str:
    """Bring a phone number, as people type it, to the gateway's form.

    Args:
        value: text, in the digits of any script, with or without the country code and marks that
            cannot be seen; or the same digits as int.
        numbering: the numbers of the market.
        prefixes: the prefixes that are accepted.

    Returns:
        The country code and the number, digits alone.

    Raises:
        MsisdnError: it is not such a number; `problem` says in words what is wrong with it.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        problem = Message(
            "A phone number must be given as text, not as %(type)s.", type=type(value).__name__
        )
        raise MsisdnError(problem)
    text = plain(value) if isinstance(value, str) else _digits_of(value)
    canonical = text if numbering.is_canonical(text) else _parse(text, numbering)
    accepted = tuple(numbering.country_code + prefix for prefix in prefixes)
    if canonical is None or not canonical.startswith(accepted):
        raise MsisdnError(_problem(text, canonical, numbering, prefixes))
    return canonical


def format_msisdn(msisdn: str, numbering: Numbering) -> str:
    """Write a number as people of its country do; anything else than a number stays as it is.

    Args:
        msisdn: a number in the gateway's form.
        numbering: the numbers of the market.
    """
    if not numbering.is_canonical(msisdn):
        return msisdn
    import phonenumbers

    number = phonenumbers.parse(f"+{msisdn}")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)


def _digits_of(number: int) -> str:
    # Python refuses to write out the very longest.
    return str(number) if abs(number) < _LONGEST else str(_LONGEST)


def _parse(text: str, numbering: Numbering) -> str | None:
    """Give the gateway's form of a number of the country, of whatever operator."""
    if not (_TYPED.fullmatch(text) or _URI.fullmatch(text)) or len(text) > _LONGEST_TEXT:
        return None
    # Imported when first needed: its metadata takes longer to load than all of core.
    import phonenumbers

    try:
        number = phonenumbers.parse(unquote(text), numbering.region)
    except phonenumbers.NumberParseException:
        return None
    # A 0 in front is typed by many, also after the country code; a second one is a mistake.
    zeros = number.number_of_leading_zeros or 1
    canonical = f"{number.country_code}{number.national_number}"
    return canonical if zeros == 1 and numbering.is_canonical(canonical) else None


def _problem(
    text: str, canonical: str | None, numbering: Numbering, prefixes: Sequence[str]
) -> Message:
    example = numbering.example % prefixes[0]
    digits = re.sub(r"[^0-9+]", "", text)
    if not _TYPED.fullmatch(text):
        return Message("A phone number has only digits, as in %(example)s.", example=example)
    if re.match(rf"(\+|00)(?!{numbering.country_code})", digits):
        return Message(numbering.wrong_country, example=example)
    if canonical is None:
        count = _count_of_digits(digits, numbering)
        return Message(numbering.wrong_length, example=example, count=count)
    return _problem_of_prefix(canonical, numbering, prefixes)


def _count_of_digits(digits: str, numbering: Numbering) -> int:
    """How many digits somebody typed, without the country code and a 0 in front."""
    code = numbering.country_code
    in_front = rf"^((\+|00)?{code})?0?(?={numbering.mobile})|^(\+|00)?{code}"
    return len(re.sub(in_front, "", digits))


def _problem_of_prefix(canonical: str, numbering: Numbering, prefixes: Sequence[str]) -> Message:
    begins = canonical[len(numbering.country_code) :][: numbering.prefix_length]
    operator = numbering.operators.get(begins)
    if operator is None:
        return Message(
            "M-Pesa is on numbers that begin with %(prefixes)s; this one begins with %(prefix)s.",
            prefixes=_alternatives(prefixes),
            prefix=begins,
        )
    return Message(
        "M-Pesa is on numbers that begin with %(prefixes)s; this one begins with %(prefix)s, "
        "which is %(operator)s's.",
        prefixes=_alternatives(prefixes),
        prefix=begins,
        operator=operator,
    )


def _alternatives(prefixes: Sequence[str]) -> str:
    *others, last = prefixes
    if not others:
        return last
    return Message("%(others)s or %(last)s", others=", ".join(others), last=last)
