"""A public key as people keep it: pasted, or in a file. What it encrypts is `authentication`'s."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import wrong_setting
from ..protocol.authentication import bare_public_key, encrypt_api_key, normalise_api_key
from ..redaction import forgetful
from ..text import clean

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_PATH_LIMIT = 1024


@forgetful
def bearer_token(api_key: str, public_key: str | Path) -> str:
    """Encrypt an API key into the token that the `Authorization` header carries.

    RSA with PKCS#1 v1.5 padding, then Base64. Two tokens of one key differ, and both stay valid as
    long as the API key.

    Args:
        api_key: the account's API key.
        public_key: the account's public key: bare Base64, PEM, or the path of a file with either.

    Returns:
        The token, without the word `Bearer`.

    Raises:
        ConfigurationError: the API key or the public key cannot be used; it says why.

    Source: docs/protocol.md, "Credentials and the Authorization header".
    """
    return encrypt_api_key(normalise_api_key(api_key), normalise_public_key(public_key))


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
        raise wrong_setting(
            "public_key", "is missing; copy it from the account page, or give a file path"
        )
    return bare_public_key(text)


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
        raise wrong_setting(
            "public_key", "names a binary file; it must be Base64 or PEM"
        ) from error
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "no possible path"
        raise wrong_setting(
            "public_key", f"is neither Base64 nor PEM, and as a file path it cannot be read ({why})"
        ) from error
