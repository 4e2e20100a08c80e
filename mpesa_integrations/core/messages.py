"""Messages about wrong values, in words for people: in English, and on request in Portuguese.

Core writes, raises and logs English. A translation is looked up where somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

_CATALOGUES = Path(__file__).parent / "locale"


class Message(str):
    """A message: English text that can be given in another language, too."""

    template: str
    values: dict[str, object]

    def __new__(cls, template: str, /, *, english: str | None = None, **values: object) -> Message:
        """Write it in English, and keep the template and its values.

        Args:
            template: the English words, with places for the values, as in `at most %(left)s`.
            english: the English text where it is not the template's, as where the gateway worded
                it.
            values: what goes into the places. Text that is in the catalogue is translated, too.
        """
        message = super().__new__(cls, english or (template % values if values else template))
        message.template = template
        message.values = values
        return message

    def in_language(self, language: str | None) -> str:
        """Give the message in a language.

        Args:
            language: as `pt`, `pt-MZ` or `pt_BR`. One that there is no catalogue of, or None,
                gives English.
        """
        return in_language(self, language)


def in_language(text: str, language: str | None) -> str:
    """Give a text of core's in a language; in English where there is no translation.

    Args:
        text: a message, or another text that core's catalogue holds.
        language: as for `Message.in_language`.
    """
    translate = _catalogue((language or "").replace("_", "-").partition("-")[0].lower())
    if translate is None or not text:
        return str(text)
    if not isinstance(text, Message):
        return translate(str(text))
    values = {
        name: in_language(value, language) if isinstance(value, str) else value
        for name, value in text.values.items()
    }
    return translate(text.template) % values if values else translate(text.template)


@lru_cache(maxsize=16)  # bounded: a stranger's browser can name any language
def _catalogue(language: str) -> Callable[[str], str] | None:
    # It becomes part of a path.
    if not (language.isascii() and language.isalpha()):
        return None
    # Imported when first needed: most processes never ask.
    import gettext

    try:
        return gettext.translation("core", _CATALOGUES, [language]).gettext
    except FileNotFoundError:
        return None
