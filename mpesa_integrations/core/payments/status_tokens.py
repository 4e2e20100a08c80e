"""Tokens by which a browser may ask about one payment: encrypted, signed, good for a day.

They are encrypted, since a signature alone would let anybody read the payment's IDs in them.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import ConfigurationError

GOOD_FOR = 24 * 3600
"""Seconds. A page that is loaded again has a new one."""
_PURPOSE = b"mpesa-integrations: a payment's status"
_LONGEST = 1000


class InvalidStatusToken(Exception):  # noqa: N818 - of this package alone
    """It was not made by this site."""


class ExpiredStatusToken(InvalidStatusToken):
    """It was, longer ago than tokens are good for."""


class StatusTokens:
    """Makes and reads a site's tokens.

    Args:
        keys: gives the site's secret keys: the one that tokens are made with, then those that were
            in use before it.
    """

    def __init__(self, keys: Callable[[], Sequence[str | bytes]]) -> None:
        self._keys = keys

    def make(self, account: str, third_party_reference: str) -> str:
        """Make a token for a payment: letters, digits, `-` and `_`.

        Raises:
            ConfigurationError: the site has no secret key.
        """
        fernets = self._fernets()
        if not fernets:
            raise ConfigurationError(
                "a link to a payment's status needs a SECRET_KEY", setting="SECRET_KEY"
            )
        content = json.dumps([account, third_party_reference]).encode()
        return fernets[0].encrypt(content).decode().rstrip("=")

    def read(self, token: str) -> tuple[str, str]:
        """Read a token, as a stranger may have written it.

        Returns:
            The payment's account and its third-party reference.

        Raises:
            ExpiredStatusToken: it is too old.
            InvalidStatusToken: it was not made with one of the keys.
        """
        if len(token) > _LONGEST or not token.isascii():
            raise InvalidStatusToken
        padded = token + "=" * (-len(token) % 4)
        for fernet in self._fernets():
            try:
                account, reference = json.loads(fernet.decrypt(padded))
            except InvalidToken:
                continue
            if time.time() - fernet.extract_timestamp(padded) > GOOD_FOR:
                raise ExpiredStatusToken
            return account, reference
        raise InvalidStatusToken

    def _fernets(self) -> list[Fernet]:
        return [Fernet(_derived(key)) for key in self._keys() if key]


def _derived(key: Any) -> bytes:
    """A key for these tokens alone, from which the site's own cannot be found."""
    material = key if isinstance(key, bytes) else str(key).encode()
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE)
    return base64.urlsafe_b64encode(derivation.derive(material))
