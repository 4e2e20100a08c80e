from __future__ import annotations

from pathlib import Path

from mpesa_integrations import MpesaConfig

API_KEY = "aaaab09uz9f3asdcjyk7els777ihmwv8"
PUBLIC_KEY = (Path(__file__).parents[1] / "data" / "documented_public_key.txt").read_text().strip()
SECURITY_CREDENTIAL = "Mpesa2019-secret-credential"
CALLBACK_TOKEN = "callback-token-that-nobody-knows"


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
