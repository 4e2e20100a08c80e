"""An account loader whose accounts a test changes, as rows of a database are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Rows:
    """Settings by alias; `asked` has what `load` was asked for, `broken` is raised by all."""

    def __init__(self, **rows: Any) -> None:
        self.rows = rows
        self.asked: list[str] = []
        self.broken: Exception | None = None

    def aliases(self) -> list[str]:
        self._break()
        return list(self.rows)

    def load(self, alias: str) -> Mapping[str, Any] | None:
        self._break()
        self.asked.append(alias)
        found: Mapping[str, Any] | None = self.rows.get(alias)
        return dict(found) if isinstance(found, Mapping) else found  # a row is read anew each time

    def aliases_by_token(self, token: str) -> list[str]:
        self._break()
        return [alias for alias, row in self.rows.items() if row.get("CALLBACK_TOKEN") == token]

    def _break(self) -> None:
        if self.broken is not None:
            raise self.broken


EMPTY = Rows()


def make_empty() -> Rows:
    return Rows()


def cannot_be_made() -> Rows:
    raise OSError("no such table")


class NoTokens:
    def aliases(self) -> list[str]:
        return []

    def load(self, alias: str) -> None:
        return None
