"""An account's keys, kept over restarts, and what a program must know to use it."""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .files import write_private

ACCOUNT_FILE = "account.json"
SERVICE_PROVIDER_CODE = "171717"
_CREDENTIALS_FILE = "credentials.json"


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

    def write(self, directory: Path) -> Path:
        """Write `account.json` for other programs, readable by its owner only."""
        path = directory / ACCOUNT_FILE
        write_private(path, json.dumps(asdict(self), indent=2).encode())
        return path


class Credentials:
    """What a caller of one account must present.

    Args:
        directory: the account's own.
        public_key: the gateway's.
    """

    def __init__(self, directory: Path, public_key: str) -> None:
        self._directory = directory
        self.public_key = public_key
        path = directory / _CREDENTIALS_FILE
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

    def renew_api_key(self) -> str:
        """Make a new API key; from now on the old one, and every token of it, is refused."""
        self.api_key = _new_api_key()
        self._save()
        return self.api_key

    def _save(self) -> None:
        kept = {
            "api_key": self.api_key,
            "initiator_identifier": self.initiator_identifier,
            "security_credential": self.security_credential,
        }
        write_private(self._directory / _CREDENTIALS_FILE, json.dumps(kept).encode())


def _new_api_key() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(32))
