"""Text as people paste it, out of chats, contacts and web pages: freed of what cannot be seen."""

from __future__ import annotations

import re
import unicodedata

# Marks of direction and width, joiners, selectors: what Unicode calls default ignorable.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_DASHES = re.compile("[\u058a\u2010-\u2015\u2212\ufe58\ufe63]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


def clean(text: str) -> str:
    """Take away what cannot be seen and the space around; other spaces become plain ones."""
    if text.isascii():
        return text.strip()
    return _SPACES.sub(" ", _INVISIBLE.sub("", text)).strip()


def plain(text: str) -> str:
    """As `clean`; digits of any script, full-width letters and dashes become those of ASCII.

    For what is ASCII by its nature, as a number or a shortcode. A superscript or a circled digit
    is no digit: it may be a footnote's.
    """
    text = clean(text)
    if text.isascii():
        return text
    text = plain_dashes(text.translate(_FULL_WIDTH))
    return "".join(
        str(unicodedata.decimal(letter)) if letter.isdecimal() else letter for letter in text
    )


def plain_dashes(text: str) -> str:
    """Make every dash and minus sign a hyphen, as they were before a word processor had them."""
    return _DASHES.sub("-", text)
