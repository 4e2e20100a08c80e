"""`bearer_token()` against the same by hand with `cryptography`, the key parsed each time.

Ours keeps the parsed key; for this it is forgotten before each token, as in a process that has
just begun. ratio = ours / by hand.
"""

from __future__ import annotations

from collections.abc import Iterator

from mpesa_integrations import bearer_token
from mpesa_integrations.core.protocol.authentication import load_public_key

from .by_hand import token
from .gateway import API_KEY, KEY_FILE
from .measure import Result, compare

TARGET = 1.1


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare a token each, both from the key's file on."""

    def ours() -> None:
        load_public_key.cache_clear()
        bearer_token(API_KEY, KEY_FILE)

    def by_hand() -> None:
        token(KEY_FILE)

    rounds = 2 if smoke else 3000
    yield compare("bearer_cold_vs_cryptography", ours, by_hand, rounds=rounds, target=TARGET)
