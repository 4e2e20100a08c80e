"""What keeps secrets and whole phone numbers out of reprs, error pages and error reports.

A report shows the variables of each frame that an error passed, the settings, and the error's own
words. So a secret is a `Secret`, whose repr hides it, and an error that leaves a public call has
forgotten the variables of our frames. Phone numbers in texts are `masking`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import wraps
from inspect import iscoroutinefunction, isfunction
from typing import Any, ParamSpec, TypeVar, cast

from .masking import mask_msisdns_in

HIDDEN = "•••"
SECRET_SETTINGS = (
    "API_KEY",
    "SECURITY_CREDENTIAL",
    "INITIATOR_IDENTIFIER",
    "CALLBACK_TOKEN",
    "CALLBACK_BASE_URL",
    "PROXY",
)
"""The settings that are secret, or, as a URL, may hold one."""
CREDENTIALS = ("API_KEY", "SECURITY_CREDENTIAL", "CALLBACK_TOKEN")
"""Those of them that are secret as a whole, wherever they stand."""
_LEAST = 8  # characters: what is shorter than that may be part of any text
_SHORTEST_TOKEN = 16  # what a stranger has in its place may be part of any path
_P = ParamSpec("_P")
_T = TypeVar("_T")
_C = TypeVar("_C", bound=type)


class Secret(str):
    """Text that is as any other, but for its repr: in that, it is hidden."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{HIDDEN}'"


class _Wrong:
    """A secret of a type that it cannot have, kept so that the setting's check can say so."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"<{type(self._value).__name__} {HIDDEN}>"


def secret(value: Any) -> Any:
    """Hide a setting's value; None and what is hidden already stay as they are."""
    if value is None or isinstance(value, (Secret, _Wrong)):
        return value
    return Secret(value) if isinstance(value, str) else _Wrong(value)


def hide_secrets(options: Mapping[str, Any], prefix: str = "") -> None:
    """Put secrets in place of an account's secret settings, in the project's own dict.

    The values stay equal to what they were. What shows settings shows the dict's repr.

    Args:
        options: settings by their names; left alone unless it is a dict.
        prefix: what the names begin with, as `MPESA_`.
    """
    if not isinstance(options, dict):
        return
    for name in SECRET_SETTINGS:
        if options.get(prefix + name) is not None:
            options[prefix + name] = secret(options[prefix + name])
    remember_secrets(*(options.get(prefix + name) for name in CREDENTIALS))


_known: frozenset[str] = frozenset()


def remember_secrets(*values: object) -> None:
    """Note secrets that are in use, for `without_secrets`."""
    global _known  # noqa: PLW0603 - put in its place whole, so that other threads may read it
    found = {str(value) for value in values if isinstance(value, str) and len(value) >= _LEAST}
    if not found <= _known:
        _known |= found


def without_secrets(text: str) -> str:
    """A text with each secret that is in use hidden in it."""
    for value in _known:
        if value in text:
            text = text.replace(value, HIDDEN)
    return text


def hide_token(text: str, token: str) -> str:
    """A path without a callback token in it; in ASCII, as a WSGI server may need it."""
    return text.replace(token, "***") if len(token) >= _SHORTEST_TOKEN else text


def hide_token_in(values: dict[str, Any], token: str) -> None:
    """The same for each text in a dict, such as a request's environment."""
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = hide_token(value, token)


def redact(error: BaseException) -> None:
    """Take from an error, and from those behind it, what a report of it must not show.

    That is the variables of each frame that has ended, and phone numbers in texts: a database may
    name a whole row in its error. Where it was raised stays known.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        waiting += (found.__cause__, found.__context__)
        _clear_frames(found)
        _mask_words(found)


def _clear_frames(error: BaseException) -> None:
    here = error.__traceback__
    while here is not None:
        with suppress(RuntimeError):  # still running: what the error is caught in, or its caller
            here.tb_frame.clear()
        here = here.tb_next


def _mask_words(error: BaseException) -> None:
    # A `Message` is in our own words: a number in it is an example.
    masked = tuple(mask_msisdns_in(part) if type(part) is str else part for part in error.args)
    if masked != error.args:
        error.args = masked


def forgetful(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make a function whose errors show neither its arguments nor what it made of them."""
    if iscoroutinefunction(call):
        return cast("Callable[_P, _T]", _forgetful_coroutine(call))

    @wraps(call)
    def forgetting(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            redact(error)
            del args, kwargs  # of this frame, which is running
            raise

    return forgetting


def _forgetful_coroutine(call: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
    @wraps(call)
    async def forgetting(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await call(*args, **kwargs)
        except Exception as error:
            redact(error)
            del args, kwargs  # of this frame, which is running
            raise

    return forgetting


def forgetful_calls(cls: _C) -> _C:
    """Make all public methods of a class `forgetful`, and how it is made."""
    for name, found in list(vars(cls).items()):
        if not name.startswith("_") or name == "__init__":
            if isfunction(found):
                setattr(cls, name, forgetful(found))
            elif isinstance(found, classmethod):
                setattr(cls, name, classmethod(forgetful(found.__func__)))
    return cls


class HideSecretsInLog(logging.Filter):
    """Hides secrets in use in what a framework logs, as the path of a callback that a hook refused.

    To be added to a logger that writes requests' paths. A request that a record carries along, for
    a report to show, is left to the framework's own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Hide them in the record's text; every record passes."""
        if isinstance(record.msg, str):
            record.msg = without_secrets(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(
                without_secrets(part) if isinstance(part, str) else part for part in record.args
            )
        return True
