"""Accounts that a loader gives: built anew once their settings have changed, else kept.

What a loader is, is in `settings.loader`; by which name a program finds an account, in `registry`.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Generic, TypeVar, cast

from ..errors import CalledInEventLoop, ConfigurationError, MpesaError, RecordsUnavailable
from ..redaction import forgetful_calls, hide_secrets, redact
from ..settings.account import AccountSettings
from ..settings.loader import LONGEST_ALIAS, AccountLoader
from .calls import Payments
from .persistence import describe
from .records import C, R

_T = TypeVar("_T")
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a call in the thread where a program's coroutines have their database work done."""
Build = Callable[[str, AccountSettings], Payments[R, C]]
KEPT_UNUSED = 600.0
"""Seconds after which an account that nobody used is let go of, and its connections with it."""


@dataclass
class _Kept(Generic[R, C]):
    """An account as it was built.

    Attributes:
        options: the settings that it was built of.
        payments: what was built.
        read: in which order they were read: of two threads, the later one has the newer settings.
        used: when it was used last, by the monotonic clock.
    """

    options: Mapping[str, Any]
    payments: Payments[R, C]
    read: int
    used: float


@forgetful_calls
class LoadedAccounts(Generic[R, C]):
    """The accounts of a loader, each with the client that its settings of now need.

    What a call has in hand stays as it is until that call ends: a client closes its connections
    when nobody has it any more. Safe to be shared by threads, none of which waits for another's
    loading.

    Args:
        build: makes an account's payments.
        in_thread: as `InThread`.
    """

    def __init__(self, build: Build[R, C], in_thread: InThread) -> None:
        self._build = build
        self._in_thread = in_thread
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept[R, C]] = {}
        self._reads = itertools.count(1)

    def get(self, loader: AccountLoader, alias: str) -> Payments[R, C]:
        """Give an account's payments, its settings read anew.

        In the thread of an event loop nothing is read yet: that is done where its calls are
        awaited.

        Raises:
            ConfigurationError: there is no such account, or its settings are wrong.
            RecordsUnavailable: its settings could not be read.
        """
        if asyncio._get_running_loop() is None:
            return self._current(loader, alias)
        found = _Awaited(lambda: self._current(loader, alias), self._in_thread)
        return cast("Payments[R, C]", found)

    def forget(self) -> None:
        """Close what was built."""
        with self._lock:
            for kept in self._kept.values():
                kept.payments.close()
            self._kept.clear()

    def _current(self, loader: AccountLoader, alias: str) -> Payments[R, C]:
        read = next(self._reads)
        options = options_of(loader, alias)
        kept = self._kept.get(alias)
        if kept is None or not _is_of(kept, options, read):
            with self._lock:
                kept = self._kept.get(alias)
                if kept is None or not _is_of(kept, options, read):
                    self._kept.pop(alias, None)
                    kept = self._made(alias, options, read)
        kept.used = time.monotonic()
        return kept.payments

    def _made(self, alias: str, options: Mapping[str, Any] | None, read: int) -> _Kept[R, C]:
        if options is None:
            raise ConfigurationError(
                f"there is no M-Pesa account {alias!r}: the account loader has none, or no more",
                setting="MPESA",
            )
        try:
            payments = self._build(alias, AccountSettings.from_mapping(options))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the M-Pesa account {alias!r}: {error}", setting=error.setting
            ) from error
        self._drop_unused()
        kept = self._kept[alias] = _Kept(options, payments, read, time.monotonic())
        return kept

    def _drop_unused(self) -> None:
        before = time.monotonic() - KEPT_UNUSED
        for alias in [alias for alias, kept in self._kept.items() if kept.used < before]:
            del self._kept[alias]


def options_of(loader: AccountLoader, alias: str) -> Mapping[str, Any] | None:
    """Load an account's settings, what is secret of them hidden; None where there is no account.

    Raises:
        ConfigurationError: the loader gave something else than a mapping.
        RecordsUnavailable: it raised.
    """
    if not isinstance(alias, str) or not 1 <= len(alias) <= LONGEST_ALIAS:
        return None
    found = asked(lambda: loader.load(alias), f"the settings of the M-Pesa account {alias!r}")
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"load({alias!r}) of the account loader must give a mapping or None, "
            f"and gave {type(found).__name__}",
            setting="MPESA",
        )
    options = dict(found)
    hide_secrets(options)
    return options


def aliases_of(loader: AccountLoader) -> list[str]:
    """Name a loader's accounts.

    Raises:
        ConfigurationError: one of them is no name of an account.
        RecordsUnavailable: the loader raised.
    """
    found = asked(lambda: list(loader.aliases()), "the names of the M-Pesa accounts")
    for alias in found:
        if not isinstance(alias, str) or not 1 <= len(alias) <= LONGEST_ALIAS:
            raise ConfigurationError(
                f"aliases() of the account loader must give texts of 1 to {LONGEST_ALIAS} "
                f"characters, and gave {alias!r}",
                setting="MPESA",
            )
    return found


def asked(ask: Callable[[], _T], what: str) -> _T:
    """Ask a loader.

    Args:
        ask: the question.
        what: could not be loaded, if it raises.

    Raises:
        RecordsUnavailable: it raised; what it had in hand is not shown.
    """
    try:
        return ask()
    except MpesaError:
        raise
    except Exception as error:
        redact(error)
        raise RecordsUnavailable(f"{what} could not be loaded: {describe(error)}") from error


def _is_of(kept: _Kept[Any, Any], options: Mapping[str, Any] | None, read: int) -> bool:
    """Whether an account was built of these settings, or of newer ones."""
    return kept.read > read or kept.options == options


class _Awaited:
    """An account in the thread of an event loop, whose settings are read where a call is awaited.

    Args:
        current: gives the account, its settings read; it waits for a database.
        in_thread: as `InThread`.
    """

    def __init__(self, current: Callable[[], Payments[Any, Any]], in_thread: InThread) -> None:
        self._current = current
        self._in_thread = in_thread

    def __getattr__(self, name: str) -> Any:
        call = getattr(Payments, name, None)
        if not iscoroutinefunction(call):
            return self._blocking(name)

        @wraps(call)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            payments = await self._in_thread(self._current)
            return await getattr(payments, name)(*args, **kwargs)

        return awaited

    def _blocking(self, name: str) -> Any:
        try:
            return getattr(self._current(), name)
        except RecordsUnavailable as error:
            raise CalledInEventLoop(
                f"{error}. In the thread of an event loop, await the account's calls, as ac2b: "
                f"{name} is had where a thread may wait"
            ) from error
