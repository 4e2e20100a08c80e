"""The tables of a store looked at once in a process, as a site does, and not once in each test."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest


def look_once(monkeypatch: pytest.MonkeyPatch, *kinds: Any) -> None:
    """Have what a class of stores first found of its tables hold for all that are made after it.

    Accounts look at them with their first payment, and each test has new accounts.
    """
    for kind in kinds:
        monkeypatch.setattr(kind, "tables", _looking_once(kind))


@cache
def _looking_once(kind: Any) -> Callable[[Any], Any]:
    look = kind.tables
    seen: dict[Any, Any] = {}

    def tables(store: Any) -> Any:
        which = (getattr(store, "alias", None), getattr(store, "_model", None))
        if which not in seen:
            seen[which] = look(store)
        return seen[which]

    return tables
