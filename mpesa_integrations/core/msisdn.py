"""Phone numbers: to the gateway's form, and masked for people who must not see them whole."""

from __future__ import annotations

import re
from collections.abc import Collection

COUNTRY_CODE = "258"
DEFAULT_PREFIXES = ("84", "85")

_CANONICAL = re.compile(r"258[0-9]{9}")
_TYPED = re.compile(r"[0-9+()./\s-]{1,40}")
# Longer digit runs are masked too: a number with a typing error is still somebody's number.
_IN_TEXT = re.compile(
    r"(?<![0-9A-Za-z])(\+?(?:00)?258[\s.-]?)?(8[0-9])[\s.-]?([0-9]{3})[\s.-]?([0-9]{4})(?![0-9])"
)


def normalise_msisdn(value: object, prefixes: Collection[str] = DEFAULT_PREFIXES) -> str:
    """Bring a phone number, as people type it, to the gateway's form (PROTOCOL.md, "Call context").

    Args:
        value: text as `84 123 4567`, `+258 84…`, `00258…` or `258…`, or the same digits as int.
        prefixes: the two-digit operator prefixes that are accepted.

    Returns:
        `258` and nine digits.

    Raises:
        ValueError: it is not such a number; the message says what would be, without the number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"must be text, not {type(value).__name__}")  # noqa: TRY004 - one error type
    text = str(value).strip()
    canonical = text if _CANONICAL.fullmatch(text) else _parse_typed(text)
    if canonical is None or not canonical.startswith(
        tuple(COUNTRY_CODE + prefix for prefix in prefixes)
    ):
        expected = " or ".join(prefixes)
        raise ValueError(
            f"is not an M-Pesa number: expected {expected} and seven digits, as in "
            f"{next(iter(prefixes))} 123 4567, with or without +258 in front"
        )
    return canonical


def _parse_typed(text: str) -> str | None:
    if not _TYPED.fullmatch(text):
        return None
    # Imported when first needed: its metadata takes longer to load than all of core.
    import phonenumbers

    try:
        number = phonenumbers.parse(text, "MZ")
    except phonenumbers.NumberParseException:
        return None
    canonical = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    return canonical if _CANONICAL.fullmatch(canonical) else None


def mask_msisdn(msisdn: str) -> str:
    """Mask a number for logs and pages: `258841234567` becomes `25884•••4567`.

    Args:
        msisdn: a number in the gateway's form. Anything else is hidden whole.
    """
    if not _CANONICAL.fullmatch(msisdn):
        return "•••"
    return f"{msisdn[:5]}•••{msisdn[-4:]}"


def mask_msisdns_in(text: str) -> str:
    """Mask every Mozambican mobile number inside free text, such as a gateway's description."""
    return _IN_TEXT.sub(lambda m: f"{COUNTRY_CODE}{m[2]}•••{m[4]}", text)
