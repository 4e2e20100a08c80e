"""The bearer token: the API key encrypted with the account's public key. It reads no file."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ..errors import wrong_setting
from ..redaction import Secret, remember_secrets
from ..text import clean, plain_dashes

MINIMUM_KEY_BITS = 2048
_PKCS1_OVERHEAD = 11  # bytes of padding that PKCS#1 v1.5 encryption needs at the least
_ARMOUR = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]+)-----")


def normalise_api_key(api_key: object) -> str:
    """Clean an API key and refuse what cannot be one.

    Raises:
        ConfigurationError: it is empty, not text, or has spaces inside.
    """
    text = clean(api_key) if isinstance(api_key, str) else ""
    if not text:
        raise wrong_setting(
            "api_key", "is missing; copy it from the account page of the developer portal"
        )
    if not text.isprintable() or " " in text:
        raise wrong_setting(
            "api_key", "has spaces or line breaks inside; copy it again, as one word"
        )
    return text


def bare_public_key(text: str) -> str:
    """Bring a public key to bare Base64 of its DER on one line, as the portal shows it.

    Args:
        text: bare Base64 or PEM; line breaks, spaces and marks that cannot be seen are forgiven.

    Raises:
        ConfigurationError: it is no RSA public key of at least 2048 bits; it says what it is.
    """
    text = plain_dashes(clean(text))
    _refuse_other_armour(text)
    bare = "".join(_ARMOUR.sub("", text).split())
    load_public_key(bare)
    return bare


@lru_cache(maxsize=32)
def load_public_key(bare: str) -> RSAPublicKey:
    """Parse a normalised public key; each key is parsed once per process.

    Raises:
        ConfigurationError: it is no RSA public key of at least 2048 bits.
    """
    try:
        der = base64.b64decode(bare, validate=True)
        key = load_der_public_key(der)
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise wrong_setting(
            "public_key",
            "is not a public key in Base64 (nor the path of a file that exists); "
            "copy it again from the account page, whole",
        ) from error
    if not isinstance(key, RSAPublicKey):
        raise wrong_setting(
            "public_key", f"is a {type(key).__name__}; M-Pesa needs an RSA public key"
        )
    if key.key_size < MINIMUM_KEY_BITS:
        raise wrong_setting(
            "public_key",
            f"is an RSA key of {key.key_size} bits; it must have at least {MINIMUM_KEY_BITS} "
            "(the gateway's own has 4096)",
        )
    return key


def encrypt_api_key(api_key: str, bare_public_key: str) -> str:
    """Encrypt a normalised API key with a normalised public key.

    RSA with PKCS#1 v1.5 padding, then Base64. Two tokens of one key differ, and both stay valid as
    long as the API key. Source: docs/protocol.md, "Credentials and the Authorization header".

    Raises:
        ConfigurationError: the public key is too short to hold the API key.
    """
    message = api_key.encode()
    check_api_key_fits(api_key, bare_public_key)
    # PKCS#1 v1.5 is what the gateway decrypts; nothing is decrypted here, so no padding oracle.
    ciphertext = load_public_key(bare_public_key).encrypt(message, PKCS1v15())
    token = Secret(base64.b64encode(ciphertext).decode("ascii"))
    remember_secrets(token)
    return token


def check_api_key_fits(api_key: str, bare_public_key: str) -> None:
    """Check that the public key can encrypt the API key.

    Raises:
        ConfigurationError: the API key is longer than the key's padding leaves room for.
    """
    room = load_public_key(bare_public_key).key_size // 8 - _PKCS1_OVERHEAD
    length = len(api_key.encode())
    if length > room:
        raise wrong_setting(
            "api_key",
            f"has {length} bytes, and this public key can encrypt {room} at the most; "
            "check that the two were not mixed up (an API key has 32 characters)",
        )


def _refuse_other_armour(text: str) -> None:
    armour = _ARMOUR.search(text)
    if not armour or armour[2] == "PUBLIC KEY":
        return
    label = armour[2].lower()
    raise wrong_setting(
        "public_key", f"is a {label}; it must be a PUBLIC KEY (SubjectPublicKeyInfo)"
    )
