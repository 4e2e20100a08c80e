"""Where a business's accounts are: in the settings, or somewhere that an account loader reads.

How an account's own settings are read is in `account`; when a loader is asked, in `registry`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from ..errors import ConfigurationError
from ..redaction import hide_secrets
from ..text import clean

LONGEST_ALIAS = 40
"""Characters: so many has the column of the records."""


class AccountLoader(Protocol):
    """Gives accounts that are not in the settings, such as those of a database, as they now are.

    It is asked in any thread, several at a time, and nothing of what it gives is kept longer than
    the call that needed it: make each answer cheap. What it raises is what the call raises, as
    `RecordsUnavailable`.
    """

    def aliases(self) -> Iterable[str]:
        """Name the accounts that there are, as `["default", "cafe"]`; 1 to 40 characters each.

        Asked by what goes over all of them: workers, `reconcile`, the admin. A payment does not.
        """

    def load(self, alias: str) -> Mapping[str, Any] | None:
        """Give an account's settings by the names in docs/settings.md; None where there is none.

        Asked at each use of an account, `mpesa["cafe"].c2b(…)`. While it gives the same, the
        account keeps its client and its connections.
        """

    def aliases_by_token(self, token: str) -> Iterable[str]:
        """Name the accounts that a callback with this token may be for; none is fine.

        Asked at each callback, before anything is believed. The token itself is compared with the
        `CALLBACK_TOKEN` that `load` gives, so that to name too many is only slow.

        Args:
            token: as the caller wrote it: 16 to 128 letters, digits, `-` or `_`.
        """


Options = Mapping[str, Any]
"""One account's settings."""
GivenAccounts = Mapping[str, Options] | AccountLoader
"""Each account's settings by its name, or what loads them."""
AccountsSetting = GivenAccounts | Callable[[], AccountLoader] | str
"""Each account's settings by its name; or an account loader, what makes one when it is called, such
as its class, or the dotted path of either."""
_METHODS = ("aliases", "load", "aliases_by_token")


class AccountSource:
    """The accounts of a setting, which may be changed while a program's tests run.

    What is secret in the setting is hidden as it is read; what a loader gives is not in it.

    Args:
        read: gives the setting, as it now is.
        setting: its name.
    """

    def __init__(self, read: Callable[[], object], setting: str) -> None:
        self._read = read
        self._setting = setting
        self._made: tuple[object, AccountLoader] | None = None

    def __call__(self) -> GivenAccounts:
        """Give the settings by alias, or the loader, which is made once.

        Raises:
            ConfigurationError: it is neither, or cannot be imported or made.
        """
        value = self._read()
        if isinstance(value, Mapping):
            for options in value.values():
                hide_secrets(options)
            return value
        made = self._made
        if made is None or made[0] is not value:
            made = self._made = (value, self._loader(value))
        return made[1]

    def _loader(self, value: object) -> AccountLoader:
        found = self._imported(value) if isinstance(value, str) else value
        if isinstance(found, type) or (callable(found) and not _is_loader(found)):
            found = self._called(found)
        if _is_loader(found):
            return cast("AccountLoader", found)
        raise ConfigurationError(
            f"{self._setting} must be a mapping of accounts, or an account loader: an object with "
            f"the methods {', '.join(_METHODS)}, its class, or the dotted path of either; "
            f"{type(found).__name__} {_lacks(found)}",
            setting=self._setting,
        )

    def _imported(self, path: str) -> object:
        try:
            return pkgutil.resolve_name(clean(path))
        except Exception as error:  # whatever that module does when it is imported
            raise ConfigurationError(
                f"{self._setting}: the account loader {path!r} cannot be imported "
                f"({type(error).__name__}: {error}); it must be as shop.accounts.Loader",
                setting=self._setting,
            ) from error

    def _called(self, make: Callable[[], object]) -> object:
        try:
            return make()
        except Exception as error:
            raise ConfigurationError(
                f"{self._setting}: the account loader cannot be made by calling "
                f"{getattr(make, '__qualname__', type(make).__name__)}() "
                f"({type(error).__name__}: {error})",
                setting=self._setting,
            ) from error


def _is_loader(found: object) -> bool:
    return all(callable(getattr(found, name, None)) for name in _METHODS)


def _lacks(found: object) -> str:
    missing = [name for name in _METHODS if not callable(getattr(found, name, None))]
    return f"has no {' and no '.join(missing)}"
