"""Words of a gateway: those that are documented, and room for those that it says besides."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

_Word = TypeVar("_Word", bound="Word")


class Word(str, Enum):
    """Text that a gateway says. An enum that derives from it names what is documented.

    Other text becomes a member, too: what a later gateway says is kept, and is known as unknown.
    """

    @classmethod
    def _missing_(cls: type[_Word], value: object) -> _Word | None:
        if not isinstance(value, str) or not value:
            return None
        # Made anew each time: remembering every word a stranger can send would never end.
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member

    def __str__(self) -> str:
        return str(self.value)
