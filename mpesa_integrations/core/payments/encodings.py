"""What the gateway and strangers wrote, in characters that a database's columns can hold.

A table may be in a character set that lacks some of them. What a payment's state says must not hang
on that: the words are kept as far as the column can. A callback's bytes are kept as they came.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, TypeVar

from .records import Change

logger: logging.Logger = logging.getLogger("mpesa_integrations")

Substitution = Callable[[str], str]
_T = TypeVar("_T")
# MySQL's and MariaDB's numbers for text that a column, or a comparison, cannot take.
_MYSQL_CODES = frozenset({1267, 1270, 1271, 1300, 1366, 3854, 3988})


def write_in_charset(write: Callable[[Substitution], _T], texts: Iterable[object]) -> _T:
    """Write texts; where the database cannot hold them, with a question mark for what it lacks.

    Args:
        write: writes them in one transaction, which has left nothing behind where it raises. It is
            given a function, to be called with each text, that substitutes what is lacking.
        texts: what it writes. What is no text is passed over.
    """
    before = "".join(str(text) for text in texts if _is_text(text))
    try:
        return write(str)
    except Exception as error:
        if not _is_about_characters(error):
            raise
        for substitute in _SUBSTITUTIONS:
            after = substitute(before)
            if after == before:
                continue
            before = after
            try:
                done = write(substitute)
            except Exception as again:
                if not _is_about_characters(again):
                    raise
            else:
                logger.warning("record.words_replaced problem=%s", type(error).__name__)
                return done
        raise


def substituted(values: Mapping[str, Any], substitute: Substitution) -> dict[str, Any]:
    """Columns, with what a character set lacks substituted in their texts."""
    return {name: substitute(v) if _is_text(v) else v for name, v in values.items()}


def substituted_change(change: Change, substitute: Substitution) -> Change:
    """A change, with what a character set lacks substituted in its texts."""
    callback = change.callback
    return replace(
        change,
        values=substituted(change.values, substitute),
        callback=None if callback is None else substituted(callback, substitute),
    )


def texts_of(change: Change) -> Iterable[object]:
    """The texts that a change writes."""
    return [*change.values.values(), *(change.callback or {}).values()]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Enum)


def _is_about_characters(error: BaseException) -> bool:
    """Whether a database, or its driver, says that it cannot hold what it was given."""
    cause: BaseException | None = error
    while cause is not None:
        names = {kind.__name__ for kind in type(cause).__mro__}
        # PEP 249's name for it, which all drivers have; before the wire, Python's own.
        if "DataError" in names or isinstance(cause, ValueError):
            return True
        if names & {"DatabaseError", "Error"} and cause.args[:1] and cause.args[0] in _MYSQL_CODES:
            return True
        cause = getattr(cause, "orig", None) or cause.__cause__
    return False


def _up_to(most: int) -> Substitution:
    return lambda text: "".join(c if ord(c) <= most else "?" for c in text)


# What MariaDB's utf8mb3 has, then latin1, then any character set.
_SUBSTITUTIONS = (_up_to(0xFFFF), _up_to(0xFF), _up_to(0x7F))
