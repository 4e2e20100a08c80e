from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from example_sites.demo import Shop, running
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE


@dataclass
class Open:
    """A shop that is open, and the gateway that it is paid by."""

    shop: Shop
    simulator: Simulator


@pytest.fixture(scope="session")
def _served(_mpesa_gateway: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    account_file = _mpesa_gateway.state_dir / ACCOUNT_FILE
    directory = tmp_path_factory.mktemp("django-shop")
    with running("example_sites.django_shop", account_file, directory) as shop:
        yield shop


@pytest.fixture
def open_shop(_served: Shop, mpesa_simulator: Simulator) -> Iterator[Open]:
    """The Django shop, served as in the demo, with an asynchronous account and an empty ledger."""
    mpesa_simulator.response_url = _served.callback_url
    yield Open(_served, mpesa_simulator)
    # What is under way belongs to this test.
    mpesa_simulator.callbacks.drain()
