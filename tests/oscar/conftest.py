"""Run in the shop that docs/oscar.md makes, where Oscar is installed; else not collected."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from django.conf import settings as _settings

from mpesa_integrations.simulator import Simulator
from tests.support.account import account_settings

collect_ignore = []
if not find_spec("oscar") or "oscar.config.Shop" not in getattr(_settings, "INSTALLED_APPS", ()):
    collect_ignore.append("test_checkout.py")


@pytest.fixture
def simulator(mpesa_simulator: Simulator, settings: Any) -> Simulator:
    """A local gateway that the default account uses."""
    settings.MPESA = {"default": account_settings(mpesa_simulator)}
    return mpesa_simulator
