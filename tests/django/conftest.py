from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.dispatch import Signal
from django.utils import translation
from pytest_django import Settings

from django_mpesa import signals
from django_mpesa.store import DjangoStore
from mpesa_integrations.simulator import Simulator
from tests.support.account import account_settings
from tests.support.hearing import hearing
from tests.support.tables import look_once

SIGNALS = {name: value for name, value in vars(signals).items() if isinstance(value, Signal)}


@pytest.fixture(autouse=True)
def _tables_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    look_once(monkeypatch, DjangoStore)


@pytest.fixture(autouse=True)
def _language_of_the_settings() -> None:
    """A page in another language, as an earlier test asked for, leaves that to its thread."""
    translation.deactivate()


@pytest.fixture
def simulator(mpesa_simulator: Simulator, settings: Settings) -> Simulator:
    """A local gateway that the default account uses."""
    settings.MPESA = {"default": account_settings(mpesa_simulator)}
    return mpesa_simulator


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any]]]:
    """The signals that were sent, with the state that the record had then."""
    with hearing(SIGNALS) as found:
        yield found
