"""The simulated account: its keys, kept over restarts, and the bearer tokens that prove them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import json
import os
import secrets
import string
import tempfile
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

ACCOUNT_FILE = "account.json"
SERVICE_PROVIDER_CODE = "171717"
_CREDENTIALS_FILE = "credentials.json"
_PRIVATE_KEY_FILE = "private_key.pem"
_KEY_BITS = 4096
_BEARERS_KEPT = 512


@dataclass(frozen=True, kw_only=True)
class Account:
    """What a caller of the simulated gateway must know; docs/protocol.md, "Call context".

    Attributes:
        public_key: bare Base64 on one line, as the developer portal shows it.
        ca_file: path of the certificate authority to verify the gateway with.
        base_url: where the operations are; without a port where each has its documented one.
        control_url: where the control API is.
    """

    api_key: str = field(repr=False)
    public_key: str = field(repr=False)
    service_provider_code: str
    initiator_identifier: str
    security_credential: str = field(repr=False)
    ca_file: str
    base_url: str
    control_url: str

    def write(self, state_dir: Path) -> Path:
        """Write `account.json` for other programs, readable by its owner only."""
        path = state_dir / ACCOUNT_FILE
        write_private(path, json.dumps(asdict(self), indent=2).encode())
        return path


class Credentials:
    """The gateway's half of the account: the private key, and what a caller must present."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._lock = threading.Lock()
        self._private_key = _load_or_make_key(state_dir / _PRIVATE_KEY_FILE)
        self._known: OrderedDict[str, bool] = OrderedDict()
        path = state_dir / _CREDENTIALS_FILE
        if path.is_file():
            kept = json.loads(path.read_text())
        else:
            kept = {
                "api_key": _new_api_key(),
                "initiator_identifier": f"MPesa{secrets.randbelow(10**4):04}",
                "security_credential": secrets.token_urlsafe(16),
            }
        self.api_key: str = kept["api_key"]
        self.initiator_identifier: str = kept["initiator_identifier"]
        self.security_credential: str = kept["security_credential"]
        self._save()

    @property
    def public_key(self) -> str:
        """The public key as bare Base64 of its DER, on one line."""
        der = self._private_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode("ascii")

    def renew_api_key(self) -> str:
        """Make a new API key; from now on the old one, and every token of it, is refused."""
        with self._lock:
            self.api_key = _new_api_key()
            self._known.clear()
            self._save()
            return self.api_key

    def accepts(self, authorization: str | None) -> bool:
        """Whether an `Authorization` header holds a bearer token of the current API key."""
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return False
        with self._lock:
            api_key = self.api_key
            if token in self._known:
                self._known.move_to_end(token)
                return True
        # Outside the lock: decrypting takes milliseconds, and other threads have their own.
        if not hmac.compare_digest(self._decrypt(token), api_key.encode()):
            return False
        with self._lock:
            if api_key == self.api_key:
                self._known[token] = True
                while len(self._known) > _BEARERS_KEPT:
                    self._known.popitem(last=False)
        return True

    def _decrypt(self, token: str) -> bytes:
        try:
            ciphertext = base64.b64decode(token, validate=True)
            # A wrong ciphertext may decrypt to noise rather than fail; the comparison refuses it.
            return self._private_key.decrypt(ciphertext, PKCS1v15())
        except (binascii.Error, ValueError):
            return b""

    def _save(self) -> None:
        kept = {
            "api_key": self.api_key,
            "initiator_identifier": self.initiator_identifier,
            "security_credential": self.security_credential,
        }
        write_private(self._state_dir / _CREDENTIALS_FILE, json.dumps(kept).encode())


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once by one that only its owner can read."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


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


def _new_api_key() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(32))
