from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpesa_integrations import MpesaConfig

API_KEY = "aaaab09uz9f3asdcjyk7els777ihmwv8"
PUBLIC_KEY = (Path(__file__).parents[1] / "data" / "documented_public_key.txt").read_text().strip()
SECURITY_CREDENTIAL = "Mpesa2019-secret-credential"
CALLBACK_TOKEN = "callback-token-that-nobody-knows"
_MSISDN = re.compile(r"258?8[0-9]{8}|(?<![0-9])8[2-7][0-9]{7}(?![0-9])")


def make_config(**changes: object) -> MpesaConfig:
    settings: dict[str, object] = {
        "api_key": API_KEY,
        "public_key": PUBLIC_KEY,
        "service_provider_code": "171717",
        "environment": "local",
        "initiator_identifier": "MPesa2018",
        "security_credential": SECURITY_CREDENTIAL,
        "callback_token": CALLBACK_TOKEN,
        "timeout": (2, 2),
        **changes,
    }
    return MpesaConfig(**settings)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_secret_in_any_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Every test of the core fails if a secret or a whole phone number shows in a log."""
    caplog.set_level(logging.DEBUG)
    yield
    for record in caplog.records:
        text = record.getMessage()
        for secret in (API_KEY, SECURITY_CREDENTIAL, CALLBACK_TOKEN, "Bearer "):
            assert secret not in text, f"a secret in the log of {record.name}"
        assert not _MSISDN.search(text), f"a phone number in the log of {record.name}: {text}"
