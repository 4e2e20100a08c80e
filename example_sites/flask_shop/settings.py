"""The café's settings; what differs between places where it runs comes from the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.pool import NullPool

LANGUAGES = ["en", "pt"]


def read_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """Read the settings.

    Args:
        environment: SHOP_DIRECTORY, where the database and the certificate are kept; SHOP_PORT for
            HTTPS, from 11000 to 19000, as the gateway calls no other; SHOP_SECRET_KEY;
            SHOP_ADMIN_PASSWORD, the owner's, without which there is no admin;
            MPESA_ACCOUNT_FILE, which the local gateway writes; and MPESA_CALLBACK_TOKEN.
    """
    directory, port = Path(environment["SHOP_DIRECTORY"]), int(environment["SHOP_PORT"])
    # With an account of Vodacom's, these values come from the portal.
    account = json.loads(Path(environment["MPESA_ACCOUNT_FILE"]).read_text())
    host, _, gateway_port = account["base_url"].removeprefix("https://").partition(":")
    return {
        "SHOP_DIRECTORY": directory,
        "SHOP_PORT": port,
        "SHOP_ADMIN_PASSWORD": environment.get("SHOP_ADMIN_PASSWORD", ""),
        "SECRET_KEY": environment["SHOP_SECRET_KEY"],
        "SESSION_COOKIE_NAME": "cafe",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        # A form stays good as long as the visitor's session.
        "WTF_CSRF_TIME_LIMIT": None,
        "BABEL_DEFAULT_TIMEZONE": "Africa/Maputo",
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{directory.absolute() / 'shop.sqlite3'}",
        "SQLALCHEMY_ENGINE_OPTIONS": {"poolclass": NullPool, "connect_args": {"timeout": 20}},
        "MPESA_API_KEY": account["api_key"],
        "MPESA_PUBLIC_KEY": account["public_key"],
        "MPESA_SERVICE_PROVIDER_CODE": account["service_provider_code"],
        "MPESA_INITIATOR_IDENTIFIER": account["initiator_identifier"],
        "MPESA_SECURITY_CREDENTIAL": account["security_credential"],
        "MPESA_ENVIRONMENT": "local",
        "MPESA_HOST": host,
        "MPESA_PORT": int(gateway_port),
        "MPESA_VERIFY": account["ca_file"],
        "MPESA_CALLBACK_TOKEN": environment["MPESA_CALLBACK_TOKEN"],
        "MPESA_CALLBACK_BASE_URL": f"https://127.0.0.1:{port}",
    }
