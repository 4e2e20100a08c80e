"""An account's settings by the names that a framework's settings have."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # not there in every environment of the matrix
    from mpesa_integrations.simulator import Simulator

TOKEN = "a-callback-token-of-more-than-32-characters"


def account_settings(simulator: Simulator, **changes: Any) -> dict[str, Any]:
    """The settings for a local gateway's account."""
    config = simulator.config
    found = {field.name.upper(): getattr(config, field.name) for field in fields(config)}
    return {**found, "CALLBACK_TOKEN": TOKEN, "TIMEOUT": (5, 5), **changes}
