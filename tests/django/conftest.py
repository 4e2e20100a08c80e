from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from django.dispatch import Signal
from pytest_django import Settings

from django_mpesa import signals
from mpesa_integrations.simulator import Simulator
from tests.hearing import hearing

TOKEN = "a-callback-token-of-more-than-32-characters"
SIGNALS = {name: value for name, value in vars(signals).items() if isinstance(value, Signal)}


def account_settings(simulator: Simulator, **changes: Any) -> dict[str, Any]:
    config = simulator.config
    found = {
        field.name.upper(): getattr(config, field.name) for field in dataclasses.fields(config)
    }
    return {**found, "CALLBACK_TOKEN": TOKEN, "TIMEOUT": (5, 5), **changes}


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
