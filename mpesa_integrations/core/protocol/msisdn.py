"""Phone numbers as people type them, in the form the gateway takes. Masked in `core.masking`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from ..messages import Message
from ..redaction import forgetful
from ..text import plain

COUNTRY_CODE = "258"
DEFAULT_PREFIXES = ("84", "85")

_CANONICAL = re.compile(r"258[0-9]{9}")
_OPERATORS = {"82": "Tmcel", "83": "Tmcel", "86": "Movitel", "87": "Movitel"}
_LONGEST = 10**20  # no phone number of the world has more than 15 digits
_TYPED = re.compile(r"[\s(]*\+?[0-9()./\s-]*")
_URI = re.compile(r"tel:[+0-9()./%\s-]*(;.*)?", re.IGNORECASE)  # RFC 3966
_LONGEST_TEXT = 100


class MsisdnError(ValueError):
    """A text that is no phone number that M-Pesa is on.

    Attributes:
        problem: what is wrong, in words for whoever typed it. The number is not repeated.
    """

    def __init__(self, problem: Message) -> None:
        super().__init__(problem)
        self.problem = problem


@forgetful
def normalise_msisdn(value: object, prefixes: Sequence[str] = DEFAULT_PREFIXES) -> str:
    """Bring a phone number, as people type it, to the gateway's form.

    Args:
        value: text as `84 123 4567`, `084 123 4567`, `+258 84…`, `+258 (0) 84…`, `00258…`, `258…`
            or `tel:+258-84…`, in the digits of any script, with or without marks that cannot be
            seen; or the same digits as int.
        prefixes: the two-digit operator prefixes that are accepted.

    Returns:
        `258` and nine digits.

    Raises:
        MsisdnError: it is not such a number; `problem` says in words what is wrong with it.

    Source: docs/protocol.md, "Call context".
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        problem = Message(
            "A phone number must be given as text, not as %(type)s.", type=type(value).__name__
        )
        raise MsisdnError(problem)
    text = plain(value) if isinstance(value, str) else _digits_of(value)
    canonical = text if _CANONICAL.fullmatch(text) else _parse(text)
    accepted = tuple(COUNTRY_CODE + prefix for prefix in prefixes)
    if canonical is None or not canonical.startswith(accepted):
        raise MsisdnError(_problem(text, canonical, prefixes))
    return canonical


def _digits_of(number: int) -> str:
    # Python refuses to write out the very longest.
    return str(number) if abs(number) < _LONGEST else str(_LONGEST)


def _parse(text: str) -> str | None:
    """Give the gateway's form of a Mozambican number, of whatever operator."""
    if not (_TYPED.fullmatch(text) or _URI.fullmatch(text)) or len(text) > _LONGEST_TEXT:
        return None
    # Imported when first needed: its metadata takes longer to load than all of core.
    import phonenumbers

    try:
        number = phonenumbers.parse(unquote(text), "MZ")
    except phonenumbers.NumberParseException:
        return None
    # A 0 in front is typed by many, also after the country code; a second one is a mistake.
    zeros = number.number_of_leading_zeros or 1
    canonical = f"{number.country_code}{number.national_number}"
    return canonical if zeros == 1 and _CANONICAL.fullmatch(canonical) else None


def _digits(text: str) -> str:
    """The digits, with a + in front if there is one."""
    return re.sub(r"[^0-9+]", "", text)


def _problem(text: str, canonical: str | None, prefixes: Sequence[str]) -> Message:
    example = f"{prefixes[0]} 123 4567"
    digits = _digits(text)
    if not _TYPED.fullmatch(text):
        return Message("A phone number has only digits, as in %(example)s.", example=example)
    if re.match(r"(\+|00)(?!258)", digits):
        return Message(
            "M-Pesa is on Mozambican numbers, as in %(example)s; this one is of another country.",
            example=example,
        )
    if canonical is None:
        return Message(
            "A phone number has nine digits, as in %(example)s; this one has %(count)d.",
            example=example,
            count=len(re.sub(r"^((\+|00)?258)?0?(?=8)|^(\+|00)?258", "", digits)),
        )
    prefix = canonical[3:5]
    operator = _OPERATORS.get(prefix)
    if operator is None:
        return Message(
            "M-Pesa is on numbers that begin with %(prefixes)s; this one begins with %(prefix)s.",
            prefixes=_alternatives(prefixes),
            prefix=prefix,
        )
    return Message(
        "M-Pesa is on numbers that begin with %(prefixes)s; this one begins with %(prefix)s, "
        "which is %(operator)s's.",
        prefixes=_alternatives(prefixes),
        prefix=prefix,
        operator=operator,
    )


def _alternatives(prefixes: Sequence[str]) -> str:
    *others, last = prefixes
    if not others:
        return last
    return Message("%(others)s or %(last)s", others=", ".join(others), last=last)
