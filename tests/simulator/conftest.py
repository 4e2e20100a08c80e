from __future__ import annotations

from collections.abc import Iterator

import pytest

from mpesa_integrations.simulator import Simulator

from .raw import RawClient


@pytest.fixture
def raw(mpesa_simulator: Simulator) -> Iterator[RawClient]:
    client = RawClient(mpesa_simulator)
    yield client
    client.session.close()
