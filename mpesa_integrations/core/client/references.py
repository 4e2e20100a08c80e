"""New third-party references: unique per request, and sortable by the time they were made."""

from __future__ import annotations

import secrets
import time

from ..protocol.references import RANDOM_NUMBERS, reference_made_at


def new_third_party_reference() -> str:
    """Make a reference for a request: 20 digits and capital letters, by the clock and by chance."""
    # Chance comes from the operating system, so that no two processes have it alike after a fork.
    return reference_made_at(time.time_ns() // 1000, secrets.randbelow(RANDOM_NUMBERS))
