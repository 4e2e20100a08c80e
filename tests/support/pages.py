"""What a browser would send of an admin's page, where nobody typed anything."""

from __future__ import annotations

import re

_NAMES = ("csrf_token", "key", "amount", "shown")


def filled(seen: str) -> dict[str, str]:
    """The fields that a page of one payment fills in itself.

    Args:
        seen: the page.
    """
    fields = re.findall(r"<input[^>]*>", seen)
    names = [re.search(r'name="([^"]*)"', each) for each in fields]
    values = [re.search(r'value="([^"]*)"', each) for each in fields]
    return {
        name[1]: value[1]
        for name, value in zip(names, values, strict=True)
        if name and value and name[1] in _NAMES
    }
