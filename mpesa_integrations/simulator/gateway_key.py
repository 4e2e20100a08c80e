"""The gateway's RSA key: its public half is every account's, its private half reads bearers."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding, PKCS1v15

from .files import write_private

_PRIVATE_KEY_FILE = "private_key.pem"
_KEY_BITS = 4096
_TOKENS_KEPT = 512


class GatewayKey:
    """The key of one gateway, kept over restarts.

    Attributes:
        public_key: bare Base64 of its DER, on one line, as the portal shows it.
        token_bytes: how long an encrypted API key is.
    """

    def __init__(self, state_dir: Path) -> None:
        self._private_key = _load_or_make_key(state_dir / _PRIVATE_KEY_FILE)
        der = self._private_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public_key: str = base64.b64encode(der).decode("ascii")
        self.token_bytes: int = self._private_key.key_size // 8
        # Decrypting takes milliseconds, and a caller may send the same token for years.
        self._plain = lru_cache(_TOKENS_KEPT)(self._decrypt_token)

    def api_key_in(self, authorization: str | None) -> bytes:
        """What the bearer token of an `Authorization` header was made of; empty if there is none.

        A token of another key gives noise as often as nothing: compare what this gives.
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        return self._plain(token) if scheme.lower() == "bearer" and token else b""

    def decrypt(self, ciphertext: bytes, padding: AsymmetricPadding) -> bytes | None:
        """Decrypt with another padding than a token's, to see how it was made.

        Returns:
            The plaintext; None where it cannot be decrypted so.
        """
        try:
            return self._private_key.decrypt(ciphertext, padding)
        except ValueError:
            return None

    def decrypt_raw(self, ciphertext: bytes) -> bytes | None:
        """What was encrypted, with its padding; None for what this key cannot have encrypted."""
        numbers = self._private_key.private_numbers()
        value, modulus = int.from_bytes(ciphertext, "big"), numbers.public_numbers.n
        if value >= modulus:
            return None
        return pow(value, numbers.d, modulus).to_bytes(self.token_bytes, "big")

    def _decrypt_token(self, token: str) -> bytes:
        try:
            ciphertext = base64.b64decode(token, validate=True)
        except (binascii.Error, ValueError):
            return b""
        return self.decrypt(ciphertext, PKCS1v15()) or b""


def _load_or_make_key(path: Path) -> rsa.RSAPrivateKey:
    if path.is_file():
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError(f"{path} is not an RSA private key; remove it to have one made")
        return key
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(path, pem)
    return key
