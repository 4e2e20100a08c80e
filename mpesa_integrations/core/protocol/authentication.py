"""The bearer token: the API key encrypted with the account's public key. No settings, no HTTP."""

from __future__ import annotations

import base64
import binascii
import os
import re
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ..errors import ConfigurationError
from ..redaction import Secret, forgetful, remember_secrets
from ..text import clean, plain_dashes

MINIMUM_KEY_BITS = 2048
_PKCS1_OVERHEAD = 11  # bytes of padding that PKCS#1 v1.5 encryption needs at the least
_ARMOUR = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]+)-----")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_PATH_LIMIT = 1024


@forgetful
def bearer_token(api_key: str, public_key: str | Path) -> str:
    """Encrypt an API key into the token that the `Authorization` header carries.

    docs/protocol.md, "Credentials and the Authorization header": RSA with PKCS#1 v1.5 padding, then
    Base64. Two tokens of one key differ, and both stay valid as long as the API key.

    Args:
        api_key: the account's API key.
        public_key: the account's public key: bare Base64, PEM, or the path of a file with either.

    Returns:
        The token, without the word `Bearer`.

    Raises:
        ConfigurationError: the API key or the public key cannot be used; it says why.
    """
    return encrypt_api_key(normalise_api_key(api_key), normalise_public_key(public_key))


def normalise_api_key(api_key: object) -> str:
    """Clean an API key and refuse what cannot be one.

    Raises:
        ConfigurationError: it is empty, not text, or has spaces inside.
    """
    text = clean(api_key) if isinstance(api_key, str) else ""
    if not text:
        raise _wrong("api_key", "is missing; copy it from the account page of the developer portal")
    if not text.isprintable() or " " in text:
        raise _wrong("api_key", "has spaces or line breaks inside; copy it again, as one word")
    return text


def normalise_public_key(public_key: object) -> str:
    """Bring a public key to bare Base64 of its DER on one line, as the portal shows it.

    Args:
        public_key: bare Base64 or PEM, line breaks and spaces forgiven, or the path of such a file.

    Raises:
        ConfigurationError: it is no RSA public key of at least 2048 bits; it says what it is.
    """
    if isinstance(public_key, Path):
        text = _read_key_file(public_key)
    elif isinstance(public_key, str) and clean(public_key):
        path = public_key.strip() if _is_file(public_key.strip()) else clean(public_key)
        text = _read_key_file(Path(path)) if _is_path(path) else public_key
    else:
        raise _wrong("public_key", "is missing; copy it from the account page, or give a file path")
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
        raise _wrong(
            "public_key",
            "is not a public key in Base64 (nor the path of a file that exists); "
            "copy it again from the account page, whole",
        ) from error
    if not isinstance(key, RSAPublicKey):
        raise _wrong("public_key", f"is a {type(key).__name__}; M-Pesa needs an RSA public key")
    if key.key_size < MINIMUM_KEY_BITS:
        raise _wrong(
            "public_key",
            f"is an RSA key of {key.key_size} bits; it must have at least {MINIMUM_KEY_BITS} "
            "(the gateway's own has 4096)",
        )
    return key


def encrypt_api_key(api_key: str, bare_public_key: str) -> str:
    """Encrypt a normalised API key with a normalised public key.

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
        raise _wrong(
            "api_key",
            f"has {length} bytes, and this public key can encrypt {room} at the most; "
            "check that the two were not mixed up (an API key has 32 characters)",
        )


def _is_path(text: str) -> bool:
    stripped = text.strip()
    if len(stripped) > _PATH_LIMIT or "\n" in stripped or "-----" in stripped:
        return False
    # A short file name is valid Base64 too, so what exists as a file is a file.
    return not _BASE64.fullmatch("".join(stripped.split())) or _is_file(stripped)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a file name, or a null byte
        return False


def _read_key_file(path: Path) -> str:
    try:
        # os.path, since a "~" that cannot be expanded is then simply a file that is not there.
        with open(os.path.expanduser(path), "rb") as file:
            return file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong("public_key", "names a binary file; it must be Base64 or PEM") from error
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "no possible path"
        raise _wrong(
            "public_key", f"is neither Base64 nor PEM, and as a file path it cannot be read ({why})"
        ) from error


def _refuse_other_armour(text: str) -> None:
    armour = _ARMOUR.search(text)
    if not armour or armour[2] == "PUBLIC KEY":
        return
    label = armour[2].lower()
    raise _wrong("public_key", f"is a {label}; it must be a PUBLIC KEY (SubjectPublicKeyInfo)")


def _wrong(setting: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{setting} {what}", setting=setting)
