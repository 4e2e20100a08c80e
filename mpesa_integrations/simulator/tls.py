"""The local gateway's own certificate authority and server certificate; the making is trustme's."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from pathlib import Path

import trustme
from cryptography import x509

from .files import write_private

CA_FILE = "ca.pem"
_CA_KEY_FILE = "ca_key.pem"
_SERVER_FILE = "server.pem"
_ALWAYS = ("localhost", "127.0.0.1", "::1")
_RENEW_BEFORE = timedelta(days=30)
_SERVER_LIFE = timedelta(days=365)


def prepare_certificates(state_dir: Path, names: Collection[str]) -> tuple[Path, Path]:
    """Keep one authority per state directory, and issue a server certificate at each start.

    Args:
        state_dir: where the authority is kept, so that callers need to trust it only once.
        names: host names and addresses, besides the loopback ones, that the certificate is for.

    Returns:
        The paths of the authority's certificate and of the server's key and certificate chain.
    """
    authority = _load_or_make_authority(state_dir)
    identities = list(dict.fromkeys([*_ALWAYS, *names]))
    now = datetime.now(timezone.utc)
    leaf = authority.issue_cert(*identities, not_before=now, not_after=now + _SERVER_LIFE)
    server = state_dir / _SERVER_FILE
    write_private(server, leaf.private_key_and_cert_chain_pem.bytes())
    return state_dir / CA_FILE, server


def _load_or_make_authority(state_dir: Path) -> trustme.CA:
    certificate, key = state_dir / CA_FILE, state_dir / _CA_KEY_FILE
    if certificate.is_file() and key.is_file():
        pem = certificate.read_bytes()
        expires = x509.load_pem_x509_certificate(pem).not_valid_after_utc
        if expires - _RENEW_BEFORE > datetime.now(timezone.utc):
            return trustme.CA.from_pem(pem, key.read_bytes())
    authority = trustme.CA(
        organization_name="mpesa-integrations", organization_unit_name="Local M-Pesa gateway"
    )
    write_private(key, authority.private_key_pem.bytes())
    write_private(certificate, authority.cert_pem.bytes())
    certificate.chmod(0o644)
    return authority
