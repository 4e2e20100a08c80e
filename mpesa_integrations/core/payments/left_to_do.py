"""Which accounts a worker has something to do for, as they are now; what that is, is a store's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigurationError, RecordsUnavailable
from .persistence import persist
from .registry import Accounts


@dataclass(frozen=True, slots=True)
class LeftToDo:
    """The accounts that have something left to be done.

    Attributes:
        accounts: their names; where the settings have the accounts, all of these.
        missing: of accounts that are no more, how many payments are open.
    """

    accounts: list[str]
    missing: Mapping[str, int] = field(default_factory=dict)

    def problem(self, alias: str) -> str:
        """What to tell of an account that is no more."""
        count = self.missing[alias]
        payments = "1 payment is open" if count == 1 else f"{count} payments are open"
        return f"{payments} and cannot be asked for: there is no M-Pesa account {alias!r} any more"


def left_to_do(accounts: Accounts[Any, Any], *, callbacks: bool = True) -> LeftToDo:
    """Find out which accounts have something left to be done, of however many there are.

    Args:
        accounts: a business's.
        callbacks: as for `Store.left_to_do`.

    Raises:
        RecordsUnavailable: the records are away.
    """
    store = accounts.records()
    if accounts.loader is None or store is None or not store.is_shared:
        return LeftToDo(list(accounts))
    found = persist(store, lambda: store.left_to_do(callbacks=callbacks))
    there = dict.fromkeys(alias for alias in found if not is_no_more(accounts, alias))
    gone = {alias: count for alias, count in found.items() if count and alias not in there}
    return LeftToDo(list(there), gone)


def is_no_more(accounts: Accounts[Any, Any], alias: str) -> bool:
    """Whether there surely is no such account; it may be there where its settings cannot be had.

    Args:
        accounts: a business's.
        alias: the account's name.
    """
    try:
        return alias not in accounts
    except (ConfigurationError, RecordsUnavailable):
        return False
