"""What a report of an error shows: looked through for secrets and a whole phone number."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator
from pprint import pformat
from types import TracebackType

NUMBER = "84" + "5510987"
"""A phone number that stands nowhere in a source line, which reports show, too."""
_NUMBER = re.compile(r"[^0-9]{0,3}".join(NUMBER))


def leaks(text: str, secrets: Iterable[str]) -> list[str]:
    """Where a text shows a secret, or the number in any usual spelling."""
    found = [text.find(secret) for secret in secrets if secret in text]
    found += [match.start() for match in _NUMBER.finditer(text)]
    return [text[max(0, start - 150) : start + 80] for start in found]


def frames(error: BaseException) -> str:
    """All variables of all frames that an error, and those behind it, passed; not of tests' own."""
    return "\n".join(_shown(error, set()))


def _shown(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield from traceback.format_exception(error)
    yield f"{error!r} {error.args!r}"
    here: TracebackType | None = error.__traceback__
    while here is not None:
        name, variables = here.tb_frame.f_code.co_name, here.tb_frame.f_locals
        if not here.tb_frame.f_globals["__name__"].startswith("tests."):
            yield from (f"{name}: {key}={pformat(value)}" for key, value in variables.items())
        here = here.tb_next
    yield from _shown(error.__cause__, seen)
    yield from _shown(error.__context__, seen)
