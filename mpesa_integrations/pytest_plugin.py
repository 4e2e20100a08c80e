"""Pytest fixtures: a local gateway per test session, emptied before each test, and a client of it.

Found by pytest through its entry point, also where the extra `simulator` is not installed; so
nothing is imported or started until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mpesa_integrations import MpesaClient

    from .simulator import Simulator

_DELAY = 0.2  # seconds: what waits three seconds for a person need not do so for a test


@pytest.fixture(scope="session")
def _mpesa_gateway() -> Iterator[Simulator]:
    # Made once: the keys take a second. Under pytest-xdist each worker has its own.
    from .simulator import Simulator

    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def mpesa_simulator(_mpesa_gateway: Simulator) -> Simulator:
    """A running local gateway with an empty ledger, in synchronous mode.

    `.config` has the settings for a client, `.scenarios` decides what happens to coming requests,
    `.ledger` shows what became of the money, `.response_url` switches to asynchronous mode.
    """
    _mpesa_gateway.reset()
    _mpesa_gateway.scenarios.default_delay = _DELAY
    return _mpesa_gateway


@pytest.fixture
def mpesa_client(mpesa_simulator: Simulator) -> Iterator[MpesaClient]:
    """A client of the local gateway."""
    from mpesa_integrations import MpesaClient

    with MpesaClient(mpesa_simulator.config) as client:
        yield client
