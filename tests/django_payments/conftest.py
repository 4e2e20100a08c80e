"""Run with the shop's own settings, where django-payments is installed; else not collected."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from django.conf import settings as _settings

from mpesa_integrations.simulator import Simulator
from tests.support.account import account_settings

collect_ignore = []
if not find_spec("payments") or "payments" not in getattr(_settings, "INSTALLED_APPS", ()):
    collect_ignore.append("test_provider.py")


@pytest.fixture
def simulator(mpesa_simulator: Simulator, settings: Any) -> Iterator[Simulator]:
    """A local gateway that the default account uses."""
    from payments.core import PROVIDER_CACHE

    settings.MPESA = {"default": account_settings(mpesa_simulator)}
    PROVIDER_CACHE.clear()
    yield mpesa_simulator
    PROVIDER_CACHE.clear()
