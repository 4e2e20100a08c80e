"""Phone numbers masked, alone and in free text. Reading a number is `protocol.msisdn`'s."""

from __future__ import annotations

import re
import unicodedata

_COUNTRY_CODE = "258"
_CANONICAL = re.compile(r"258[0-9]{9}")
# Longer digit runs are masked too: a number with a typing error is still somebody's number.
_IN_TEXT = re.compile(
    r"(?<![0-9A-Za-z])(?:\+?(?:00)?258[\s.-]?)?(?:\(?0\)?[\s.-]?)?(8[0-9])[\s.-]?([0-9]{3})[\s.-]?([0-9]{4})(?![0-9])"
)
# And as people write one who are not asked for a form: in any digits, with anything between them.
_DIGITS_OF_A_NUMBER = 9
_BETWEEN = r"[\s().\/\u00ad\u200b-\u200f\u2010-\u2015\u202a-\u202e\u2060-\u2069\ufeff-]{0,3}"
_WRITTEN = re.compile(
    rf"(?<![^\W_])\+?(?:(?:0{_BETWEEN}0{_BETWEEN})?2{_BETWEEN}5{_BETWEEN}8{_BETWEEN})?"
    rf"(?:0{_BETWEEN})?8{_BETWEEN}[2-7](?:{_BETWEEN}[0-9]){{7}}(?![0-9])"
)


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
    masked = _IN_TEXT.sub(lambda m: f"{_COUNTRY_CODE}{m[1]}•••{m[3]}", text)
    if sum(map(str.isdecimal, masked)) < _DIGITS_OF_A_NUMBER:
        return masked
    # Found in ASCII's digits, of which there are as many, and masked where it stands.
    written = masked if masked.isascii() else "".join(map(_ascii_digit, masked))
    parts: list[str] = []
    end = 0
    for found in _WRITTEN.finditer(written):
        digits = re.sub("[^0-9]", "", found[0])[-9:]
        parts += [masked[end : found.start()], f"{_COUNTRY_CODE}{digits[:2]}•••{digits[-4:]}"]
        end = found.end()
    return "".join([*parts, masked[end:]])


def _ascii_digit(letter: str) -> str:
    return str(unicodedata.decimal(letter)) if letter.isdecimal() else letter
