from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpesa_integrations.simulator import Simulator
from tests.support.gateways import directory_with_key
from tests.support.raw import RawClient

from .portal_client import PortalClient


@pytest.fixture
def raw(mpesa_simulator: Simulator) -> Iterator[RawClient]:
    client = RawClient(mpesa_simulator)
    yield client
    client.session.close()


@pytest.fixture
def state_dir(_mpesa_gateway: Simulator, tmp_path: Path) -> Path:
    """For a gateway of the test's own: it has the session's key, as to make one takes a second."""
    return directory_with_key(_mpesa_gateway, tmp_path / "gateway")


@pytest.fixture
def own_address() -> str:
    """A loopback address of this process alone, so that fixed ports of two runs do not meet."""
    number = os.getpid()
    return f"127.1.{number >> 8 & 255}.{number & 255}"


@pytest.fixture
def visitor(mpesa_simulator: Simulator) -> Iterator[PortalClient]:
    client = PortalClient(mpesa_simulator)
    yield client
    client.close()


@pytest.fixture
def portal(visitor: PortalClient) -> PortalClient:
    assert visitor.sign_in().url.endswith("/account")
    return visitor
