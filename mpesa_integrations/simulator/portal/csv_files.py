"""CSV as spreadsheets open it, with nothing in it that they would calculate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def as_csv(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table as CSV, its columns' names first."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([[_guarded(cell) for cell in row] for row in rows])
    return text.getvalue()


def _guarded(text: str) -> str:
    """A cell that a spreadsheet shows as it is, and does not calculate."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
