"""What the log says where one row, account or receiver failed, and the others go on."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

from .masking import mask_msisdns_in
from .redaction import without_secrets

logger: logging.Logger = logging.getLogger("mpesa_integrations")

# PEP 249's names for a database's errors, and SQLAlchemy's for those that it wraps.
_OF_DATABASES = frozenset({"DatabaseError", "InterfaceError", "DBAPIError"})


def log_failure(event: str, error: BaseException, /, **about: object) -> None:
    """Log an error that was caught, and where it comes from.

    A database's own words are left out, since they may show a row; of others' words, phone numbers
    are masked.

    Args:
        event: the line's first word, as `callback.not_decided`.
        error: what was caught.
        about: what a person finds the row by, as `third_party_reference`.
    """
    where = " ".join(f"{name}={value}" for name, value in about.items())
    told = without_secrets("\n".join(_parts(error)))
    logger.error("%s %s problem=%s\n%s", event, where, type(error).__name__, told)


def _parts(error: BaseException) -> Iterator[str]:
    """The error and those behind it, the first to happen first; each with its traceback."""
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind is not None:
        yield from _parts(behind)
        yield "and then:"
    yield "".join(traceback.format_tb(error.__traceback__)) + _words(error)


def _words(error: BaseException) -> str:
    kind = type(error)
    if not _OF_DATABASES & {each.__name__ for each in kind.__mro__}:
        return mask_msisdns_in("".join(traceback.format_exception_only(error)).rstrip())
    driver = getattr(error, "orig", None) or error
    code = getattr(driver, "sqlstate", None) or next(iter(driver.args), None)
    return f"{kind.__module__}.{kind.__qualname__}" + (
        f" ({code})" if isinstance(code, int) or _is_sqlstate(code) else ""
    )


def _is_sqlstate(code: object) -> bool:
    return isinstance(code, str) and len(code) == 5 and code.isalnum()
