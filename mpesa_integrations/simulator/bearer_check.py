"""What is right or wrong with a bearer that somebody made: read with the gateway's private key.

A real gateway tells no more than `INS-2`. In words, for the portal, it is in `portal/bearers`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from enum import Enum, auto

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from .gateway_key import GatewayKey


class Finding(Enum):
    """What is found first."""

    RIGHT = auto()
    EMPTY = auto()
    SPACES = auto()
    URL_SAFE = auto()
    NO_BASE64 = auto()
    PLAIN_KEY = auto()
    LENGTH = auto()
    OAEP = auto()
    NO_PADDING = auto()
    OTHER_PUBLIC_KEY = auto()
    SPACES_IN_KEY = auto()
    KEY_IN_BASE64 = auto()
    OTHER_API_KEY = auto()


def look_into(bearer: str, key: GatewayKey, api_key: str) -> Finding:
    """Find out what is wrong with a bearer, or that nothing is.

    Args:
        bearer: as it was made; the word `Bearer` in front is forgiven.
        key: the gateway's.
        api_key: the one that it should be made of.
    """
    token = bearer.strip()
    if token.lower().startswith("bearer "):
        token = token[len("bearer ") :].strip()
    if not token:
        return Finding.EMPTY
    if hmac.compare_digest(token.encode(), api_key.encode()):
        return Finding.PLAIN_KEY
    if len(token.split()) > 1:
        return Finding.SPACES
    try:
        ciphertext = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        is_url_safe = set("-_") & set(token) and not set("+/") & set(token)
        return Finding.URL_SAFE if is_url_safe else Finding.NO_BASE64
    if hmac.compare_digest(ciphertext, api_key.encode()):
        return Finding.PLAIN_KEY
    if len(ciphertext) != key.token_bytes:
        return Finding.LENGTH
    return _look_into_ciphertext(ciphertext, key, api_key.encode())


def _look_into_ciphertext(ciphertext: bytes, key: GatewayKey, api_key: bytes) -> Finding:
    block = key.decrypt_raw(ciphertext)
    if block is None:
        return Finding.OTHER_PUBLIC_KEY
    # Before PKCS#1 v1.5, which one in some 300 of these looks like as well.
    if _is_oaep(ciphertext, key):
        return Finding.OAEP
    # PKCS#1 v1.5: 00 02, at least eight bytes that are not 00, 00, and the message.
    padding, _, message = block[2:].partition(b"\0")
    if block[:2] == b"\0\2" and len(padding) >= 8 and message:
        return _look_into_message(message, api_key)
    if block.lstrip(b"\0").strip() == api_key:
        return Finding.NO_PADDING
    return Finding.OTHER_PUBLIC_KEY


def _is_oaep(ciphertext: bytes, key: GatewayKey) -> bool:
    hashes: tuple[HashAlgorithm, ...] = (SHA1(), SHA256())  # noqa: S303 - as others use
    paddings = [OAEP(MGF1(inner), outer, None) for outer in hashes for inner in hashes]
    return any(key.decrypt(ciphertext, padding) is not None for padding in paddings)


def _look_into_message(message: bytes, api_key: bytes) -> Finding:
    if hmac.compare_digest(message, api_key):
        return Finding.RIGHT
    if message.strip() == api_key:
        return Finding.SPACES_IN_KEY
    if message.strip() in (base64.b64encode(api_key), base64.urlsafe_b64encode(api_key)):
        return Finding.KEY_IN_BASE64
    return Finding.OTHER_API_KEY
