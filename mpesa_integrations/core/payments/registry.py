"""A business's accounts by name, each built when it is first used; its calls are in `calls`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic

from ..errors import ConfigurationError
from ..failures import log_failure
from ..settings.account import AccountSettings
from ..settings.values import read_callback_token
from .callback_intake import is_token
from .calls import Payments
from .records import C, R

DEFAULT = "default"


if TYPE_CHECKING:

    class _DefaultAccount(Payments[R, C]):
        """For a type checker, the accounts have the default one's calls."""

else:

    class _DefaultAccount(Generic[R, C]):
        """The calls are looked up on the default account."""


class Accounts(_DefaultAccount[R, C]):
    """Recorded payments by account; the default account's calls as its own.

    Safe to be shared by threads; an account is built when it is first used.

    Args:
        options: gives each account's settings by its name, as they now are.
        build: makes an account's payments.
    """

    def __init__(
        self,
        options: Callable[[], Mapping[str, Mapping[str, Any]]],
        build: Callable[[str, AccountSettings], Payments[R, C]],
    ) -> None:
        self._options = options
        self._build = build
        self._lock = threading.RLock()
        self._built: dict[str, Payments[R, C]] = {}

    def __getitem__(self, alias: str) -> Payments[R, C]:
        """One account's payments.

        Raises:
            ConfigurationError: there is no such account, or its settings are wrong.
        """
        found = self._built.get(alias)
        if found is not None:
            return found
        with self._lock:
            if alias not in self._built:
                self._built[alias] = self._build(alias, self._settings_of(alias))
            return self._built[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self[DEFAULT], name)

    def accepting(self, token: str) -> list[str]:
        """The names of the accounts whose callback token this is.

        All are compared, so that the time taken does not show which one came close. None is
        built for it: one whose settings are wrong keeps no other's callbacks out.

        Args:
            token: the secret part of a callback URL, as a stranger may have written it.
        """
        found = []
        for alias, options in self._options().items():
            built = self._built.get(alias)
            try:
                if built is not None:
                    accepts = built.accepts(token)
                else:
                    accepts = is_token(token, read_callback_token(options.get("CALLBACK_TOKEN")))
            except Exception as error:  # noqa: BLE001 - whatever is in the settings
                log_failure("callback.account_broken", error, account=alias)
            else:
                found += [alias] if accepts else []
        return found

    def forget(self) -> None:
        """Close what was built; the next use reads the settings anew."""
        with self._lock:
            for payments in self._built.values():
                payments.client.close()
            self._built.clear()

    def _settings_of(self, alias: str) -> AccountSettings:
        options = self._options()
        if alias not in options:
            known = ", ".join(options) or "none"
            raise ConfigurationError(
                f"there is no M-Pesa account {alias!r}; the settings have {known}", setting="MPESA"
            )
        return AccountSettings.from_mapping(options[alias])
