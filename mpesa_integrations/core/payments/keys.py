"""Keys by which a shop names a payment or an order: what may be one."""

from __future__ import annotations

from uuid import UUID

from ..errors import nothing_sent
from ..messages import Message

Key = str | int | UUID
"""What names a payment or an order: text, or an order's primary key."""
_LENGTH = 100


def check_key(key: Key | None, argument: str = "idempotency_key") -> str | None:
    """An idempotency key, or an order's, as text; None without one.

    Args:
        key: what was given.
        argument: as what.

    Raises:
        ValidationError: it is empty, longer than 100 characters, or cannot be a key.
    """
    if isinstance(key, (int, UUID)) and not isinstance(key, bool):
        key = "" if isinstance(key, int) and abs(key) >= 10**_LENGTH else str(key)
    if key is None or (isinstance(key, str) and 0 < len(key) <= _LENGTH and key.isprintable()):
        return key
    problem = Message("must have 1 to %(length)s characters on one line", length=_LENGTH)
    if not isinstance(key, str):
        problem = Message("must be text or a whole number, not %(type)s", type=type(key).__name__)
    raise nothing_sent({argument: [problem]})
