from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mpesa_integrations.simulator import Simulator

from .raw import RawClient


@pytest.fixture
def raw(mpesa_simulator: Simulator) -> Iterator[RawClient]:
    client = RawClient(mpesa_simulator)
    yield client
    client.session.close()


@pytest.fixture
def own_address() -> str:
    """A loopback address of this process alone, so that fixed ports of two runs do not meet."""
    number = os.getpid()
    return f"127.1.{number >> 8 & 255}.{number & 255}"
