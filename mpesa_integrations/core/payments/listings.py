"""What an admin's list of payments searches for, and how it exports rows.

Numbers that are masked must not be guessed a digit at a time, so a search is for whole values. The
list itself is the framework's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from ..markets.mozambique import normalise_msisdn

# What a spreadsheet takes for the beginning of a formula, full-width signs included.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def searched_values(column: str, term: str) -> list[str]:
    """The whole values that a search for a term looks for in a column; none if it cannot be there.

    Args:
        column: its name; in `msisdn`, a phone number is found however it is typed.
        term: what somebody typed, stripped.
    """
    if column != "msisdn":
        return sorted({term, term.upper()})
    try:
        return [normalise_msisdn(term, prefixes=("8",))]
    except ValueError:
        return []


def exported_text(text: str) -> str:
    """A text for a CSV file, which keeps a spreadsheet from running what somebody else chose."""
    formula = text.lstrip().startswith(_FORMULA) or text.startswith(("\t", "\r", "\n"))
    return f"'{text}" if formula else text


def csv_lines(rows: Iterable[Iterable[Any]], point: str) -> str:
    """Rows as CSV, separated as spreadsheets have it where amounts are written so.

    Args:
        rows: of cells, whose texts are `exported_text`.
        point: what stands before an amount's cents.
    """
    text = io.StringIO()
    csv.writer(text, delimiter=";" if point == "," else ",").writerows(rows)
    return text.getvalue()
